"""What a command and an import cost before they do anything, beside the interpreter alone.

python -m benchmarks.start_up
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.record import speed
from benchmarks.timing import seconds

RUNS = 40


def milliseconds(command: list[str]) -> float:
    return 1e3 * seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def measure() -> list[str]:
    nothing = [sys.executable, "-c", "pass"]
    cases = {
        "start_up_help": ([str(Path(sys.executable).with_name("gmnm")), "--help"], "<= 60 ms"),
        "start_up_import": ([sys.executable, "-c", "import gmnm_lib"], "<= 30 ms"),
    }
    lines = []
    for name, (command, goal) in cases.items():
        milliseconds(command), milliseconds(nothing)
        pairs = [(milliseconds(command), milliseconds(nothing)) for _ in range(RUNS)]
        ours, peer = zip(*pairs, strict=True)
        settings = {"goal": goal, "unit": "ms", "command": "python -m benchmarks.start_up"}
        lines.append(speed(name, ours=ours, peer=peer, peer_name="python -c pass", **settings))
    return lines


if __name__ == "__main__":
    print("\n".join(measure()))
