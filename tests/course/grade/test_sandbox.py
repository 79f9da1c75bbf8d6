"""What the wall refuses, by name, and what it says where it cannot be built."""

import os
import platform
import struct
import time

import pytest

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.grade import seccomp
from gmnm_lib.course.grade.sandbox import Sandbox
from gmnm_lib.errors import InputError

# Arguments with which a call that is let through does no harm.
HARMLESS = {"shmget": (0, 0, 0), "mount": (0, 0, 0, 0, 0)}


@pytest.fixture(scope="module")
def inside(classroom, walled):
    """Runs cells in one sandbox; what they raise, "" where they do not."""
    worker = classroom.sandbox().start()

    def run(source):
        worker.wire.send({"number": 1, "do": "run", "cell": 1, "source": source}, time.monotonic() + 20)
        return worker.wire.receive(time.monotonic() + 20).get("failed", "")

    yield run
    worker.kill()


def call(number, *arguments):
    return (
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"if libc.syscall({number}, *{(*arguments, 0, 0, 0)}) == -1: raise OSError(ctypes.get_errno())"
    )


NAMES = sorted(seccomp.MACHINES["x86_64"].denied | seccomp.MACHINES["aarch64"].denied)


@pytest.mark.skipif(platform.machine() not in seccomp.MACHINES, reason="no numbers of this processor's calls")
@pytest.mark.parametrize("name", NAMES)
def test_a_dangerous_system_call_is_refused(inside, name):
    number = seccomp.MACHINES[platform.machine()].denied.get(name)
    if number is None:
        pytest.skip(f"{name} is no call of this processor")
    assert inside(call(number, *HARMLESS.get(name, ()))) == "OSError: 1"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import os; os.fork()", "PermissionError"),
        ("import subprocess; subprocess.run(['true'])", "PermissionError"),
        ("import socket; socket.socket(socket.AF_INET)", "PermissionError"),
        ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "PermissionError"),
        ("open('/dev/shm/x', 'w')", "OSError: [Errno 30]"),
        ("open('/x', 'w')", "OSError: [Errno 30]"),
        ("open('/usr/x', 'w')", "OSError: [Errno 30]"),
        ("open('/library/x', 'w')", "OSError: [Errno 30]"),
        ("open('/etc/passwd')", "FileNotFoundError"),
        ("bytearray(6 << 30)", "MemoryError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError"),
    ],
)
def test_what_is_not_inside_cannot_be_used(inside, source, error):
    assert inside(source).startswith(error)


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nthread = threading.Thread(target=print)\nthread.start(); thread.join()",
        "import socket\nsocket.socketpair()",
        "open('/tmp/mine', 'w').write('x')",
        "import torch\ntorch.randn(200, 200) @ torch.randn(200, 200)",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.savefig('/tmp/plot.png')",
        "import gmnm_lib.models.vae, gmnm_lib.trainer, gmnm_lib.data\ngmnm_lib.data.load('digits-8x8')",
    ],
)
def test_what_honest_work_needs_is_there(inside, source):
    assert inside(source) == ""


def test_process_one_has_neither_the_graders_environment_nor_more_memory(classroom, walled, monkeypatch):
    monkeypatch.setenv("GMNM_TEST_SECRET", "of the grader")
    worker = classroom.sandbox(memory=3000).start()
    source = "raise ValueError(open('/proc/1/environ').read() + open('/proc/1/limits').read())"
    worker.wire.send({"number": 1, "do": "run", "cell": 1, "source": source})
    told = worker.wire.receive(time.monotonic() + 20)["failed"]
    worker.kill()
    assert "GMNM_TEST_SECRET" not in told
    assert f"{3000 << 20}" in told


def test_each_sandbox_is_new(classroom, walled):
    source = "import os\nif 'x' in os.listdir('/tmp'): raise ValueError(os.listdir('/tmp'))\nopen('/tmp/x', 'w')"
    for _ in range(2):
        worker = classroom.sandbox().start()
        worker.wire.send({"number": 1, "do": "run", "cell": 1, "source": source})
        assert "failed" not in worker.wire.receive(time.monotonic() + 20)
        worker.kill()


