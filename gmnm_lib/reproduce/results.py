"""What has been measured: `benchmarks/results/*.json`, each written by the code that measured, and the tables made of them."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically
from gmnm_lib.reproduce.figure import Outcome, Reproduction

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
Result = dict[str, Any]


def write(path: Path, result: Mapping[str, object]) -> Path:
    """The result and what every result says: the machine, and the versions of Python and torch beside those it names."""
    versions = {"python": platform.python_version(), "torch": version("torch"), **dict(result.get("versions", {}))}  # type: ignore[call-overload]
    whole = {**result, "machine": machine(), "versions": versions}
    write_atomically(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", path)
    return path


def machine() -> str:
    """Processor and cores, in words; no host's name."""
    found = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        found = models[0] if models else found
    return f"{found}, {os.cpu_count()} cores"


def as_result(
    reproduction: Reproduction, outcome: Outcome, *, profile: str, seed: int, device: str, seconds: float
) -> Result:
    """What is recorded of a run."""
    return {
        "name": file_stem(reproduction.name, profile),
        "kind": "reproduction",
        "figure": reproduction.name,
        "system": reproduction.system,
        "published": reproduction.published,
        "source": reproduction.source,
        "ours": round(outcome.ours, 4),
        "stderr": round(outcome.stderr, 4),
        "aim": reproduction.aim_of(profile),
        "reached": reproduction.reaches(outcome.ours, reproduction.aim_of(profile)),
        "better": reproduction.better,
        "unit": reproduction.unit,
        "others": {name: round(value, 4) for name, value in outcome.others.items()},
        "estimator": reproduction.estimator,
        "task": reproduction.task,
        "profile": profile,
        "settings": dict(reproduction.settings(profile)),
        "device": device,
        "seconds": round(seconds),
        "seed": seed,
        "command": reproduction.command(profile, seed),
    }


def file_stem(name: str, profile: str) -> str:
    return f"{name}_{profile}".replace("-", "_")


def recorded(folder: Path = FOLDER, kind: str = "reproduction") -> list[Result]:
    """All recorded results of a kind, "speed" say, by name. InputError for a file that is no result."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["kind"] == kind:
                found.append(result)
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is no result: delete it, and measure again") from None
    return found


def lines(results: Iterable[Result]) -> list[str]:
    """Each result in four lines, for a terminal."""
    return [line for result in results for line in _lines(result)]


def _lines(result: Result) -> list[str]:
    verdict = "reached" if result["reached"] else "not reached"
    others = [f"    also: {', '.join(f'{name} {value:g}' for name, value in result['others'].items())}"]
    ours = f"ours {_ours(result)} {result['unit']} (aim {_sign(result)} {result['aim']:g}: {verdict})"
    return [
        f"{result['figure']}: {result['system']}",
        f"    published {_number(result['published'])}, {ours}",
        *(others if result["others"] else []),
        f"    {result['estimator']}; {result['task']}; {result['source']}",
        f"    profile {result['profile']}, {result['device']}, {result['seconds']} s: {result['command']}",
    ]


def markdown(results: Iterable[Result]) -> str:
    """The README's table of published figures."""
    rows = [
        f"| {r['system']} | {_number(r['published'])}; {r['source']} | {_ours(r)} {r['unit']} | {_sign(r)} {r['aim']:g}, "
        f"{'reached' if r['reached'] else 'not reached'} | {_also(r['others'])} | {r['estimator']} | {r['task']} | "
        f"{r['profile']}, {r['seconds']} s | `{r['command']}` |"
        for r in results
    ]
    head = (
        "| System | Published | Ours | Aim | Also | Estimator | Task | Profile, time | Command |\n" + "|---" * 9 + "|"
    )
    return "\n".join([head, *rows])


def _also(others: Mapping[str, float], shown: int = 6) -> str:
    """The first few of a run's other figures, without their errors, and how many more its record has."""
    told = [
        f"{name} = {value:.4g}" for name, value in others.items() if not name.endswith(("standard error", "stderr"))
    ]
    return "; ".join(told[:shown] + [f"and {len(told) - shown} more"] * (len(told) > shown))


def speeds_markdown(results: Iterable[Result]) -> str:
    """The README's table of speeds: ratio is the peer's time over ours, above 1 where ours is faster.

    Its limit is the ratio of a program that did the matrix products and nothing else, where that was measured.
    """
    rows = [
        f"| {r['name'].replace('_', ' ')} | {r['ours']:g} {r['unit']} | {r['peer']:g} {r['unit']}: {r['peer_name']} | "
        f"{r['ratio']:g} | {f'{limit:g}' if (limit := r.get('limit')) else ''} | {r['goal']} | {r['machine']} |"
        for r in results
    ]
    head = "| Measurement | Ours | Beside | Ratio | Its limit | Floor | Machine |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def _ours(result: Result) -> str:
    """With as many decimals, 2 to 4, as its standard error has something to say about."""
    decimals = min(max(2, math.ceil(-math.log10(result["stderr"] or 1))), 4)
    return f"{result['ours']:.{decimals}f} ± {result['stderr']:.{decimals}f}"


def _number(value: float | None) -> str:
    return "none for this task" if value is None else f"{value:g}"


def _sign(result: Result) -> str:
    return "at most" if result["better"] == "lower" else "at least"
