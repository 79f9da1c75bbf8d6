"""The metre model against sums over its phases, and the product of experts against its own definition."""

from itertools import pairwise

import pytest
import torch
from pytest import approx

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.metre import Metre, continue_with_metre, onsets
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
