"""The one place that knows the machine: device, threads, the faster matrix product, CUDA graphs."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, cast

import torch

from gmnm_lib.errors import InputError

Matmul = Literal["default", "onednn"]


_auto: torch.device | None = None  # what `work_on` chose


def device(name: str = "auto") -> torch.device:
    """The torch device of that name; "auto" is what `work_on` said, else a CUDA GPU where there is one, else the CPU."""
    if name == "auto":
        return _auto or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise InputError(f"there is no device {name!r}: choose 'auto', 'cpu' or 'cuda'") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r} was asked for, but torch sees no CUDA GPU here: choose 'auto' or 'cpu'")
    return chosen


def work_on(name: str) -> None:
    """From now on "auto" means the device of that name in this process; "auto" itself undoes it.

    A lecture of small models says "cpu": a GPU would not train them faster, and a trainer that moved the model there would part
    it from the tensors that later cells feed it. Raises InputError for a device that is unknown or not there.
    """
    global _auto
    _auto = None if name == "auto" else device(name)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """torch uses `count` threads inside; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def matmul(path: Matmul) -> Iterator[None]:
    """fp32 matrix products on the CPU take this path inside.

    "onednn" is oneDNN's kernel, asked for by its bf16 setting: on a CPU without bf16 matrix units it still computes in fp32.
    Only `best_matmul` knows whether it does so here; nothing chooses it unprobed.
    """
    settings: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "bf16" if path == "onednn" else before
    try:
        yield
    finally:
        settings.fp32_precision = before


@cache
def best_matmul() -> Matmul:
    """The faster path whose products are as exact as fp32; probed once a process, in about 50 ms.

    oneDNN is taken only where it gains 1.3 x or more on a layer's product, so that the choice does not flicker between runs, and
    errs less than 2e-6 against float64. The variable GMNM_MATMUL=default|onednn decides without a probe.
    """
    chosen = os.environ.get("GMNM_MATMUL", "")
    if chosen in ("default", "onednn"):
        return cast(Matmul, chosen)
    if chosen:
        raise InputError(f"GMNM_MATMUL is {chosen!r}: set it to 'default' or 'onednn', or unset it")
    if not torch.backends.mkldnn.is_available():
        return "default"
    probe = probe_matmul()
    return "onednn" if probe["speedup"] >= 1.3 and probe["error"] <= 2e-6 else "default"


def probe_matmul(rows: int = 128, inner: int = 784, columns: int = 400, rounds: int = 7) -> dict[str, float]:
    """oneDNN's product beside torch's default: {"speedup": ratio of the best of `rounds`, "error": relative to float64}.

    The best, not the median: other programs only ever make a round slower.
    """
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(rows, inner, generator=generator)
    b = torch.randn(inner, columns, generator=generator)

    def seconds(path: Matmul) -> float:
        with matmul(path):
            start = time.perf_counter()
            for _ in range(5):
                a @ b
            return time.perf_counter() - start

    seconds("default"), seconds("onednn")
    times = [(seconds("default"), seconds("onednn")) for _ in range(rounds)]
    default, onednn = map(min, zip(*times, strict=True))
    with matmul("onednn"):
        product = (a @ b).double()
    exact = a.double() @ b.double()
    return {"speedup": default / onednn, "error": float((product - exact).norm() / exact.norm())}


def flush_vanished(tensors: Iterable[torch.Tensor], below: float = 1e-30) -> None:
    """Set numbers under `below` to zero, in place.

    A CPU computes many times slower on numbers under 1.2e-38. An optimiser's running mean of a gradient gets there, by 0.9 a
    step, wherever a unit has died or a pixel is hardly ever on: unflushed, a VAE's later epochs on MNIST take a quarter longer.
    """
    for tensor in tensors:
        tensor.copy_(torch.nn.functional.hardshrink(tensor, below))


class GraphedStep:
    """A training step that a GPU replays as one CUDA graph.

    `step` must read and write the same tensors at each call and do nothing on the CPU that matters. Its first calls run
    eagerly, on a side stream, so that lazy initialisation is over; then it is recorded once and replayed ever after.
    """

    def __init__(self, step: Callable[[], None], *, warmup: int = 3):
        self.step, self.warmup = step, warmup
        self.forget()

    def forget(self) -> None:
        """Record again: something that the graph holds fixed (a whole-number knob, a tensor's place) has changed."""
        self._eager_calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is not None:
            self._graph.replay()
        elif self._eager_calls < self.warmup:
            self._eager_calls += 1
            side, main = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(main)
            with torch.cuda.stream(side):
                self.step()
            main.wait_stream(side)
        else:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, computes nothing
                self.step()
            self._graph.replay()


def describe() -> dict[str, str]:
    """What this machine offers, for people: processor, threads, device, matrix product."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none (none is needed)"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "gpu": gpu,
        "fp32 matrix product": best_matmul(),
    }