def test_killing_a_worker_ends_it_whatever_it_does(classroom, walled):
    others = classroom.survivors(wait=0)
    worker = classroom.sandbox().start()
    ignore = (
        "import signal\nfor n in range(1, 31):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass"
    )
    source = f"{ignore}\nwhile True: pass"
    worker.wire.send({"number": 1, "do": "run", "cell": 1, "source": source})
    time.sleep(0.3)
    assert classroom.survivors(wait=0, besides=others) != []
    worker.kill()
    assert classroom.survivors(besides=others) == []


def test_the_sandbox_ends_with_its_grader(classroom, walled):
    """A grader that is killed leaves no student's code behind."""
    others = classroom.survivors(wait=0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        classroom.sandbox().start()
        os.write(writing, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(reading, 1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert classroom.survivors(besides=others) == []


@pytest.mark.parametrize("kind", ["bubblewrap", "docker", "podman"])
def test_a_program_that_is_missing_is_named_with_the_mend(classroom, monkeypatch, kind):
    monkeypatch.setenv("PATH", "")
    package = "apt install bubblewrap" if kind == "bubblewrap" else f"install {kind}"
    with pytest.raises(InputError, match=rf"{kind} is not on this machine: .*{package}.*--no-sandbox"):
        Sandbox(kind, classroom.library).prepare()


def test_a_wall_that_cannot_be_built_is_reported_in_its_own_words(classroom, monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match="No permissions to create new namespace"):
        classroom.sandbox().prepare()
    with pytest.raises(WorkFailed, match="No permissions to create new namespace"):
        classroom.sandbox().start()


def test_without_a_wall_nothing_is_asked_for(classroom, monkeypatch):
    monkeypatch.setenv("PATH", "")
    classroom.sandbox("none").prepare()


def test_a_container_has_no_network_no_rights_and_nothing_to_write(classroom):
    command = " ".join(classroom.sandbox("docker", memory=2048).command("name", 0))
    for words in ("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges", "--memory 2048m"):
        assert words in command
    assert f"{classroom.library}:/library:ro" in command


def run_filter(number, *, token=None, first=0):
    """What the program answers to one call: an interpreter of the few instructions it uses (linux/filter.h)."""
    machine = seccomp.MACHINES[platform.machine()]
    data = struct.pack("<iIQ6Q", number, machine.token if token is None else token, 0, first, 0, 0, 0, 0, 0)
    program = seccomp.program()
    steps = [struct.unpack_from("HBBI", program, 8 * n) for n in range(len(program) // 8)]
    place, value = 0, 0
    while True:
        code, yes, no, k = steps[place]
        place += 1
        if code == seccomp.LOAD:
            value = struct.unpack_from("<I", data, k)[0]
        elif code == seccomp.RETURN:
            return k
        else:
            holds = {seccomp.EQUAL: value == k, seccomp.AT_LEAST: value >= k, seccomp.ANY_BIT: bool(value & k)}[code]
            place += yes if holds else no


@pytest.mark.skipif(platform.machine() not in seccomp.MACHINES, reason="no numbers of this processor's calls")
def test_the_program_refuses_what_it_lists_and_nothing_else():
    machine = seccomp.MACHINES[platform.machine()]
    refused, allowed = seccomp.ERRNO | 1, seccomp.ALLOW
    for number in range(500):
        expected = refused if number in {*machine.denied.values(), machine.clone, machine.socket} else allowed
        if number == machine.clone3:
            expected = seccomp.ERRNO | 38
        assert run_filter(number) == expected, number
    assert run_filter(machine.clone, first=0x3D0F00) == allowed  # as libc makes a thread
    assert [run_filter(machine.socket, first=family) for family in (1, 2, 10, 16, 40)] == [allowed] + 4 * [refused]
    assert run_filter(seccomp.X32 | 57) == refused
    assert run_filter(57, token=0x40000003) == seccomp.KILL  # the calls of 32 bits have other numbers


def test_an_unknown_processor_is_refused(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(InputError, match="processor 'vax'"):
        seccomp.program()
