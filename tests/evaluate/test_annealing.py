"""Annealed importance sampling against exact log Z of machines that can be enumerated."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.annealing import RBMPath, ais, reverse_ais
from tests.models.small_rbms import (
    bits,
    exact_draws,
    joint,
    log_partition_by_double_sum,
    off_by,
    random_rbm,
)

SCALES = (0.2, 0.6, 1.0)
MACHINES = [
    {
        "visible": 3 + number % 9,
        "hidden": 2 + (number * 5) % 8,
        "scale": SCALES[number % 3],
        "units": "gaussian" if number % 10 == 9 else "bernoulli",
        "seed": number,
    }
    for number in range(50)
]


def test_fifty_random_machines_lie_within_their_error_bars():
    """All within four standard errors, nine in ten within two (a normal's share is 95 %), from a base of its own data."""
    distances = []
    for machine in MACHINES:
        rbm = random_rbm(**machine)
        gaussian = machine["units"] == "gaussian"
        base = None if gaussian else exact_draws_mean(rbm)
        found = ais(RBMPath(rbm, base), betas=1000 if gaussian else 200, chains=400, seed=1)
        distances.append(abs(found.mean - log_partition_by_double_sum(rbm).item()) / found.standard_error)
    assert max(distances) < 4 and sum(distance < 2 for distance in distances) >= 45


def exact_draws_mean(rbm):
    return (joint(rbm).sum(1) @ bits(rbm.visible)).detach()


@pytest.mark.parametrize("options", [{}, {"units": "gaussian", "scale": 0.5}], ids=["bernoulli", "gaussian"])
def test_weights_are_unbiased_for_the_ratio_of_partition_functions(options):
    """E[w] = Z / Z_0 with as few as four distributions, where single weights are poor."""
    rbm = random_rbm(3, 2, **{"scale": 0.8} | options)
    path = RBMPath(rbm)
    w = ais(path, betas=4, chains=200_000, seed=2).log_weights.exp()
    exact = math.exp(log_partition_by_double_sum(rbm).item() - float(path.log_partition_base()))
    assert float(w.mean()) == approx(exact, abs=4 * float(w.std()) / math.sqrt(len(w)))


def test_reverse_weights_are_unbiased_for_the_inverse_ratio():
    rbm = random_rbm(3, 2, scale=0.8)
    path = RBMPath(rbm)
    torch.manual_seed(0)
    w = (-reverse_ais(path, exact_draws(rbm, 200_000), betas=4, seed=2).log_weights).exp()
    exact = math.exp(float(path.log_partition_base()) - log_partition_by_double_sum(rbm).item())
    assert float(w.mean()) == approx(exact, abs=4 * float(w.std()) / math.sqrt(len(w)))


def test_the_truth_lies_between_the_mean_forward_and_the_mean_reverse_log_weight():
    """Jensen's inequality in each direction (Grosse 2015): by more than four standard errors of the means."""
    rbm = random_rbm(6, 5, scale=1.5)
    path, exact = RBMPath(rbm), log_partition_by_double_sum(rbm).item()
    torch.manual_seed(0)
    forward = ais(path, betas=6, chains=4000, seed=3).log_weights + path.log_partition_base()
    reverse = reverse_ais(path, exact_draws(rbm, 4000), betas=6, seed=3).log_weights + path.log_partition_base()
    for below in (exact - forward, reverse - exact):
        assert float(below.mean()) > 4 * float(below.std()) / math.sqrt(len(below))


def test_reverse_estimate_lies_within_its_error_bar():
    rbm = random_rbm(6, 5)
    torch.manual_seed(0)
    found = reverse_ais(RBMPath(rbm), exact_draws(rbm, 1000), betas=200, seed=4)
    assert found.mean == approx(log_partition_by_double_sum(rbm).item(), abs=4 * found.standard_error)
    assert found.low < found.mean < found.high


def test_more_distributions_between_make_both_directions_sharper():
    """Neal 2001, section 4: the variance of a log weight falls as one over their number."""
    rbm = random_rbm(6, 5)
    path, samples = RBMPath(rbm), exact_draws(rbm, 1000)
    for estimate in (lambda n: ais(path, betas=n, chains=1000), lambda n: reverse_ais(path, samples, betas=n)):
        assert float(estimate(801).log_weights.var()) < 0.1 * float(estimate(9).log_weights.var())


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_transitions_keep_their_distribution(beta):
    rbm, n = random_rbm(), 40_000
    path = RBMPath(rbm, torch.tensor([0.2, 0.5, 0.7, 0.9]))
    exact = path.log_density(bits(4), beta).detach().softmax(0)
    torch.manual_seed(5)
    v = bits(4)[torch.multinomial(exact, n, replacement=True)]
    with torch.no_grad():
        assert off_by(path.transition(v, beta), exact) < 4


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_transitions_are_reversible(beta):
    """Detailed balance, p(a) T(a, b) = p(b) T(b, a), of the kernel written out; and draws are the kernel's."""
    rbm, n, base = random_rbm(3, 2), 40_000, torch.tensor([0.2, 0.5, 0.7]).double()
    path, v, h = RBMPath(rbm, base), bits(3), bits(2)

    def coins(logits, drawn):  # (rows, draws)
        return torch.distributions.Bernoulli(logits=logits[:, None]).log_prob(drawn).sum(-1).exp()

    up = coins(beta * (rbm.hidden_bias + v @ rbm.weights), h)
    down = coins((1 - beta) * base.logit() + beta * (rbm.visible_bias + h @ rbm.weights.T), v)
    kernel = (up @ down).detach()
    flow = path.log_density(v, beta).detach().softmax(0)[:, None] * kernel
    assert torch.allclose(flow, flow.T)
    torch.manual_seed(6)
    with torch.no_grad():
        for start, exact in zip(v, kernel, strict=True):
            assert off_by(path.transition(start.expand(n, -1), beta), exact) < 4.5


def test_a_gaussian_path_begins_at_the_moments_of_the_data_and_ends_at_the_machine():
    rbm = random_rbm(3, 2, units="gaussian")
    mean, variance = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.5, 2.0, 1.0]).double()
    path, n = RBMPath(rbm, mean, variance), 40_000
    torch.manual_seed(6)
    with torch.no_grad():
        v = path.start(n)
    assert ((v.mean(0) - mean).abs() <= 4 * (variance / n).sqrt()).all()
    assert ((v.var(0) - variance).abs() <= 4 * variance * math.sqrt(2 / n)).all()
    assert torch.allclose(path.log_density(v, 1.0), -rbm.free_energy(v))
    found = ais(path, betas=2000, chains=500, seed=7)
    assert found.mean == approx(log_partition_by_double_sum(rbm).item(), abs=4 * found.standard_error)


