"""Results are written by the code that measured them, one JSON file a measurement."""

import os
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from gmnm_lib.reproduce import results

LOAD = (
    round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
)  # before we add to it: above 0.5, measure again
RESULTS = Path(__file__).parent / "results"


def record(name: str, *, packages: Sequence[str] = (), **fields: object) -> Path:
    """Write `results/NAME.json`: the fields of a measurement, the machine, and the versions of Python, torch and `packages`."""
    own = {package: version(package) for package in packages}
    return results.write(RESULTS / f"{name}.json", {"name": name, **fields, "load": LOAD, "versions": own})


def speed(
    name: str,
    *,
    ours: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    goal: str,
    unit: str,
    command: str,
    packages: Sequence[str] = (),
    **more: object,
) -> str:
    """Record paired timings, the i-th of `ours` taken beside the i-th of `peer`; the line that says how it went.

    ours, peer and ratio are medians; ratio is that of peer over ours, pair by pair.
    """
    middle, other = statistics.median(ours), statistics.median(peer)
    ratio = statistics.median(theirs / mine for mine, theirs in zip(ours, peer, strict=True))
    numbers = {
        "ours": significant(middle),
        "peer": significant(other),
        "peer_name": peer_name,
        "ratio": significant(ratio),
    }
    record(
        name, packages=packages, kind="speed", **numbers, goal=goal, runs=len(ours), unit=unit, command=command, **more
    )
    return f"{name}: ours {middle:.3g} {unit}, {peer_name} {other:.3g} {unit}, ratio {ratio:.2f} (goal: {goal})"


def significant(number: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{number:.3g}")


def percentile(numbers: Sequence[float], percent: int) -> float:
    return statistics.quantiles(numbers, n=100, method="inclusive")[percent - 1]
