"""Exact inference in a sigmoid belief network: explaining away, by hand and by enumeration."""

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.belief_network import log_evidence, log_joint, posterior, posterior_marginals
from gmnm_lib.evaluate.enumeration import states
from gmnm_lib.models.mean_field_sbn import MeanFieldSBN
from gmnm_lib.models.sbn import SBN

SEEN = torch.ones(1, 1).double()


def earthquake_or_truck() -> SBN:
    """Hinton's example: a house jumps (logit -20) where either of two rare causes (logits -10) adds 20."""
    model = SBN((1, 2)).double()
    with torch.no_grad():
        model.top_bias.fill_(-10.0)
        model.down[0].weight.fill_(20.0)
        model.down[0].bias.fill_(-20.0)
    return model


def by_hand() -> torch.Tensor:
    """p(h|x = 1), h = 00, 01, 10, 11."""
    cause = torch.sigmoid(torch.tensor(-10.0).double())
    jump = torch.sigmoid(torch.tensor([-20.0, 0.0, 0.0, 20.0]).double())
    joint = jump * torch.stack([(1 - cause) ** 2, cause * (1 - cause), cause * (1 - cause), cause**2])
    return joint / joint.sum()


def test_posterior_is_bayes_rule_by_hand():
    assert posterior(earthquake_or_truck(), SEEN)[0].tolist() == approx(by_hand().tolist(), abs=1e-12)


def test_knowing_one_cause_explains_the_other_away():
    model, p = earthquake_or_truck(), by_hand()
    before, after = posterior_marginals(model, SEEN)[0, 0], posterior_marginals(model, SEEN, {1: 1})[0, 0]
    assert float(before.detach()) == approx(float(p[2] + p[3]), abs=1e-12)
    assert float(after.detach()) == approx(float(p[3] / (p[1] + p[3])), abs=1e-12)
    assert before > 0.49 and after < 1e-3


def test_no_factorial_q_holds_two_causes_that_compete():
    """The least KL(q||p(h|x)) over a fine grid of factorial q is near log 2: q must choose one cause."""
    logit = torch.linspace(-14, 14, 281).double()
    a, b = torch.meshgrid(logit.sigmoid(), logit.sigmoid(), indexing="ij")
    q = torch.stack([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b], -1)
    least = float((torch.xlogy(q, q) - q * by_hand().log()).sum(-1).min())
    assert 0.6 < least < 0.7


@pytest.mark.parametrize("chunk", [1, 40])
def test_portions_of_the_states_give_the_same_evidence_joint_and_gradients(chunk):
    torch.manual_seed(0)
    model, x = SBN((4, 3, 2)).double(), states(4, dtype=torch.float64)
    h = states(5, dtype=torch.float64)
    joint = model.decode(h).log_prob(x[:, None]) + model.prior().log_prob(h)
    torch.testing.assert_close(log_joint(model, x, chunk=chunk), joint)
    torch.testing.assert_close(log_evidence(model, x, chunk=chunk), joint.logsumexp(-1))
    parts = [*model.down.parameters(), model.top_bias]
    found = torch.autograd.grad(log_evidence(model, x, chunk=chunk)[:3].sum(), parts)
    torch.testing.assert_close(found, torch.autograd.grad(joint.logsumexp(-1)[:3].sum(), parts))


def test_no_table_of_all_states_beside_all_visible_units_is_built(monkeypatch):
    """2^10 states of 100 visible units are 102,400 numbers."""
    model, asked = SBN((100, 10)), []
    monkeypatch.setattr(model, "decode", lambda h: (asked.append(len(h)), SBN.decode(model, h))[1])
    for ask in (log_evidence, log_joint):
        ask(model, torch.zeros(3, 100), chunk=2**12)
    assert max(asked) * 100 <= 2**12 and sum(asked) == 2 * 2**10


@pytest.mark.parametrize(
    "ask, says",
    [
        (lambda: log_evidence(SBN((4, 21)), torch.zeros(1, 4)), "21 hidden units"),
        (lambda: log_joint(SBN((4, 21)), torch.zeros(1, 4)), "21 hidden units"),
        (lambda: log_evidence(SBN((4, 2)), torch.zeros(1, 5)), r"shape \(1, 5\)"),
        (lambda: log_evidence(SBN((4, 2)), torch.full((1, 4), 2.0)), "from 2 to 2"),
        (lambda: posterior(SBN((4, 2)), torch.full((1, 4), -1.0)), "from -1 to -1"),
        (lambda: log_evidence(MeanFieldSBN(4, 2), torch.full((1, 4), 2.0)), "from 2 to 2"),
        (lambda: posterior(SBN((4, 20)), torch.zeros(129, 4)), r"129 examples with 2\^20 states.*at most 128 examples"),
        (lambda: posterior_marginals(SBN((4, 2)), torch.zeros(1, 4), {2: 1}), "unit 2"),
        (lambda: posterior_marginals(SBN((4, 2)), torch.zeros(1, 4), {0: 3}), "bits 0 or 1"),
    ],
)
def test_bad_input_is_named(ask, says):
    with pytest.raises(InputError, match=says):
        ask()
