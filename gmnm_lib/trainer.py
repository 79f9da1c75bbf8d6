"""One trainer for every model: an iterator of reports that knows device, batches, optimiser, knobs and checkpoints.

    trainer = Trainer(VAE(), load("mnist-5k").train, batch_size=128, lr=1e-3, seed=0)
    for report in trainer.run(epochs=5):
        print(report.step, report.terms["kl"])

It reports, checks and saves between steps, and never in one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from gmnm_lib import checkpoints, hardware
from gmnm_lib.checkpoints import State
from gmnm_lib.data.text import by_length
from gmnm_lib.errors import InputError, whole
from gmnm_lib.knobs import Knobs
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.randomness import Stream

Data = Tensor | tuple[Tensor, ...]
MakeOptimizer = Callable[[Iterable[nn.Parameter], Any], torch.optim.Optimizer]


class Report(NamedTuple):
    """Where training stands. `total` and `terms` are means over the steps since the last report (nats an example)."""

    step: int
    epoch: float
    total: float
    terms: dict[str, float]
    knobs: dict[str, float]


class Diverged(InputError):
    """The loss was no longer a number. The trainer is back at its last good state and can run again."""


def adam(parameters: Iterable[nn.Parameter], lr: Any) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) as one fused kernel."""
    return torch.optim.Adam(parameters, lr=lr, fused=True, capturable=isinstance(lr, Tensor))


