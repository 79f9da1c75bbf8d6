"""The metre model against sums over its phases, and the product of experts against its own definition."""

from itertools import pairwise

import pytest
import torch
from pytest import approx

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.metre import (
    Metre,
    PhaseRNN,
    continue_with_metre,
    likeliest_phases,
    log_prob_with_metre,
    onset_distribution,
    onsets,
    with_phase,
)
from gmnm_lib.models.rnn import RNN

LONG = torch.ones(2, 7, dtype=torch.bool)


def metre(period: int = 3, counts: int = 4) -> Metre:
    torch.manual_seed(0)
    made = Metre(period, counts)
    made.phase_rates.copy_(torch.rand(period, counts, dtype=torch.float64).softmax(-1))
    made.first_phase.copy_(torch.rand(period, dtype=torch.float64).softmax(-1))
    return made


def test_onsets_count_keys_that_begin_and_stop_at_the_most():
    roll = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).float()
    assert onsets(roll).tolist() == [3, 1, 0, 4]
    assert onsets(roll, most=2).tolist() == [2, 1, 0, 2]


def test_log_prob_is_the_sum_over_first_phases_written_out():
    model, o = metre(), torch.tensor([[0, 3, 1, 2, 2, 0, 1], [1, 1, 1, 0, 3, 0, 2]])
    mask = LONG.clone()
    mask[1, 4:] = False
    for row, length in enumerate((7, 4)):
        total = sum(
            float(model.first_phase[first])
            * torch.stack([model.phase_rates[(first + t) % 3, o[row, t]] for t in range(length)]).prod().item()
            for first in range(3)
        )
        assert float(model.log_prob(o, mask)[row].exp()) == approx(total)
    assert model.first_phase_posterior(o, mask).sum(1).tolist() == approx([1, 1])


def test_expectation_maximisation_never_falls_and_finds_the_beat():
    torch.manual_seed(0)
    truth = Metre(3, 2)
    truth.phase_rates.copy_(torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]]))
    first = torch.randint(3, (200,))
    phases = (first[:, None] + torch.arange(30)) % 3
    o = torch.multinomial(truth.phase_rates[phases.flatten()], 1).reshape(200, 30)
    model = Metre(3, 2)
    found = model.fit(o, torch.ones_like(o, dtype=torch.bool))
    assert all(later >= earlier - 1e-4 for earlier, later in pairwise(found))
    assert found[-1] >= float(truth.log_prob(o, torch.ones_like(o, dtype=torch.bool)).mean()) - 0.05
    strong = int(model.phase_rates[:, 1].argmax())
    assert model.phase_rates[[strong, strong - 2, strong - 1]][:, 1].tolist() == approx([0.9, 0.2, 0.3], abs=0.05)


def prefix(n: int) -> Sequences:
    generator = torch.Generator().manual_seed(0)
    return Sequences((torch.rand(n, 4, 5, generator=generator) < 0.4).float(), torch.full((n,), 4))


def test_the_product_has_the_experts_frequencies():
    """One step, against p(x) metre(o(x))^weight summed over all 32 chords, within 4.5 standard errors and 1 %."""
    torch.manual_seed(0)
    model, beat, n = RNN(5, 8), metre(2, 6), 6000
    start = prefix(1)
    many = Sequences(start.x.expand(n, -1, -1), start.lengths.expand(n))
    torch.manual_seed(1)
    drawn = continue_with_metre(model, beat, many, 1, weight=2.0, candidates=200)[:, 0]
    chords = ((torch.arange(32)[:, None] >> torch.arange(5)) & 1).float()
    with torch.no_grad():
        after = Sequences(torch.cat([start.x.expand(32, -1, -1), chords[:, None]], 1), torch.full((32,), 5))
        log_p = model.path(after).emission.log_prob(after.x)[:, -1].double()
    phase = (beat.first_phase_posterior(onsets(start.x, 5), start.mask).argmax() + 4) % 2
    o = onsets(after.x, 5)[:, -1]
    p = (log_p + 2 * beat.phase_rates[phase, o].log()).softmax(0)
    frequency = torch.bincount((drawn @ (2.0 ** torch.arange(5))).long(), minlength=32) / n
    assert ((frequency - p).abs() < 4.5 * (p * (1 - p) / n).sqrt() + 0.01 * p).all()


def test_weight_nought_is_the_network_by_itself():
    torch.manual_seed(0)
    model, start = RNN(5, 8), prefix(3000)
    torch.manual_seed(1)
    steered = continue_with_metre(model, metre(2, 6), start, 2, weight=0.0).mean((0, 1))
    plain = model.continue_from(start, 2).mean((0, 1))
    assert ((steered - plain).abs() < 4.5 * (2 * 0.25 / 6000) ** 0.5).all()


def test_the_number_of_onsets_is_counted_over_all_chords():
    torch.manual_seed(0)
    begins = torch.rand(3, 6, dtype=torch.float64)
    chords = ((torch.arange(64)[:, None] >> torch.arange(6)) & 1).double()
    p = torch.where(chords[:, None] > 0, begins, 1 - begins).prod(-1)  # (chords, 3)
    exact = torch.zeros(3, 4, dtype=torch.float64).index_add(1, chords.sum(1).clamp(max=3).long(), p.T)
    torch.testing.assert_close(onset_distribution(begins, 4), exact)


