"""`gmnm doctor`: what this machine has, what is missing, and the mend."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from gmnm_lib.course.notebooks import course_root
from gmnm_lib.errors import InputError

LEAST_DISK = 2e9  # bytes: the full data sets, checkpoints and handouts
INSTALL = "run `make lab` again, or `python -m pip install -c requirements.lock -e .` in the course's folder"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` is empty where there is nothing to do; an optional thing may be missing."""

    what: str
    found: str
    is_well: bool = True
    mend: str = ""
    is_optional: bool = False


def examine() -> list[Finding]:
    """All findings, the cheap ones first; torch is imported and its matrix products are timed."""
    found = [_python(), _course(), *_packages(), _disk()]
    if all(finding.is_well for finding in found):  # with a package missing the rest would only repeat it
        found += [*_hardware(), *_data()]
    return [*found, _bubblewrap(), _chromium()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    well = sys.version_info >= (3, 11)
    return Finding(
        "python", version, well, "" if well else "install Python 3.11 or newer and build the environment again"
    )


def _course() -> Finding:
    try:
        root = course_root()
    except InputError as error:
        return Finding("course", "not found", False, str(error))
    number = len(list((root / "lectures").glob("*.ipynb")))
    return Finding("course", f"{root}, lectures: {number}")


def _packages() -> Iterator[Finding]:
    """The packages against the ranges that the course declares, and against the versions its tests passed with."""
    try:
        wanted = [Requirement(text) for text in metadata.requires("gmnm") or []]
    except metadata.PackageNotFoundError:
        yield Finding("packages", "gmnm is not installed in this environment", False, INSTALL)
        return
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    locked, different = _lock(), []
    for one in needed:
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            yield Finding(one.name, "missing", False, INSTALL)
            continue
        if not one.specifier.contains(version, prereleases=True):
            yield Finding(one.name, f"{version}, but {one.specifier} is needed", False, INSTALL)
        elif locked.get(one.name.lower(), version).split("+")[0] != version.split("+")[0]:
            different.append(f"{one.name} {version} (tested: {locked[one.name.lower()]})")
    said = f"not as tested: {', '.join(different)}" if different else "as tested"
    yield Finding(
        "packages", f"{len(needed)} needed, {said}", mend=f"if something misbehaves, {INSTALL}" if different else ""
    )


def _lock() -> dict[str, str]:
    """Package -> version in requirements.lock; empty where the course's folder has none."""
    try:
        text = (course_root() / "requirements.lock").read_text()
    except (InputError, FileNotFoundError):
        return {}
    return {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    well = free >= LEAST_DISK
    return Finding(
        "disk", f"{free / 1e9:.1f} GB free", well, "" if well else f"free {LEAST_DISK / 1e9:.0f} GB or work elsewhere"
    )


def _hardware() -> Iterator[Finding]:
    from gmnm_lib import hardware

    for what, found in hardware.describe().items():
        if what != "python":
            yield Finding(what, found)
    probe = hardware.probe_matmul()
    yield Finding(
        "oneDNN's product", f"{probe['speedup']:.2f} x the default's speed, relative error {probe['error']:.1e}"
    )


def _data() -> Iterator[Finding]:
    from gmnm_lib import data

    for card, where in data.describe():
        missing = where.startswith("needs ")
        download = f"`gmnm data {card.name}` downloads it, or " if where == "needs download" else ""
        mend = f"{download}set GMNM_DATA to a folder that has it" if missing else ""
        yield Finding(f"data {card.name}", where, not missing, mend, is_optional=True)


def _bubblewrap() -> Finding:
    path = shutil.which("bwrap")
    mend = "" if path else "only `gmnm grade` needs it: install your system's package `bubblewrap` (Linux)"
    return Finding("bubblewrap", path or "not found", path is not None, mend, is_optional=True)


def _chromium() -> Finding:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    mend = (
        "" if path else "only handouts in PDF and the browser tests need it: install your system's package `chromium`"
    )
    return Finding("chromium", path or "not found", path is not None, mend, is_optional=True)
