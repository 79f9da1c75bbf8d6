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
    least: Sequence[float] = (),
    packages: Sequence[str] = (),
    dry: bool = False,
    **more: object,
) -> str:
    """Record paired timings, the i-th of `ours` taken beside the i-th of `peer`; the line that says how it went.

    dry: give the line and record nothing.

    ours, peer and ratio are medians; ratio is that of peer over ours, pair by pair.
    least: seconds of what no program can do without, its matrix products on the fastest path here and, where it draws
    states, the random numbers: `limit` is the ratio that a program would have that did nothing else.
    """
    ratio = _median_ratio(peer, ours)
    numbers = {
        "ours": significant(statistics.median(ours)),
        "peer": significant(statistics.median(peer)),
        "peer_name": peer_name,
        "ratio": significant(ratio),
    }
    if least:
        numbers["limit"] = significant(_median_ratio(peer, least))
    if not dry:
        told = {"goal": goal, "runs": len(ours), "unit": unit, "command": command}
        record(name, packages=packages, kind="speed", **numbers, **told, **more)
    limit = f", limit {numbers['limit']:g}" if least else ""
    times = f"ours {numbers['ours']:g} {unit}, {peer_name} {numbers['peer']:g} {unit}"
    return f"{name}: {times}, ratio {ratio:.2f}{limit} (goal: {goal})"


def _median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of over / under, pair by pair."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def significant(number: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{number:.3g}")


def percentile(numbers: Sequence[float], percent: int) -> float:
    return statistics.quantiles(numbers, n=100, method="inclusive")[percent - 1]
