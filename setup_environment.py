"""Builds the Python environment that the Makefile's targets run in, from requirements.lock. Standard library only.

    python3 setup_environment.py                    .venv with what a learner needs
    python3 setup_environment.py --extra test       .venv with the test tools too
    python3 setup_environment.py --environment .venv-bench --requirements benchmarks/requirements.txt
    python3 setup_environment.py --lock             writes requirements.lock anew

Every install takes its versions from requirements.lock. A stamp in the environment says what it was built from, so
that a second call does nothing; it is written last, so that an interrupted build is begun anew. This file runs on old
Pythons too (3.8), because one of its tasks is to say that a Python is too old.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PYPROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.lock"
STAMP = "gmnm-built.json"  # in a finished environment: what it was built from
UNFINISHED = "gmnm-unfinished"  # in one that is being built
THIS_PYTHON = (
    getattr(sys, "_base_executable", None) or sys.executable
)  # outside of any environment, which may be deleted

OLDEST = (3, 11)  # as requires-python in pyproject.toml says
CANDIDATES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "python")
MAKE_VENV = ("-m", "venv")
NEEDED_BYTES = 4 * 10**9  # torch and JupyterLab take 2 GB, and as much while pip unpacks them

# Bounds on what `--lock` may choose. A newer torch comes with other numerics and gigabytes of other libraries: it is
# raised here, by hand, after the tests and benchmarks have been run on it.
PINS = ("torch==2.13.0",)
LOCK_HEADER = """\
# The versions that the tests pass with: every install is constrained by this file (pip install -c requirements.lock).
# Made by `make lock`, never by hand.
"""

REASONS = {
    r"No space left on device|Disk quota exceeded": "the disk is full: make room for {} GB (10 GB where torch comes with "
    "CUDA) and run the command again",
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|Network is unreachable|Connection refused"
    r"|Connection reset|ReadTimeout|Temporary failure": "the package index cannot be reached: connect to a network and "
    "run the command again",
    r"ResolutionImpossible|conflicting dependencies": "pyproject.toml and requirements.lock contradict each other (see "
    "above): run `make lock`",
    r"No matching distribution": "the package index cannot be reached, or has nothing that fits this Python and system (see "
    "above): connect to a network, or try Python 3.11",
}


class SetupError(Exception):
    """Why there is no environment, in one sentence that says what to do."""


def main():
    arguments = parse_arguments()
    try:
        if arguments.lock:
            write_lock(arguments.python)
        else:
            set_up(arguments)
    except SetupError as error:
        sys.exit(f"gmnm: {error}.")
    except KeyboardInterrupt:
        sys.exit("gmnm: interrupted; the next run begins anew.")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Build the Python environment of this project.")
    parser.add_argument("--environment", default=".venv", help="the folder to build it in (default: .venv)")
    parser.add_argument("--extra", action="append", default=[], help="an extra of pyproject.toml; may be repeated")
    parser.add_argument("--requirements", help="a file of further requirements, constrained by the lock as all others")
    parser.add_argument("--python", default="", help="the interpreter to build with (default: the first that fits)")
    parser.add_argument("--lock", action="store_true", help="write requirements.lock from a fresh environment")
    return parser.parse_args()


def set_up(arguments):
    """Build the environment, or bring it up to date, or do nothing if it is."""
    environment = ROOT / arguments.environment
    stamp = environment / STAMP
    if up_to_date(stamp, arguments):
        return
    with locked(environment):
        if up_to_date(stamp, arguments):  # another process has built it while this one waited
            return
        wanted = describe(arguments, read(stamp))
        if not can_be_updated(environment, arguments.python):
            create(environment, find_python(arguments.python))
        if stamp.exists():
            stamp.replace(environment / UNFINISHED)
        install(interpreter_of(environment), wanted)
        partial = stamp.with_suffix(".partial")
        partial.write_text(json.dumps(wanted, indent=1))
        partial.replace(stamp)
        with contextlib.suppress(FileNotFoundError):
            (environment / UNFINISHED).unlink()


def describe(arguments, built=None):
    """What the environment is built from; extras that it already has stay."""
    files = [PYPROJECT, LOCK] + ([ROOT / arguments.requirements] if arguments.requirements else [])
    for file in files:
        if not file.is_file():
            raise SetupError(f"{file.relative_to(ROOT)} is missing: get a complete copy of the project")
    return {
        "root": str(ROOT),  # the environment breaks when its folder is moved
        "extras": sorted(set(arguments.extra) | set((built or {}).get("extras", []))),
        "requirements": arguments.requirements,
        "sha256": {str(file.relative_to(ROOT)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }


def up_to_date(stamp, arguments):
    built = read(stamp)
    if not built or built != describe(arguments, built) or not interpreter_of(stamp.parent).exists():
        return False
    return not arguments.python or python_version(find_python(arguments.python)) == environment_version(stamp.parent)


def can_be_updated(environment, requested):
    """Whether packages can be installed into the environment as it is. One that is not ours is never deleted."""
    if not environment.exists():
        return False
    version = environment_version(environment)
    fits = version is not None and version >= OLDEST
    if requested and version != python_version(find_python(requested)):
        fits = False
    built = read(environment / STAMP)
    if built:
        return fits and built["root"] == str(ROOT)
    if (environment / UNFINISHED).exists():
        return False
    if not fits:
        message = "{} was not made by this project and its Python does not fit: move it away and run the command again"
        raise SetupError(message.format(environment.name))
    return True


def create(environment, python):
    """An environment without packages, in place of what there may be."""
    if run_quietly([python, "-c", "import ensurepip, venv"]) is None:
        message = "{} has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)"
        raise SetupError(message.format(python))
    if environment.exists():
        print(f"gmnm: {environment.name} is unfinished, moved or of another Python: building it anew")
        shutil.rmtree(str(environment))
    check_disk(environment.parent)
    print(f"gmnm: creating {environment.name} with {python}", flush=True)
    environment.mkdir()
    (environment / UNFINISHED).touch()
    if subprocess.call([python, *MAKE_VENV, str(environment)]) != 0:
        raise SetupError(f"{python} cannot create {environment.name} (see above)")


def install(python, wanted):
    extras = "[{}]".format(",".join(wanted["extras"])) if wanted["extras"] else ""
    command = [str(python), "-m", "pip", "install", "-c", LOCK.name, "-e", "." + extras]
    if wanted["requirements"]:
        command += ["-r", wanted["requirements"]]
    run_pip(command)


def run_pip(command):
    """Run pip, show what it says, and turn a failure into one sentence."""
    print("gmnm: pip {}".format(" ".join(command[3:])), flush=True)
    said = []
    process = subprocess.Popen(
        command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    for line in process.stdout:
        if not line.startswith("Requirement already satisfied"):
            print(line, end="", flush=True)
        said.append(line)
    if process.wait() != 0:
        text = "".join(said)
        for pattern, reason in REASONS.items():
            if re.search(pattern, text):
                raise SetupError(reason.format(NEEDED_BYTES // 10**9))
        raise SetupError("pip could not install the packages (see above)")


def find_python(requested):
    """The interpreter asked for, else this one, else the first candidate that is new enough."""
    candidates = [requested] if requested else [THIS_PYTHON, *CANDIDATES]
    versions = {candidate: python_version(candidate) for candidate in candidates}
    for candidate, version in versions.items():
        if version is not None and version >= OLDEST:
            return candidate
    found = ", ".join("{} is {}.{}".format(name, *version) for name, version in versions.items() if version)
    raise SetupError(
        "Python {}.{} or newer is needed ({}): install one, or name it as in `make PYTHON=python3.12 test`".format(
            *OLDEST, found or "{} does not run".format(requested or "none")
        )
    )


def python_version(python):
    """(major, minor) of an interpreter; None if it does not run."""
    if str(python) == THIS_PYTHON:
        return sys.version_info[:2]
    said = run_quietly([str(python), "-c", "import sys; print(*sys.version_info[:2])"])
    return tuple(int(number) for number in said.split()) if said else None


def environment_version(environment):
    return python_version(interpreter_of(environment))


def interpreter_of(environment):
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run_quietly(command):
    """What a command prints; None if it fails."""
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, universal_newlines=True)
    except (OSError, subprocess.CalledProcessError):
        return None


def check_disk(folder):
    free = shutil.disk_usage(str(folder)).free
    if free < NEEDED_BYTES:
        message = "{:.0f} GB of free disk are needed here and {:.1f} GB are left: make room and run the command again"
        raise SetupError(message.format(NEEDED_BYTES / 10**9, free / 10**9))


def read(stamp):
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def locked(environment):
    """Only one process at a time builds an environment (where the system has file locks that end with their process)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(str(environment) + ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"gmnm: waiting for another process that builds {environment.name}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_lock(requested):
    """Resolve the ranges of pyproject.toml in a fresh environment and write down what pip chose."""
    with tempfile.TemporaryDirectory(prefix="gmnm-lock-") as folder:
        environment = Path(folder) / "environment"
        pins = Path(folder) / "pins.txt"
        pins.write_text("\n".join(PINS) + "\n")
        create(environment, find_python(requested))
        python = str(interpreter_of(environment))
        run_pip([python, "-m", "pip", "install", "-c", str(pins), "-e", ".[test]"])
        frozen = subprocess.check_output(
            [python, "-m", "pip", "freeze", "--all", "--exclude", "pip", "--exclude-editable"], universal_newlines=True
        )
    lines = [lock_line(line) for line in frozen.splitlines()]
    partial = LOCK.with_suffix(".partial")
    partial.write_text(LOCK_HEADER + "".join(line + "\n" for line in lines))
    partial.replace(LOCK)
    print(f"gmnm: {LOCK.name} holds {len(lines)} versions")


def lock_line(line):
    """NAME==VERSION without a build's local tag (2.13.0+cpu): the tag is a matter of the machine, not of the lock."""
    match = re.match(r"^([A-Za-z0-9._-]+==[^+\s;@]+)(\+\S+)?$", line)
    if not match:
        raise SetupError(f"{line!r} is not a released version: the lock can only name those")
    return match.group(1)


if __name__ == "__main__":
    main()
