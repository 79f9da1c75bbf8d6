"""Bad input, divergence and interruptions: each is told, and costs nothing that was good."""

import pytest
import torch
from pytest import approx
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from gmnm_lib import checkpoints
from gmnm_lib.errors import InputError
from gmnm_lib.objectives import Loss
from gmnm_lib.trainer import Diverged, Trainer
from tests.small_trainers import DATA, drift, parameters, trainer, vae


def test_divergence_stops_at_the_last_good_state_and_says_so():
    ours = trainer()
    list(ours.run(epochs=1))
    ours._good_at -= 10  # a good state is kept every second: let it be due at the next report, step 12
    run = ours.run(epochs=2)
    next(run)
    kept = parameters(ours)
    next(run)
    with torch.no_grad():
        ours.model.decoder[0].weight.fill_(float("inf"))
    with pytest.raises(Diverged, match=r"diverged by step 20 .*back at step 12.*lower lr \(now 0.001\)"):
        next(run)
    assert ours.step == 12
    assert torch.equal(parameters(ours), kept)
    assert list(ours.run(epochs=1))[-1].step == 22


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_in_a_step_leaves_a_state_that_goes_on(interruption):
    ours = drift(report_every=1)
    list(ours.run(epochs=1))
    honest, ours.model.loss = ours.model.loss, lambda *a, **k: (_ for _ in ()).throw(interruption())
    with pytest.raises(interruption):
        list(ours.run(epochs=1))
    ours.model.loss = honest
    list(ours.run(until=2))
    assert float(ours.model.place.detach()) == approx(-0.4) and not ours.model.training


def plain(state):
    """`state` with lists in place of tensors, to compare."""
    return tree_map(lambda leaf: leaf.tolist() if isinstance(leaf, Tensor) else leaf, dict(state))


def fails_after(model: nn.Module, steps: int, monkeypatch) -> None:
    """Ctrl-C at the step after `steps` more."""
    honest, left = model.loss, iter(range(steps))

    def loss(*arguments, **knobs):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return honest(*arguments, **knobs)

    monkeypatch.setattr(model, "loss", loss)


def test_an_interruption_right_after_a_resume_leaves_the_checkpoint_as_it_was(tmp_path, monkeypatch):
    """Three of the block's four steps are taken before it stops. Adam changes its moments in place."""
    first = trainer(checkpoint=tmp_path / "run.pt")
    list(first.run(epochs=1))
    second = trainer(checkpoint=tmp_path / "run.pt")
    second.resume()
    with monkeypatch.context() as patched:
        fails_after(second.model, 3, patched)
        with pytest.raises(KeyboardInterrupt):
            list(second.run(epochs=1))
    assert plain(second.state()) == plain(checkpoints.read(tmp_path / "run.pt")) == plain(first.state())
    for ours in (first, second):
        list(ours.run(epochs=1))
    assert torch.equal(parameters(first), parameters(second))


def test_a_run_that_diverged_twice_goes_on_at_a_lower_lr():
    """From the state that it came back to, as a trainer does that never diverged."""
    ours, calm = trainer(), trainer()
    for each in (ours, calm):
        list(each.run(epochs=1))
        each._good_at -= 10  # a good state is due at the next report
        next(each.run(epochs=1))
    weight = ours.model.decoder[0].weight
    for _ in range(2):
        with torch.no_grad():
            weight.fill_(float("inf"))
        with pytest.raises(Diverged):
            list(ours.run(epochs=1))
    for each in (ours, calm):
        each.knobs["lr"] = 1e-4
        list(each.run(epochs=1))
    assert ours.step == calm.step == 22
    assert torch.equal(parameters(ours), parameters(calm)) and parameters(ours).isfinite().all()


def nan_data() -> Tensor:
    data = DATA.clone()
    data[17, 3] = float("nan")
    return data


@pytest.mark.parametrize(
    "options, says",
    [
        ({"data": nan_data()}, "first in example 17"),
        ({"data": [1, 2]}, "data is list"),
        ({"data": (torch.zeros(3), torch.zeros(4))}, "3, 4 examples"),
        ({"batch_size": 211}, "from 1 to 210"),
        ({"batch_size": 0}, "batch_size is 0: give a whole number of 1 or more"),
        ({"batch_size": 20.5}, "batch_size is 20.5: give a whole number"),
        ({"report_every": 0}, "report_every is 0: give a whole number of 1 or more"),
        ({"seed": "a"}, "seed is 'a': give a whole number of 0 or more"),
        (
            {"data": DATA.double()},
            r"data is torch.float64, the model's parameters torch.float32: give data.to\(torch.float32\)",
        ),
        ({"lr": 2.0}, "'lr' is 2"),
        ({"device": "abacus"}, "no device 'abacus'"),
    ],
)
def test_bad_input_is_named(options, says):
    with pytest.raises(InputError, match=says):
        Trainer(vae(), **{"data": DATA} | options)


def test_run_needs_one_of_epochs_and_until():
    for options in ({}, {"epochs": 1, "until": 1}):
        with pytest.raises(InputError, match="either epochs"):
            next(trainer().run(**options))


def test_a_wrong_batch_shape_names_itself():
    with pytest.raises(InputError, match=r"shape \(210, 15\)"):
        Trainer(vae(), DATA[:, :15], batch_size=20)


@pytest.mark.parametrize("asked", [-3, float("nan"), float("inf"), "3"])
def test_a_run_of_no_length_is_refused(asked):
    for name in ("epochs", "until"):
        with pytest.raises(InputError, match=f"{name} is {asked!r}: give a number of 0 or more"):
            next(trainer().run(**{name: asked}))
    with pytest.raises(InputError, match="report_every is 0"):
        next(trainer().run(epochs=1, report_every=0))


class Root(nn.Module):
    """A finite loss whose gradient is none from step `from_step` on: the root of w - w at 0."""

    def __init__(self, from_step: int):
        super().__init__()
        self.w, self.from_step, self.steps = nn.Parameter(torch.ones(1)), from_step, 0

    def loss(self, x: Tensor) -> Loss:
        self.steps += 1
        bent = (self.w - self.w.detach()).sqrt() if self.steps >= self.from_step else self.w.square()
        return Loss(bent.sum())


def test_parameters_that_diverge_in_the_last_step_are_neither_kept_nor_saved(tmp_path):
    """Their loss was finite, so that only they can tell."""
    ours = Trainer(Root(10), DATA[:20], batch_size=2, device="cpu", checkpoint=tmp_path / "run.pt")
    with pytest.raises(Diverged, match="the parameters diverged by step 10: the model is back at step 0"):
        list(ours.run(epochs=1))
    assert ours.step == 0 and bool(ours.model.w.isfinite())
    again = Trainer(Root(1000), DATA[:20], batch_size=2, device="cpu", checkpoint=tmp_path / "run.pt")
    assert again.resume() and again.step == 0
    assert list(again.run(epochs=1))[-1].step == 10


def test_parameters_that_diverge_on_the_way_stop_the_run_where_a_good_state_is_due():
    ours = Trainer(Root(10), DATA[:20], batch_size=2, device="cpu", report_every=10)
    ours._good_at -= 10
    with pytest.raises(Diverged, match="the parameters diverged by step 10"):
        list(ours.run(epochs=5))
    assert bool(ours.model.w.isfinite())


def test_a_loop_left_early_with_bad_parameters_leaves_good_ones():
    ours = trainer()
    for _ in ours.run(epochs=1):
        with torch.no_grad():
            ours.model.decoder[0].weight.fill_(float("nan"))
        break
    assert bool(parameters(ours).isfinite().all())