class Trainer:
    """Trains `model` on `data`, which moves to the device once.

    data: a tensor (examples, ...) or a NamedTuple of tensors of equal length; `model.loss` gets batches of the same kind.
    Each epoch is a fresh permutation in full batches; the remainder waits for another epoch.
    A model that has `check_data` is given the data once, to refuse what it cannot learn before the first step.
    knobs: what `model.loss` declares, and "lr". They may be changed while it runs, from any thread, and act on the next step.
    seed: of batches and draws. The same seed, model and data give the same parameters, bit by bit on one CPU; so does a run
    that was interrupted and resumed from its `checkpoint`, a file written whole every `checkpoint_seconds` and when a run ends.
    similar_lengths: batches of sequences about as long as each other, by the `lengths` of the data; less of them is padding.
    optimizer: makes the optimiser from (parameters, lr); on a GPU lr is a tensor that must be kept.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        *,
        batch_size: int = 128,
        lr: float = 1e-3,
        seed: int = 0,
        knobs: Mapping[str, float] | None = None,
        device: str = "auto",
        optimizer: MakeOptimizer = adam,
        checkpoint: Path | str | None = None,
        checkpoint_seconds: float = 30.0,
        report_every: int = 50,
        graph: bool = True,
        similar_lengths: bool = False,
    ):
        self.device = hardware.device(device)
        self.model = model.to(self.device)
        self.data = _to_device(data, self.device)
        _check_type(self.data, model)
        self.examples = len(_tensors(self.data)[0])
        if whole("batch_size", batch_size) > self.examples:
            raise InputError(
                f"batch_size is {batch_size} for {self.examples} examples: choose from 1 to {self.examples}"
            )
        whole("report_every", report_every)
        whole("seed", seed, least=0)
        if hasattr(model, "check_data"):
            cast(Callable[[Data], None], model.check_data)(self.data)
        self.batch_size, self.seed, self.report_every = batch_size, seed, report_every
        self._lengths = _lengths_of(data) if similar_lengths else None
        self.steps_per_epoch = self.examples // batch_size
        self.matmul: hardware.Matmul = hardware.best_matmul() if self.device.type == "cpu" else "default"
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.checkpoint_seconds = checkpoint_seconds

        self.knobs = Knobs.of(cast(Callable[..., Loss], model.loss), self.device, lr=(Knob(1e-6, 1.0, log=True), lr))
        for name, value in (knobs or {}).items():
            self.knobs[name] = value
        on_gpu = self.device.type == "cuda"
        lr_given = self.knobs.tensors["lr"] if on_gpu else self.knobs["lr"]
        self.optimizer = optimizer([p for p in model.parameters() if p.requires_grad], lr_given)
        self._advance = hardware.GraphedStep(self._train_on_batch) if on_gpu and graph else self._train_on_batch

        self.step = 0
        self.history: list[Report] = []
        self._stream = Stream(seed, self.device)
        self._index = torch.zeros(batch_size, dtype=torch.long, device=self.device)
        self._order: tuple[int, Tensor] | None = None  # (epoch, its permutation)
        self._sums: Tensor | None = None  # of total and terms since the last report
        self._names: tuple[str, ...] = ()
        self._beginning = self._good = checkpoints.copy(self.state())
        self._good_at = self._saved_at = time.monotonic()

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.step / self.steps_per_epoch

    def run(
        self, epochs: float | None = None, *, until: float | None = None, report_every: int | None = None
    ) -> Iterator[Report]:
        """Train for `epochs` more, or `until` that many epochs in all; a report every `report_every` steps and at the end.

        Between reports the model is in eval mode and the reader's random numbers are untouched. Leaving the loop early is
        safe, and another run goes on from there. Ctrl-C, an error in the loss or a loss that is no number (`Diverged`)
        returns the trainer to its last good state, a second or two back.
        """
        if (epochs is None) == (until is None):
            raise InputError("run needs either epochs (that many more) or until (that many in all)")
        asked = epochs if until is None else until
        if not isinstance(asked, (int, float)) or not 0 <= asked < float("inf"):
            raise InputError(f"{'epochs' if until is None else 'until'} is {asked!r}: give a number of 0 or more")
        last = round((asked + self.epoch if until is None else asked) * self.steps_per_epoch)
        every = self.report_every if report_every is None else whole("report_every", report_every)
        try:
            while self.step < last:
                report = self._run_block(min(last, self.step + every - self.step % every))
                self.history.append(report)
                yield report
            self._check_parameters()
        finally:
            if not self._is_sound():
                self._restore(self._good)
            if self.checkpoint:
                self.save(self.checkpoint)

    def reset(self) -> None:
        """Back to step 0 with the parameters and the random stream of the beginning. The knobs stay as they are."""
        self._restore(self._beginning)

    def state(self) -> State:
        """All that the next step depends on, besides the data."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self._stream.state,
            "step": self.step,
            "knobs": dict(self.knobs),
            "matmul": self.matmul,
            "run": {"examples": self.examples, "batch_size": self.batch_size, "seed": self.seed},
        }

    def save(self, path: Path | str) -> None:
        """Write a checkpoint; an interruption leaves the old file whole."""
        checkpoints.write(Path(path), self.state())
        self._saved_at = time.monotonic()

    def load(self, path: Path | str) -> None:
        """Take over a checkpoint of the same model, data size, batch size and seed. A refused one changes nothing."""
        state = checkpoints.read(Path(path))
        checkpoints.check_fit(Path(path), state, self.state())
        for name, value in state["knobs"].items():
            self.knobs.ranges[name].check(name, value)
        if state["matmul"] != self.matmul:
            state["matmul"] = hardware.exact_here(state["matmul"])
        self._restore(state)
        for name, value in state["knobs"].items():
            self.knobs[name] = value

    def resume(self) -> bool:
        """Load `checkpoint` if that file exists; say whether it did."""
        if self.checkpoint is None:
            raise InputError("this trainer has no checkpoint to resume from: give it checkpoint=PATH")
        if found := self.checkpoint.exists():
            self.load(self.checkpoint)
        return found

    def _run_block(self, end: int) -> Report:
        """Steps up to `end`, in the trainer's own mode, random stream and matrix-product path."""
        steps = end - self.step
        try:
            with self._at_work():
                while self.step < end:
                    self._apply_knobs()
                    self._index.copy_(self._next_batch())
                    self._advance()
                    self.step += 1
                    if self.step % 100 == 0 and self.device.type == "cpu":  # 0.9^100 leaves 1e-30 far above 1.2e-38
                        hardware.flush_vanished(self._optimizer_memory())
            report = self._report(steps)
            self._keep_good()
        except BaseException:
            self._restore(self._good)
            raise
        return report

    def _train_on_batch(self) -> None:
        parts = (part.index_select(0, self._index) for part in _tensors(self.data))
        batch = next(parts) if isinstance(self.data, Tensor) else type(self.data)(*parts)
        loss: Loss = self.model.loss(batch, **self.knobs.arguments)  # type: ignore[operator]
        numbers = torch.stack([loss.total.detach(), *(term.detach() for term in loss.terms.values())])
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self.optimizer.step()
        if self._sums is None:
            self._names, self._sums = tuple(loss.terms), numbers
        else:
            self._sums += numbers

    def _optimizer_memory(self) -> Iterator[Tensor]:
        for memory in self.optimizer.state.values():
            yield from (part for part in memory.values() if isinstance(part, Tensor) and part.is_floating_point())

    def _next_batch(self) -> Tensor:
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            shuffle = torch.Generator().manual_seed(1_000_003 * (epoch + 1) + self.seed)
            if self._lengths is None:
                order = torch.randperm(self.examples, generator=shuffle)
            else:
                order = by_length(self._lengths, self.batch_size, shuffle)
            self._order = epoch, order.to(self.device)
        return self._order[1][position * self.batch_size : (position + 1) * self.batch_size]

    def _apply_knobs(self) -> None:
        whole_number_changed = self.knobs.take_changes()
        if whole_number_changed and isinstance(self._advance, hardware.GraphedStep):
            self._advance.forget()
        for group in self.optimizer.param_groups:
            if not isinstance(group["lr"], Tensor):
                group["lr"] = self.knobs.current["lr"]

    def _report(self, steps: int) -> Report:
        assert self._sums is not None
        total, *terms = (self._sums / steps).tolist()
        self._sums.zero_()
        report = Report(
            self.step, self.epoch, total, dict(zip(self._names, terms, strict=True)), dict(self.knobs.current)
        )
        if not all(map(_is_finite, (total, *terms))):
            values = {"total": total, **report.terms}
            bad = ", ".join(f"{name} {value}" for name, value in values.items() if not _is_finite(value))
            raise self._diverged(f"the loss diverged by step {report.step} ({bad})")
        return report

    def _diverged(self, what: str) -> Diverged:
        return Diverged(
            f"{what}: the model is back at step {self._good['step']}, its last good state; "
            f"lower lr (now {self.knobs.current['lr']:g}) and run again"
        )

    def _is_sound(self) -> bool:
        return all(bool(p.isfinite().all()) for p in self.model.parameters())

    def _check_parameters(self) -> None:
        """A loss may be finite and its gradient not: then the parameters say so before the next loss does."""
        if not self._is_sound():
            raise self._diverged(f"the parameters diverged by step {self.step}")

    def _keep_good(self) -> None:
        """Remember this state every second or so, once it is known to be good; write it every `checkpoint_seconds`."""
        now = time.monotonic()
        to_be_kept = now - self._good_at >= 1.0
        to_be_saved = self.checkpoint is not None and now - self._saved_at >= self.checkpoint_seconds
        if to_be_kept or to_be_saved:
            self._check_parameters()
        if to_be_kept:
            self._good, self._good_at = checkpoints.copy(self.state()), now
        if to_be_saved:
            self.save(cast(Path, self.checkpoint))

    def _restore(self, state: State) -> None:
        self._good = state = checkpoints.copy(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(checkpoints.copy(state["optimizer"]))  # it keeps the tensors that it is given
        self._stream.state, self.step, self.matmul = state["random"], state["step"], state["matmul"]
        self.history[:] = [report for report in self.history if report.step <= self.step]
        self._sums = None
        if isinstance(self._advance, hardware.GraphedStep):
            self._relink_lr()
            self._advance.forget()

    def _relink_lr(self) -> None:
        """Loading an optimiser's state copies its lr; the knob's own tensor must be the one it reads."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.knobs.tensors["lr"]

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self.model.train()
        try:
            with self._stream, hardware.matmul(self.matmul):
                yield
        finally:
            self.model.eval()


def _check_type(data: Data, model: nn.Module) -> None:
    """InputError where numbers of another precision than the model's would meet its parameters."""
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    for part in _tensors(data):
        if own is not None and part.dtype != own and (part.is_floating_point() or part.is_complex()):
            raise InputError(f"data is {part.dtype}, the model's parameters {own}: give data.to({own})")


def _tensors(data: Data) -> tuple[Tensor, ...]:
    return (data,) if isinstance(data, Tensor) else tuple(data)


def _lengths_of(data: Data) -> Tensor:
    lengths = getattr(data, "lengths", None)
    if not isinstance(lengths, Tensor) or lengths.dim() != 1:
        raise InputError("data has no lengths, one a sequence, to sort by: give such data, or similar_lengths=False")
    return lengths.cpu()


def _to_device(data: Data, device: torch.device) -> Data:
    """`data` on the device, once it is known to be tensors of equal length without NaN or infinity."""
    parts = _tensors(data) if isinstance(data, (Tensor, tuple)) else ()
    if not parts or not all(isinstance(part, Tensor) and part.dim() for part in parts):
        raise InputError(
            f"data is {type(data).__name__}: give a tensor (examples, ...) or a NamedTuple of such tensors"
        )
    if len({len(part) for part in parts}) > 1:
        raise InputError(
            f"the parts of data have {', '.join(str(len(p)) for p in parts)} examples: they need the same number"
        )
    for part in parts:
        if part.is_floating_point() and not part.isfinite().all():
            row = int((~part.isfinite()).reshape(len(part), -1).any(1).nonzero()[0])
            raise InputError(f"data holds NaN or infinity, first in example {row}: remove or mend such examples")
    moved = tuple(part.to(device) for part in parts)
    return moved[0] if isinstance(data, Tensor) else type(data)(*moved)


def _is_finite(number: float) -> bool:
    return abs(number) < float("inf")
