"""The system calls that a sandboxed student goes without, as the program that Linux runs before each call.

No new process, above all: a limit on their number does not bind root, and a process that cannot be made leaves nothing
behind. Threads stay, which torch needs. Memory that no limit counts (memfd), doors into the kernel and all sockets but
local ones go too: some families (a virtual machine's own) know nothing of network namespaces.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

from gmnm_lib.errors import InputError

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
AF_UNIX = 1
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of classic BPF (linux/bpf_common.h)
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data (linux/seccomp.h)
CLONE_THREAD = 0x00010000
X32 = 0x40000000  # numbers above are another way to the same calls


@dataclass(frozen=True)
class Machine:
    """One architecture's token in linux/audit.h and its numbers in asm/unistd.h."""

    token: int
    clone: int
    clone3: int
    socket: int
    denied: dict[str, int]


# io_uring_setup, process_madvise and the like share their numbers on both since Linux 5.1
SHARED = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "pidfd_getfd": 438,
    "memfd_secret": 447,
}
MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        56,
        435,
        41,
        SHARED
        | {"fork": 57, "vfork": 58, "ptrace": 101, "mount": 165, "umount2": 166, "add_key": 248, "request_key": 249}
        | {"keyctl": 250, "unshare": 272, "perf_event_open": 298, "setns": 308, "process_vm_readv": 310}
        | {"process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323}
        | {"shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240},
    ),
    "aarch64": Machine(
        0xC00000B7,
        220,
        435,
        198,
        SHARED
        | {"umount2": 39, "mount": 40, "unshare": 97, "ptrace": 117, "mq_open": 180, "msgget": 186, "semget": 190}
        | {"shmget": 194, "add_key": 217, "request_key": 218, "keyctl": 219, "perf_event_open": 241, "setns": 268}
        | {"process_vm_readv": 270, "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282},
    ),
}


def program() -> bytes:
    """The filter for this machine, as `bwrap --seccomp` reads it. InputError on an architecture that is not known."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise InputError(
            f"the sandbox does not know the processor {platform.machine()!r}: grade on x86_64 or aarch64, or use --sandbox docker"
        )
    refuse = RETURN, ERRNO | errno.EPERM
    # clone3's flags lie in memory that a filter cannot see; told that there is no such call, libc uses clone.
    steps = [
        (LOAD, ARCHITECTURE),
        *_if(EQUAL, machine.token, skip=1),
        (RETURN, KILL),
        (LOAD, NUMBER),
        *_unless(AT_LEAST, X32, refuse),
        *_unless(EQUAL, machine.clone3, (RETURN, ERRNO | errno.ENOSYS)),
    ]
    for number in sorted(machine.denied.values()):
        steps += _unless(EQUAL, number, refuse)
    steps += [
        (EQUAL, machine.socket, 0, 4),
        (LOAD, FIRST_ARGUMENT),
        *_if(EQUAL, AF_UNIX, skip=1),
        refuse,
        (RETURN, ALLOW),
    ]
    steps += _if(EQUAL, machine.clone, skip=1)
    steps += [(RETURN, ALLOW), (LOAD, FIRST_ARGUMENT), *_if(ANY_BIT, CLONE_THREAD, skip=1), refuse, (RETURN, ALLOW)]
    return b"".join(struct.pack("HBBI", step[0], *(step[2:] or (0, 0)), step[1]) for step in steps)


def _if(test: int, value: int, *, skip: int) -> list[tuple[int, ...]]:
    """Where the test holds, leave out the next `skip` steps."""
    return [(test, value, skip, 0)]


def _unless(test: int, value: int, then: tuple[int, int]) -> list[tuple[int, ...]]:
    """Where the test holds, `then`; else go on."""
    return [(test, value, 0, 1), then]