@pytest.mark.parametrize("told", [None, False, True])
def test_the_product_of_experts_sums_to_one_over_all_chords(told):
    """Given a piece whose phase is plain from its first steps, p(x_T | .) of all 32 last chords; and of one by its definition."""
    torch.manual_seed(0)
    beat = metre(2, 6)
    beat.first_phase.copy_(torch.tensor([1 - 1e-9, 1e-9]))  # so that the last chord has no say in it
    model = RNN(5, 8) if told is None else PhaseRNN(5, 2, 8, told=told)
    chords = ((torch.arange(32)[:, None] >> torch.arange(5)) & 1).float()
    whole = Sequences(torch.cat([prefix(1).x.expand(32, -1, -1), chords[:, None]], 1), torch.full((32,), 5))
    found = log_prob_with_metre(model, beat, whole, 2.0)[:, -1]
    assert float(found.exp().sum()) == approx(1, abs=1e-6)
    with torch.no_grad():
        heard = whole if told is None else with_phase(beat, whole)
        if told is None:
            log_p = model.path(heard).emission.log_prob(heard.x)[:, -1]
        else:
            log_p = -model.costs(heard)[0][:, -1]
    product = (
        log_p.double() + 2 * beat.phase_rates[likeliest_phases(beat, whole)[:, -1], onsets(whole.x, 5)[:, -1]].log()
    )
    torch.testing.assert_close(found, product.log_softmax(0), atol=1e-6, rtol=0)


def test_weight_nought_leaves_the_networks_likelihood():
    torch.manual_seed(0)
    model, batch = RNN(5, 8), Sequences(prefix(3).x, torch.tensor([4, 2, 3]))
    batch = Sequences(batch.x * batch.mask[..., None], batch.lengths)
    with torch.no_grad():
        own = -model.per_step(batch).reconstruction
    torch.testing.assert_close(log_prob_with_metre(model, metre(), batch, 0.0), own.double(), atol=1e-6, rtol=0)


def test_only_a_network_that_is_told_hears_the_phase():
    torch.manual_seed(0)
    batch = with_phase(metre(), prefix(2))
    other = Sequences(torch.cat([batch.x[..., :5], batch.x[..., 5:].roll(1, -1)], -1), batch.lengths)
    for told in (False, True):
        model = PhaseRNN(5, 3, 8, told=told)
        with torch.no_grad():
            ways = [model.path(one).emission.mean for one in (batch, other)]
        assert torch.equal(*ways) != told


def test_the_auxiliary_weight_adds_the_phases_cost():
    torch.manual_seed(0)
    model, batch = PhaseRNN(5, 3, 8), with_phase(metre(), Sequences(prefix(2).x, torch.tensor([4, 3])))
    plain, more = model.loss(batch), model.loss(batch, auxiliary=2.0)
    steps = model.per_step(batch).reconstruction.sum() / 7  # keys and phase, each counted once
    assert float((plain.terms["reconstruction"] + plain.terms["phase"]).detach()) == approx(float(steps), abs=1e-5)
    added = (more.total - plain.total).detach()
    assert float(added) == approx(2 * float(plain.terms["phase"].detach()), abs=1e-5)


def test_a_network_that_is_told_composes_as_it_hears_itself_over_the_whole_piece():
    """Step by step and at once: the draws' frequencies follow p(x_t | x_<t, phase_<t)."""
    torch.manual_seed(0)
    model, beat, n = PhaseRNN(5, 3, 8, told=True), metre(), 4000
    start = Sequences(prefix(1).x.expand(n, -1, -1), torch.full((n,), 4))
    drawn = continue_with_metre(model, beat, start, 2, weight=0.0, candidates=1)
    assert drawn.shape == (n, 2, 5)
    phase = likeliest_phases(beat, start)[:, -1:]
    bits = torch.nn.functional.one_hot((phase + torch.arange(1, 3)) % 3, 3).float()
    known = with_phase(beat, start).x
    whole = Sequences(torch.cat([known, torch.cat([drawn, bits], -1)], 1), torch.full((n,), 6))
    with torch.no_grad():
        p = model.path(whole).emission.mean[:, 4:, :5].mean(0)
    assert ((drawn.mean(0) - p).abs() < 4.5 * (0.25 / n) ** 0.5).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Metre(0), "period is 0"),
        (lambda: Metre(2, 1), "2 counts or more"),
        (lambda: continue_with_metre(RNN(5, 8), metre(), prefix(2), 1, weight=-1.0), "weight is -1"),
        (lambda: continue_with_metre(RNN(5, 8), metre(), prefix(2), 0), "steps 0"),
        (
            lambda: continue_with_metre(RNN(5, 8), metre(), Sequences(prefix(2).x, torch.tensor([4, 3])), 1),
            "prefixes of one length",
        ),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InputError, match=says):
        call()