def test_estimates_are_the_log_of_the_mean_weight_in_either_direction():
    """Neal 2001, eq. 13: weights that spread over nats, whose mean log lies far below the log of their mean."""
    rbm, chains = random_rbm(6, 5, scale=2.0), 500
    path = RBMPath(rbm)
    torch.manual_seed(0)
    samples = exact_draws(rbm, chains)
    for found, sign in ((ais(path, betas=3, chains=chains), 1), (reverse_ais(path, samples, betas=3), -1)):
        log_w, base = sign * found.log_weights, float(path.log_partition_base())
        of_mean = float(log_w.logsumexp(0)) - math.log(chains)
        assert found.mean == approx(base + sign * of_mean, abs=1e-9)
        assert of_mean > float(log_w.mean()) + 0.5


def test_error_bar_is_the_mean_weight_give_or_take_three_standard_errors():
    found = ais(RBMPath(random_rbm()), betas=50, chains=300, seed=0)
    w = found.log_weights.exp()
    error, base = w.std() / math.sqrt(300), found.mean - float(w.mean().log())
    assert found.low == approx(base + float((w.mean() - 3 * error).log()), abs=1e-9)
    assert found.high == approx(base + float((w.mean() + 3 * error).log()), abs=1e-9)


def test_an_error_bar_that_reaches_past_zero_is_open_below():
    assert ais(RBMPath(random_rbm(8, 8, scale=4.0)), betas=2, chains=4, seed=0).low == -math.inf


def test_one_seed_gives_one_answer_and_leaves_the_readers_numbers_alone():
    path = RBMPath(random_rbm())
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, again, other = (ais(path, betas=20, seed=seed).mean for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected) and first == again != other


def test_progress_counts_every_step():
    seen: list[tuple[int, int]] = []
    ais(RBMPath(random_rbm()), betas=5, chains=2, progress=lambda *done: seen.append(done))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("betas", [1, -3, 10.5, [0.0, 0.5], [0.0, 0.7, 0.5, 1.0], [0.0, math.nan, 1.0]], ids=str)
def test_betas_that_do_not_rise_from_zero_to_one_are_named(betas):
    with pytest.raises(InputError, match="betas must rise"):
        ais(RBMPath(random_rbm()), betas=torch.tensor(betas) if isinstance(betas, list) else betas)


def test_too_few_chains_and_a_base_of_another_shape_are_named():
    with pytest.raises(InputError, match="1 chain"):
        ais(RBMPath(random_rbm()), chains=1)
    with pytest.raises(InputError, match=r"base has shape \(5,\)"):
        RBMPath(random_rbm(), torch.rand(5))


@pytest.mark.parametrize(
    "options, samples, says",
    [
        ({}, torch.zeros(10, 5), r"shape \(10, 5\)"),
        ({}, torch.full((10, 4), 2.0).double(), "from 2 to 2"),
        ({"units": "gaussian"}, torch.zeros(10, 5), r"shape \(10, 5\)"),
    ],
    ids=["width", "values", "gaussian"],
)
def test_samples_that_the_machine_cannot_have_drawn_are_named(options, samples, says):
    with pytest.raises(InputError, match=says):
        reverse_ais(RBMPath(random_rbm(**options)), samples)
