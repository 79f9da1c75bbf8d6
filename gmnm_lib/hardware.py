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
    Whether it does so here, `exact_here` measures.
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

    oneDNN is taken where it is faster on the three products of a layer. It measures 0.8 to 0.96 on CPUs where it is slower and
    1.05 to 1.5 where it is faster, so the choice seldom changes between runs. The variable GMNM_MATMUL=default|onednn decides
    without a probe.
    """
    chosen = os.environ.get("GMNM_MATMUL", "")
    if chosen in ("default", "onednn"):
        return cast(Matmul, chosen)
    if chosen:
        raise InputError(f"GMNM_MATMUL is {chosen!r}: set it to 'default' or 'onednn', or unset it")
    if not torch.backends.mkldnn.is_available():
        return "default"
    return exact_here("onednn") if _probe()["speedup"] > 1 else "default"


def exact_here(path: Matmul) -> Matmul:
    """`path`, or "default" where `path` errs more than 2e-6 here, against float64: it would compute in less than fp32."""
    return path if path == "default" or _probe()["error"] <= 2e-6 else "default"


@cache
def _probe() -> dict[str, float]:
    return probe_matmul()


def probe_matmul(rows: int = 128, inner: int = 784, columns: int = 400, rounds: int = 7) -> dict[str, float]:
    """oneDNN beside torch's default, on the products that train a layer y = x W' from the gradient g of y: x W', g W and g' x.

    x is (rows, inner), W (columns, inner), g (rows, columns). {"speedup": ratio of the best of `rounds`, "error": the worst
    product's, relative to float64}. The best, not the median: other programs only ever make a round slower.
    """
    generator = torch.Generator().manual_seed(0)
    x, w, g = (torch.randn(shape, generator=generator) for shape in ((rows, inner), (columns, inner), (rows, columns)))
    factors = ((x, w.T), (g, w), (g.T, x))

    def seconds(path: Matmul) -> float:
        with matmul(path):
            start = time.perf_counter()
            for a, b in factors:
                a @ b
            return time.perf_counter() - start

    seconds("default"), seconds("onednn")
    times = [(seconds("default"), seconds("onednn")) for _ in range(rounds)]
    default, onednn = map(min, zip(*times, strict=True))
    with matmul("onednn"):
        products = [(a @ b).double() for a, b in factors]
    exact = [a.double() @ b.double() for a, b in factors]
    errors = [float((p - e).norm() / e.norm()) for p, e in zip(products, exact, strict=True)]
    return {"speedup": default / onednn, "error": max(errors)}


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
