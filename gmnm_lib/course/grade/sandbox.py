"""The wall around a student's code: bubblewrap, a container, or, on the instructor's own risk, none.

Inside there is this Python, read-only, the part of the library that an exercise may use (`withheld.py`), and 64 MB of
memory at /tmp. There is no network, no home, no environment variable, no other process, and no new one (`seccomp.py`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.grade.seccomp import program
from gmnm_lib.course.grade.wire import Wire
from gmnm_lib.errors import InputError

Kind = Literal["bubblewrap", "docker", "podman", "none"]

SCRATCH = 64 << 20  # bytes of /tmp
START = 60.0  # seconds until the worker must have said that it is ready
IMAGE = "gmnm-empty"  # a container's image without a file in it: all comes from this machine, read-only
INSTALL = "install it (`sudo apt install bubblewrap`, `sudo dnf install bubblewrap`)"


@dataclass(frozen=True)
class Sandbox:
    """How workers are walled in. library: the folder that `withheld.library_for` made. memory: megabytes for each."""

    kind: Kind
    library: Path
    memory: int = 4096

    def start(self) -> Worker:
        """A worker that is ready. WorkFailed where it does not come up."""
        ours, theirs = socket.socketpair()
        name = f"gmnm-{secrets.token_hex(8)}"
        scratch = tempfile.TemporaryDirectory(prefix="gmnm-open-") if self.kind == "none" else None
        reading, writing = os.pipe()
        with theirs:
            if self.kind == "bubblewrap":
                os.write(writing, program())
            os.close(writing)
            try:
                process = subprocess.Popen(
                    self.command(name, reading),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    pass_fds=(reading,),
                    cwd=scratch.name if scratch else None,
                    env=self._environment(scratch.name if scratch else ""),
                    start_new_session=True,
                )
            finally:
                os.close(reading)
        remove = [self.kind, "rm", "--force", name] if self.kind in ("docker", "podman") else None
        worker = Worker(process, Wire(ours.fileno(), ours.fileno()), ours, scratch, remove)
        try:
            worker.wire.receive(time.monotonic() + START)
        except Exception as error:
            worker.kill()
            raise WorkFailed(
                f"the sandbox ({self.kind}) does not come up ({type(error).__name__}): {self.complaint()}"
            ) from None
        return worker

    def _environment(self, scratch: str) -> dict[str, str] | None:
        """Of the process that starts a worker; None: ours. bubblewrap stays inside as process 1, for students to read."""
        if self.kind == "bubblewrap":
            return {"PATH": os.environ.get("PATH", os.defpath)}
        return _open_environment(self.library, scratch) if self.kind == "none" else None

    def command(self, name: str, seccomp: int) -> list[str]:
        """What starts one worker whose socket is its stdin; `seccomp` is a file descriptor, `name` a container's name."""
        run = [sys.executable, "-P", "-m", "gmnm_lib.course.grade.worker", str(self.memory)]
        if self.kind == "none":
            return run
        inside = _environment(Path("/library"), "/tmp")
        if self.kind == "bubblewrap":
            wall = [*_bubblewrap(self.library), *_each("--setenv", inside), "--seccomp", str(seccomp), "--", *run]
            return ["/bin/sh", "-c", 'ulimit -v "$0" && exec "$@"', str(self.memory << 10), *wall]
        command = [self.kind, "run", "--rm", "--interactive", "--name", name, "--network", "none", "--read-only"]
        command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "64", "--user", "65534"]
        command += ["--ulimit", "nofile=256:256", "--ulimit", "nproc=4096:4096"]
        command += ["--memory", f"{self.memory}m", "--tmpfs", f"/tmp:size={SCRATCH},mode=1777", "--workdir", "/tmp"]
        for source, target in _mounts(self.library):
            command += ["--volume", f"{source}:{target}:ro"]
        return [*command, *(f"--env={key}={value}" for key, value in inside.items()), IMAGE, *run]

    def prepare(self) -> None:
        """Proves that this wall can be built here. InputError: its program is missing or may not be used, and the mend."""
        if self.kind == "none":
            return
        if sys.platform != "linux":
            raise InputError(
                f"the sandbox {self.kind} needs Linux: grade there, or add --no-sandbox if you trust every student"
            )
        program_name = "bwrap" if self.kind == "bubblewrap" else self.kind
        if shutil.which(program_name) is None:
            mend = INSTALL if self.kind == "bubblewrap" else f"install {self.kind}"
            raise InputError(
                f"{self.kind} is not on this machine: {mend}, choose another --sandbox, "
                "or add --no-sandbox if you trust every student"
            )
        if self.kind != "bubblewrap":
            self._make_image()
        complaint = self.complaint()
        if complaint:
            raise InputError(
                f"{self.kind} cannot build its wall here ({complaint}): mend that, or choose another --sandbox"
            )

    def complaint(self) -> str:
        """What the wall's own program says when it runs nothing but `true`; "" where it works."""
        if self.kind == "none":
            return ""
        if self.kind == "bubblewrap":
            command = [*_bubblewrap(self.library), "--", "/usr/bin/env", "true"]
        else:
            command = self.command(f"gmnm-{secrets.token_hex(8)}", 0)
            command[command.index(IMAGE) + 1 :] = ["/usr/bin/env", "true"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=START, check=False)
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return "" if done.returncode == 0 else (said or [f"it ended with {done.returncode}"])[-1][:200]

    def _make_image(self) -> None:
        known = subprocess.run([self.kind, "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0
        if not known:
            made = subprocess.run(
                [self.kind, "import", "-", IMAGE], input=bytes(10240), capture_output=True, check=False
            )  # 10240 zeros are an archive without a member
            if made.returncode:
                said = made.stderr.decode(errors="replace").strip().splitlines()
                raise InputError(
                    f"{self.kind} does not work here ({(said or ['no reason given'])[-1][:200]}): start its service"
                )


@dataclass
class Worker:
    """A running sandbox."""

    process: subprocess.Popen[bytes]
    wire: Wire
    connection: socket.socket
    scratch: tempfile.TemporaryDirectory[str] | None = None
    remove: list[str] | None = None

    def kill(self) -> None:
        """Ends it and all that it started."""
        self.connection.close()
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.remove:
            subprocess.run(self.remove, capture_output=True, check=False)
        if self.scratch:
            self.scratch.cleanup()


def _bubblewrap(library: Path) -> list[str]:
    command = ["bwrap", "--unshare-all", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox", "--clearenv"]
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    # /tmp comes first: this Python may lie there.
    command += ["--size", str(SCRATCH), "--tmpfs", "/tmp", "--dir", "/tmp/matplotlib"]
    for source, target in _mounts(library):
        command += ["--ro-bind", str(source), str(target)]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        if Path("/", name).is_symlink():
            command += ["--symlink", os.readlink(Path("/", name)), f"/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    for cache in library.glob("fontlist-*.json"):  # else matplotlib looks for fonts anew, which takes seconds
        command += ["--ro-bind", str(cache), f"/tmp/matplotlib/{cache.name}"]
    return [*command, "--remount-ro", "/", "--chdir", "/tmp"]


def _mounts(library: Path) -> list[tuple[Path, Path]]:
    """(here, inside) of all that the sandbox sees of this machine; a folder within another comes after it."""
    real = [path for path in map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")) if not path.is_symlink()]
    python = [Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable).resolve().parent]
    folders = [path for path in dict.fromkeys([*real, *python, Path("/etc/ld.so.cache")]) if path.exists()]
    shown = [path for path in folders if not any(other in path.parents for other in folders)]
    masked = [Path(folder, "gmnm_lib") for folder in sys.path if Path(folder, "gmnm_lib").is_dir()]
    hidden = [path for path in masked if any(folder in path.parents for folder in shown)]
    return [
        *((path, path) for path in shown),
        *((library / "gmnm_lib", path) for path in hidden),
        (library, Path("/library")),
    ]


def _environment(library: Path, scratch: str) -> dict[str, str]:
    return {
        "HOME": scratch,
        "IPYTHONDIR": f"{scratch}/ipython",
        "LANG": "C.UTF-8",
        "LOGNAME": "student",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": f"{scratch}/matplotlib",
        "OMP_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(library),
        "USER": "student",
    }


def _open_environment(library: Path, scratch: str) -> dict[str, str]:
    return {name: value.replace("/tmp", scratch) for name, value in _environment(library, "/tmp").items()} | {
        "PYTHONPATH": str(library)
    }


def _each(flag: str, values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in (flag, name, value)]
