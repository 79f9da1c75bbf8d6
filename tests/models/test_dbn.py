"""The deep belief network against sums over all its states."""

from itertools import pairwise

import pytest
import torch
from pytest import approx
from torch import nn

from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import deep
from gmnm_lib.evaluate.deep import dbn_log_likelihood
from gmnm_lib.evaluate.enumeration import log_likelihood, log_partition, states
from gmnm_lib.models.dbn import DBN, pretrain, upside_down
from gmnm_lib.models.rbm import RBM
from gmnm_lib.trainer import Trainer
from tests.models.small_rbms import joint, off_by, two_modes

X = states(4).double()


def random_weights(model: nn.Module, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return model.double()


@pytest.mark.parametrize("sizes", [(4, 3, 2), (4, 3, 2, 3)])
def test_log_likelihood_is_the_sum_over_every_layer_written_out(sizes):
    dbn = random_weights(DBN(sizes))
    h = states(sum(sizes[1:-1])).double()
    top = h[:, -sizes[-2] :]
    log_top = log_likelihood(dbn.top, top)
    lower = torch.cat([X[:, None].expand(-1, len(h), -1), h.expand(len(X), -1, -1)], -1)[..., : -sizes[-2]]
    expected = torch.logsumexp(dbn.generate(top).log_prob(lower) + log_top, -1)
    assert dbn_log_likelihood(dbn, X).tolist() == approx(expected.tolist(), abs=1e-9)
    assert dbn_log_likelihood(dbn, X).exp().sum().item() == approx(1, abs=1e-9)


def test_portions_of_the_states_give_the_same_likelihood_and_gradients(monkeypatch):
    dbn, found = random_weights(DBN((4, 3, 2, 3))), []
    for chunk in (1, 20, 2**22):
        monkeypatch.setattr(deep, "CHUNK", chunk)
        log_p = dbn_log_likelihood(dbn, X)
        parameters = [*dbn.generative.parameters(), *dbn.top.parameters()]
        found.append((log_p, *torch.autograd.grad(log_p[:3].sum(), parameters)))
    for portions in found[:2]:
        torch.testing.assert_close(portions, found[2])


def test_no_table_of_all_states_beside_all_units_is_built_or_kept_for_the_gradient(monkeypatch):
    """2^12 states of h_1 beside 300 units of h_2 are 1.2 million numbers, beside 200 pixels 0.8 million."""
    dbn, asked, kept = DBN((200, 12, 300)), [], []
    monkeypatch.setattr(deep, "CHUNK", 2**14)

    def watch(layer: nn.Module, method: str, width: int):
        honest = getattr(layer, method)
        monkeypatch.setattr(layer, method, lambda h: (asked.append(len(h) * width), honest(h))[1])

    watch(dbn.generative[0], "forward", 200)
    watch(dbn.top, "free_energy", 300)

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        dbn_log_likelihood(dbn, torch.zeros(3, 200))
    assert max(asked) <= 2**14 and sum(asked) == 2**12 * 500
    assert sum(kept) < 2**18


@torch.no_grad()
def test_the_bound_lies_below_the_exact_log_likelihood():
    dbn = random_weights(DBN((4, 3, 2, 3)))
    torch.manual_seed(0)
    draws = torch.stack([dbn.bound(X, log_partition(dbn.top), samples=200) for _ in range(20)])
    error = draws.std(0) / 20**0.5
    exact = dbn_log_likelihood(dbn, X)
    assert bool((draws.mean(0) < exact + 4 * error).all())
    assert float((exact - draws.mean(0)).max()) > 0.1


@torch.no_grad()
def test_an_rbm_upon_itself_is_the_rbm_and_its_bound_is_tight():
    """Hinton 2006, section 4: with tied weights q is the posterior, so that not even one draw is off."""
    rbm = random_weights(RBM(4, 3))
    dbn = DBN.assemble([rbm, upside_down(rbm)])
    exact = log_likelihood(rbm, X)
    assert dbn_log_likelihood(dbn, X).tolist() == approx(exact.tolist(), abs=1e-9)
    assert dbn.bound(X, log_partition(dbn.top)).tolist() == approx(exact.tolist(), abs=1e-9)


def test_the_bound_does_not_drop_when_the_added_layer_learns():
    """By the exact gradient of the top's likelihood on the aggregated posterior: the bound rises by as much."""
    rbm = random_weights(RBM(4, 3))
    data, h = X[[1, 6, 9]], states(3).double()
    q = rbm.propup(data).log_prob(h[:, None]).exp().T.detach()  # q(h|x): (data, states)
    top = upside_down(rbm).double()

    def bound() -> float:
        dbn = DBN.assemble([rbm, top])
        log_joint = dbn.decode(h).log_prob(data[:, None]) + log_likelihood(top, h)
        return float((q * (log_joint - q.log())).sum(-1).mean())

    bounds = [bound()]
    assert bounds[0] == approx(float(log_likelihood(rbm, data).mean()), abs=1e-9)
    optimizer = torch.optim.SGD(top.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        (-(q.mean(0) * log_likelihood(top, h)).sum()).backward()
        optimizer.step()
        bounds.append(bound())
    assert all(after >= before - 1e-9 for before, after in pairwise(bounds))
    assert bounds[-1] > bounds[0] + 0.02


def test_wake_and_sleep_have_the_gradients_of_their_definitions():
    """On enumerated expectations: E_q[-log p(x|h)] for the generative weights, E_p[-log q(h|x)] for the recognition ones."""
    dbn = random_weights(DBN((4, 3, 2), particles=20_000))
    h = states(3).double()
    with torch.no_grad():
        p_top = log_likelihood(dbn.top, h).exp()
        dbn.top.particles.copy_(
            h[torch.multinomial(p_top, 20_000, replacement=True, generator=torch.Generator().manual_seed(0))]
        )
    x = X[[3, 5]].repeat(10_000, 1)
    torch.manual_seed(0)
    dbn.loss(x).total.backward()
    found = [dbn.generative[0].weight.grad.clone(), dbn.recognition[0].weight.grad.clone()]

    dbn.zero_grad()
    q = dbn.recognition[0](X[[3, 5]]).sigmoid()
    q = torch.stack([(q * row + (1 - q) * (1 - row)).prod(-1) for row in h], -1).detach()  # (2, states)
    wake = -(q * dbn.decode(h).log_prob(X[[3, 5]][:, None])).sum(-1).mean()
    joint = (dbn.decode(h).log_prob(X[:, None]).exp() * p_top).detach()  # (x, h)
    sleep = -(joint * dbn.encode(X).log_prob(h[:, None]).T).sum()
    (wake + sleep).backward()
    # Each entry averages 20,000 products of a bit and a number in [-1, 1]: a standard error of at most 1 / sqrt(20,000).
    for estimate, exact in zip(found, [dbn.generative[0].weight.grad, dbn.recognition[0].weight.grad], strict=True):
        assert float((estimate - exact).abs().max()) < 4 / 20_000**0.5


@torch.no_grad()
def test_samples_are_a_mixture_of_coins_with_the_images_probabilities():
    """E[prod_i Bernoulli(x_i; mean_i)] = p(x) for every image x, of `down` from exact tops and of long chains alone."""
    dbn, n = random_weights(DBN((4, 3, 2, 3))), 20_000
    exact, p_top = dbn_log_likelihood(dbn, X).exp(), log_likelihood(dbn.top, states(2).double()).exp()
    torch.manual_seed(1)

    def off(means: torch.Tensor) -> float:
        share = torch.distributions.Bernoulli(probs=means[:, None]).log_prob(X).sum(-1).exp()
        return float(((share.mean(0) - exact).abs() / share.std(0) * n**0.5).max())

    top = states(2).double()[torch.multinomial(p_top, n, replacement=True)]
    assert off(dbn.down(top)) < 4
    assert off_by(dbn.gibbs_step(top), p_top) < 4
    assert off(dbn.sample(n, steps=100)) < 4
    assert off(dbn.sample(n, steps=0)) > 10


@torch.no_grad()
def test_a_chain_starts_from_the_biases_of_the_top_rbms_lower_side():
    dbn, n = random_weights(DBN((4, 3, 2))), 40_000
    torch.manual_seed(2)
    on = dbn.top.visible_bias.sigmoid()
    assert ((dbn.start(n).mean(0) - on).abs() < 4 * (on * (1 - on) / n).sqrt()).all()


@pytest.mark.parametrize("k", [1, 3])
def test_the_top_rbm_has_the_gradient_of_its_likelihood_on_the_aggregated_posterior(k):
    """-E_q[log p(h_L-1)], by enumeration; the particles are exact draws, which k Gibbs steps leave exact."""
    n, x = 40_000, X[[3, 5]]
    dbn, h = random_weights(DBN((4, 3, 2), particles=n)), states(3).double()
    torch.manual_seed(3)
    with torch.no_grad():
        p_top = log_likelihood(dbn.top, h).exp()
        dbn.top.particles.copy_(h[torch.multinomial(p_top, n, replacement=True)])
        q = dbn.encode(x).log_prob(h[:, None]).exp().mean(1)  # (states,)
    exact = torch.autograd.grad(-(q * log_likelihood(dbn.top, h)).sum(), list(dbn.top.parameters()))
    found = torch.autograd.grad(dbn.loss(x.repeat(n // 2, 1), k=k).total, list(dbn.top.parameters()))
    # Each entry is the difference of two means of n numbers in [0, 1], each with a standard error of at most 1 / 2 sqrt(n).
    for estimate, truth in zip(found, exact, strict=True):
        assert float((estimate - truth).abs().max()) < 4 * (0.5 / n) ** 0.5


@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_is_the_number_of_steps_of_the_top_rbms_particles(k):
    """Where k steps take them from all units off, in a machine that leaves that mode slowly; neither k - 1 nor k + 1 do."""
    dbn, n = DBN((4, 4, 2)).double(), 40_000
    dbn.top = two_modes(1.5)
    dbn.top.register_buffer("particles", torch.zeros(n, 4, dtype=torch.float64))
    p = joint(dbn.top)
    kernel = (p / p.sum(1, keepdim=True)) @ (p / p.sum(0)).T  # sum_h p(h|v) p(v'|h)
    torch.manual_seed(4)
    dbn.loss(X, k=k)
    fewer, exact, more = (torch.linalg.matrix_power(kernel, k + d)[0] for d in (-1, 0, 1))
    assert off_by(dbn.top.particles, exact) < 4.5
    assert k == 1 or off_by(dbn.top.particles, fewer) > 8
    assert off_by(dbn.top.particles, more) > 8


def test_pretraining_starts_a_layer_wide_enough_as_the_last_one_upside_down():
    """One that does not learn leaves p(x) the RBM's below; a narrower one starts with the small weights of a first draw."""
    started: list[RBM] = []

    def train(rbm: RBM, data: torch.Tensor):
        if not started:
            random_weights(rbm)
        started.append(rbm)

    dbn = pretrain(X, (4, 3, 4), train)
    assert dbn_log_likelihood(dbn, X).tolist() == approx(log_likelihood(started[0], X).tolist(), abs=1e-9)
    started.clear()
    pretrain(X, (4, 3, 3), train)
    assert float(started[1].weights.detach().abs().max()) < 0.1


def test_pretraining_feeds_the_next_layer_bits_drawn_from_the_last():
    x, n, seen = X[[3, 5]].repeat(2000, 1), 4000, []

    def train(rbm: RBM, data: torch.Tensor):
        seen.append((random_weights(rbm), data))

    torch.manual_seed(5)
    pretrain(x, (4, 3, 3, 2), train)
    for (rbm, data), (_, after) in pairwise(seen):
        on = rbm.propup(data).mean.detach()
        assert set(after.unique().tolist()) == {0.0, 1.0}
        assert ((after.mean(0) - on.mean(0)).abs() < 4 * (on * (1 - on)).mean(0).sqrt() / n**0.5).all()


def test_pretraining_and_fine_tuning_raise_the_exact_likelihood_of_digits():
    digits = (load("digits-8x8").train > 0.5).float()[:600]
    torch.manual_seed(0)

    def train(part: nn.Module, data: torch.Tensor, epochs: int = 10, lr: float = 1e-2):
        for _ in Trainer(part, data, batch_size=100, lr=lr, seed=0).run(epochs=epochs):
            pass

    dbn = pretrain(digits, (64, 8, 64), train)
    before = dbn_log_likelihood(dbn, digits[:100]).mean().item()
    train(dbn, digits, epochs=20, lr=1e-3)
    after = dbn_log_likelihood(dbn, digits[:100]).mean().item()
    apart = torch.distributions.Bernoulli(digits.mean(0).clamp(0.01, 0.99)).log_prob(digits[:100]).sum(-1).mean()
    assert float(apart) < before < after


def test_an_interrupted_training_resumes_bit_by_bit(tmp_path):
    digits = (load("digits-8x8").train > 0.5).float()[:200]

    def trainer() -> Trainer:
        torch.manual_seed(0)
        return Trainer(DBN((64, 6, 5), particles=10), digits, batch_size=50, seed=0, checkpoint=tmp_path / "dbn.pt")

    whole = trainer()
    list(whole.run(epochs=4))
    expected = {name: value.clone() for name, value in whole.model.state_dict().items()}
    (tmp_path / "dbn.pt").unlink()
    list(trainer().run(epochs=2))
    resumed = trainer()
    assert resumed.resume()
    list(resumed.run(until=4))
    assert all(torch.equal(value, expected[name]) for name, value in resumed.model.state_dict().items())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: DBN((4, 3)), "two or more hidden layers"),
        (lambda: DBN((4, 3, 2)).encode(torch.zeros(1, 5)), r"\(batch, 4\)"),
        (lambda: Trainer(DBN((4, 3, 2)), torch.full((10, 4), 2.0), batch_size=5), r"\[0, 1\]"),
        (lambda: DBN((4, 3, 2)).bound(torch.full((1, 4), 2.0), 0.0), "from 2 to 2"),
        (lambda: DBN((4, 3, 2)).bound(torch.zeros(1, 4), 0.0, samples=0), "samples is 0"),
        (lambda: DBN((4, 3, 2)).sample(1, steps=-1), "steps is -1"),
        (lambda: dbn_log_likelihood(DBN((4, 21, 2)), torch.zeros(1, 4)), "too many to enumerate"),
        (lambda: dbn_log_likelihood(DBN((4, 3, 2)), torch.full((1, 4), -1.0)), "from -1 to -1"),
        (lambda: DBN.assemble([]), "two or more hidden layers"),
        (lambda: DBN.assemble([RBM(4, 3), RBM(2, 3)]), "each must begin"),
        (lambda: pretrain(torch.zeros(2, 5), (4, 3, 2), lambda rbm, data: None), "begin with it"),
        (lambda: pretrain(torch.zeros(2, 4), (4, 3, 0), lambda rbm, data: None), "1 unit or more"),
        (lambda: pretrain(torch.full((2, 4), 2.0), (4, 3, 2), lambda rbm, data: None), "from 2 to 2"),
        (lambda: pretrain(torch.zeros(2, 4).long(), (4, 3, 2), lambda rbm, data: None), "int64"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fault, words):
    with pytest.raises(InputError, match=words):
        fault()


def test_a_wider_layer_starts_as_the_rbm_below_upside_down_and_its_bound_is_tight_up_to_the_first_weights():
    torch.manual_seed(0)
    rbm = RBM(5, 3).double()
    rbm.weights.data.normal_()
    wider = upside_down(rbm, 8)
    wider.weights.data[:, 5:] = 0  # idle units to the letter
    x = states(5, dtype=torch.float64)
    grown = DBN.assemble([rbm, wider])
    at = float(log_partition(wider))
    drawn = torch.stack([grown.bound(x, at) for _ in range(50)])
    assert drawn.std(0).max() < 1e-9  # log p(x, h) - log q(h|x) is the same for every h: q is the posterior
    assert dbn_log_likelihood(grown, x).tolist() == approx(log_likelihood(rbm, x).tolist(), abs=1e-9)
    with pytest.raises(InputError, match="need a place each"):
        upside_down(rbm, 4)
