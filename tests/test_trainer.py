"""The trainer against a loop written out by hand, and against itself interrupted."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from pytest import approx
from torch import Tensor, nn

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.objectives import Loss
from gmnm_lib.trainer import Trainer, adam
from tests.small_trainers import DATA, Drift, drift, parameters, trainer, vae


def test_it_takes_the_steps_of_a_loop_written_by_hand():
    """Batches by the documented permutation, draws from the seed's generator, fused Adam: equal bit by bit."""
    ours = trainer()
    reports = list(ours.run(epochs=2))
    model = vae()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    torch.manual_seed(1)
    totals = []
    for epoch in range(2):
        order = torch.randperm(210, generator=torch.Generator().manual_seed(1_000_003 * (epoch + 1) + 1))
        for batch in order[:200].split(20):
            optimizer.zero_grad()
            total, _ = model.loss(DATA[batch])
            total.backward()
            optimizer.step()
            totals.append(float(total.detach()))
    assert torch.equal(parameters(ours), torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert [r.step for r in reports] == [4, 8, 12, 16, 20]
    assert [r.total for r in reports] == approx([sum(totals[i : i + 4]) / 4 for i in range(0, 20, 4)], rel=1e-6)


def test_a_gradient_that_has_stopped_leaves_no_numbers_too_small_to_compute_with():
    """Plain Adam ends in them, at the same parameters: they are slow and change nothing."""
    by_hand = nn.Parameter(torch.zeros(()))
    plain = torch.optim.Adam([by_hand], lr=0.1, fused=True)
    ours = drift(optimizer=adam)
    for steps, speed in ((4, 1.0), (896, 0.0)):
        ours.knobs["speed"] = speed
        list(ours.run(epochs=steps / ours.steps_per_epoch))
        for _ in range(steps):
            by_hand.grad = torch.tensor(speed)
            plain.step()
    assert [0 < float(state["exp_avg"]) < 1.2e-38 for state in plain.state.values()] == [True]
    assert [float(state["exp_avg"]) for state in ours.optimizer.state.values()] == [0.0]
    assert parameters(ours).tolist() == [float(by_hand.detach())]


def test_a_knob_acts_on_the_next_step():
    ours = drift(report_every=1)
    run = ours.run(epochs=2)
    next(run)
    ours.knobs["speed"] = 5.0
    next(run)
    ours.knobs["lr"] = 0.2
    next(run)
    assert float(ours.model.place.detach()) == approx(-(0.1 * 1 + 0.1 * 5 + 0.2 * 5))
    assert ours.model.seen == [1.0, 5.0, 5.0]


def test_whole_number_knobs_arrive_as_ints():
    ours = drift(knobs={"copies": 3})
    list(ours.run(epochs=0.5))
    assert float(ours.model.place.detach()) == approx(-0.3)


def test_reports_carry_means_over_their_steps_and_the_knobs_that_acted():
    ours = drift(report_every=2)
    first, second = ours.run(epochs=2)
    assert first.terms["place"] == approx((0 - 0.1) / 2) and second.terms["place"] == approx((-0.2 - 0.3) / 2)
    assert first.knobs == {"speed": 1.0, "copies": 1.0, "lr": 0.1} and (first.epoch, second.epoch) == (1.0, 2.0)
    assert ours.history == [first, second]


@pytest.mark.parametrize("value, says", [(11, "from 0 to 10"), ("fast", "needs a number"), (float("nan"), "outside")])
def test_a_knob_out_of_range_is_refused_and_changes_nothing(value, says):
    ours = drift()
    with pytest.raises(InputError, match=says):
        ours.knobs["speed"] = value
    assert ours.knobs["speed"] == 1.0


def test_an_unknown_knob_is_refused_with_the_known_ones():
    for act in (lambda: drift(knobs={"sped": 1}), lambda: drift().knobs["sped"]):
        with pytest.raises(InputError, match="'sped': choose from speed, copies, lr"):
            act()


def test_resume_is_bit_identical(tmp_path: Path):
    """Interrupted in the middle of an epoch, with a knob turned on the way, and gone on in a new process's stead."""
    whole = trainer(knobs={"kl_weight": 0.5})
    list(whole.run(epochs=4))
    first = trainer(knobs={"kl_weight": 0.5}, checkpoint=tmp_path / "run.pt")
    for report in first.run(until=4):
        if report.step == 24:
            break
    torch.rand(5)
    second = trainer(checkpoint=tmp_path / "run.pt")
    assert second.resume() and second.step == 24 and second.knobs["kl_weight"] == 0.5
    list(second.run(until=4))
    assert torch.equal(parameters(whole), parameters(second))
    third = trainer()
    third.load(tmp_path / "run.pt")
    assert third.step == 40 and torch.equal(parameters(whole), parameters(third))


def test_until_does_nothing_once_reached_and_epochs_goes_on():
    ours = trainer()
    list(ours.run(until=1))
    assert list(ours.run(until=1)) == []
    list(ours.run(epochs=1))
    assert ours.epoch == 2


def test_reset_repeats_the_same_history():
    ours = trainer()
    first = [r.total for r in ours.run(epochs=1)]
    ours.reset()
    assert ours.step == 0 and ours.history == []
    assert [r.total for r in ours.run(epochs=1)] == first


def test_the_readers_random_numbers_are_untouched_and_the_model_evaluates_between_reports():
    ours = trainer()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    for _ in ours.run(epochs=1):
        assert not ours.model.training
    assert torch.equal(torch.rand(3), expected)


def test_batches_of_several_tensors_keep_their_examples_together():
    class Pair(NamedTuple):
        x: Tensor
        twice: Tensor

    class Checks(Drift):
        def loss(self, batch: Pair) -> Loss:
            assert torch.equal(2 * batch.x, batch.twice) and len(batch.x) == 5
            return Loss(self.place)

    x = torch.rand(10, 1)
    assert len(list(Trainer(Checks(), Pair(x, 2 * x), batch_size=5, device="cpu").run(epochs=1))) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_captured_step_equals_the_eager_one():
    """Same seed, with a knob turned on the way: one CUDA graph against eager steps."""
    runs = []
    for graph in (True, False):
        ours = trainer(device="cuda", graph=graph)
        for report in ours.run(epochs=3):
            if report.step == 16:
                ours.knobs["kl_weight"] = 0.3
                ours.knobs["lr"] = 3e-3
        runs.append(parameters(ours).cpu())
    assert float((runs[0] - runs[1]).abs().max()) == approx(0.0, abs=1e-4)


def test_a_model_is_shown_its_data_once_and_may_refuse_it():
    class Picky(Drift):
        def check_data(self, data: Tensor) -> None:
            self.shown = [*getattr(self, "shown", []), data]
            if float(data.max()) > 1:
                raise InputError("the data reaches above 1")

    picky, data = Picky(), torch.rand(10, 1)
    trained = Trainer(picky, data, batch_size=5, device="cpu")
    list(trained.run(epochs=2))
    assert len(picky.shown) == 1 and torch.equal(picky.shown[0], data)
    with pytest.raises(InputError, match="above 1"):
        Trainer(Picky(), data + 1, batch_size=5, device="cpu")


class Lengths(nn.Module):
    """Its loss tells how different the lengths of a batch are."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def loss(self, batch: Sequences) -> Loss:
        lengths = batch.lengths.float()
        return Loss(0 * self.scale, spread=lengths.amax() - lengths.amin(), mean=lengths.mean())


def test_batches_of_similar_lengths_hold_every_sequence_once_an_epoch():
    lengths = torch.randint(1, 60, (400,), generator=torch.Generator().manual_seed(0))
    data = Sequences(torch.zeros(400, 60, 1), lengths)
    spread = {}
    for similar in (False, True):
        trainer = Trainer(Lengths(), data, batch_size=10, device="cpu", similar_lengths=similar)
        (report,) = trainer.run(epochs=1, report_every=40)
        spread[similar] = report.terms["spread"]
        assert report.terms["mean"] == approx(float(lengths.float().mean()), rel=1e-6)
    assert spread[True] < 0.1 * spread[False]


def test_similar_lengths_need_lengths():
    with pytest.raises(InputError, match="no lengths"):
        Trainer(Lengths(), torch.zeros(4, 2), batch_size=2, device="cpu", similar_lengths=True)
