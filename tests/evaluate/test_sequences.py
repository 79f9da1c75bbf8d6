"""Estimates of log p(x_{1:T}) against statsmodels' Kalman filter, on instances that are linear and Gaussian."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.sequences import (
    estimate_by_particles,
    estimate_sequence_elbo,
    estimate_sequence_iwae,
    particle_filter,
    systematic,
)
from gmnm_lib.models.vrae import VRAE
from tests.models.linear_gaussian import (
    exact_storn,
    exact_vrae,
    exact_vrnn,
    kalman_log_likelihood,
    kalman_vrae,
    linear_storn,
    linear_vrae,
    linear_vrnn,
)
from tests.models.small_sequences import sequences, small

STEPWISE = {
    "storn": linear_storn,
    "storn, learned prior": lambda: linear_storn("learned"),
    "vrnn": linear_vrnn,
    "vrnn-i": lambda: linear_vrnn(False),
}
LINEAR = STEPWISE | {"vrae": linear_vrae}
EXACT = {"storn": exact_storn, "vrnn": exact_vrnn, "vrae": exact_vrae}


def drawn_from(model, lengths=(4, 1, 3)) -> Sequences:
    torch.manual_seed(3)
    batch = Sequences(model.sample(len(lengths), max(lengths)), torch.tensor(lengths))
    return Sequences(batch.x * batch.mask.unsqueeze(2), batch.lengths)


def exact(model, batch: Sequences) -> torch.Tensor:
    values = kalman_vrae(model, batch) if isinstance(model, VRAE) else kalman_log_likelihood(model, batch)
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", LINEAR)
def test_no_bound_exceeds_the_likelihood(name):
    """On all sequences together, by more than 4 standard errors of the bound: the difference is clear of 0."""
    model = LINEAR[name]()
    batch = drawn_from(model)
    torch.manual_seed(0)
    estimate = estimate_sequence_elbo(model, batch, samples=200)
    gap = float((exact(model, batch) - estimate.per_example).sum() / batch.lengths.sum())
    assert gap > 4 * estimate.per_frame.standard_error


@pytest.mark.parametrize("name", EXACT)
def test_the_gap_closes_where_recognition_is_exact(name):
    """Each weight is then p(x) itself, whatever z was drawn."""
    model = EXACT[name]()
    batch = drawn_from(model, (2, 2) if name == "vrae" else (4, 1, 3))
    weights = torch.stack([model.log_weights(batch).detach() for _ in range(3)])
    torch.testing.assert_close(weights, exact(model, batch).expand(3, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_the_loss_averages_to_the_likelihood_where_recognition_is_exact(name):
    """With the KL in closed form the draws still scatter: 4 standard errors of their mean."""
    model = EXACT[name]()
    batch = drawn_from(model, (2, 2) if name == "vrae" else (4, 1, 3))
    torch.manual_seed(1)
    with torch.no_grad():
        totals = torch.stack([model.loss(batch).total for _ in range(400)])
    expected = -float(exact(model, batch).sum() / batch.lengths.sum())
    assert float(totals.mean()) == approx(expected, abs=4 * float(totals.std()) / math.sqrt(len(totals)))


@pytest.mark.parametrize("name", LINEAR)
def test_importance_weights_average_to_the_likelihood(name):
    """E[w] = p(x), so that the mean of w / p(x) is 1."""
    model = LINEAR[name]()
    batch = drawn_from(model, (2, 1))
    torch.manual_seed(0)
    copies = Sequences(batch.x.repeat(20_000, 1, 1), batch.lengths.repeat(20_000))
    with torch.no_grad():
        ratio = (model.log_weights(copies).reshape(-1, 2) - exact(model, batch)).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert ((ratio.mean(0) - 1).abs() <= 4 * error).all() and (error < 0.1).all()


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize("resample_below", [0.5, 1.1])
def test_a_particle_filter_is_unbiased(name, resample_below):
    """Its estimate of p(x) averages to p(x) with as few as five particles, resampled now and then or at each step."""
    model = STEPWISE[name]()
    batch = drawn_from(model, (3, 2))
    torch.manual_seed(0)
    many = Sequences(batch.x.repeat(4000, 1, 1), batch.lengths.repeat(4000))
    ratio = (particle_filter(model, many, 5, resample_below).reshape(-1, 2) - exact(model, batch)).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert ((ratio.mean(0) - 1).abs() <= 4 * error).all() and (error < 0.1).all()


@pytest.mark.parametrize("name", ["storn", "vrnn"])
def test_iwae_and_particles_come_near_the_likelihood(name):
    """Within 4 standard errors, and a hundredth of a nat a step for what is left of the bias."""
    model = STEPWISE[name]()
    batch = drawn_from(model)
    expected = float(exact(model, batch).sum() / batch.lengths.sum())
    torch.manual_seed(0)
    bound = estimate_sequence_elbo(model, batch, samples=50).per_frame
    for estimate in (
        estimate_sequence_iwae(model, batch, k=4000, repeats=6),
        estimate_by_particles(model, batch, particles=1000, repeats=6),
    ):
        assert estimate.per_frame.mean == approx(expected, abs=4 * estimate.per_frame.standard_error + 0.01)
        assert estimate.per_frame.mean > bound.mean


def test_every_estimate_of_a_model_without_latent_variables_is_its_likelihood():
    model, batch = small("rnn"), sequences()
    with torch.no_grad():
        path = model.path(batch)
        expected = (path.emission.log_prob(batch.x) * batch.mask).sum(1)
    for estimate in (
        estimate_sequence_elbo(model, batch, samples=2),
        estimate_sequence_iwae(model, batch, k=3),
        estimate_by_particles(model, batch, particles=3),
    ):
        torch.testing.assert_close(estimate.per_example, expected)
        assert estimate.per_frame.standard_error == approx(0, abs=1e-12)


def test_both_averages_are_those_of_their_names():
    """Lengths 6, 1 and 4: over the eleven frames, and over the three sequences' own means."""
    estimate = estimate_by_particles(small("rnn"), sequences(), particles=2)
    a, b, c = estimate.per_example.tolist()
    assert estimate.per_frame.mean == approx((a + b + c) / 11)
    assert estimate.per_sequence.mean == approx((a / 6 + b + c / 4) / 3)


def test_the_standard_error_is_that_of_repeated_estimates():
    model = linear_vrnn()
    batch = drawn_from(model)
    torch.manual_seed(0)
    estimates = [estimate_sequence_elbo(model, batch, samples=20) for _ in range(100)]
    for average in ("per_frame", "per_sequence"):
        means = torch.tensor([getattr(e, average).mean for e in estimates])
        claimed = torch.tensor([getattr(e, average).standard_error for e in estimates]).square().mean().sqrt()
        assert float(means.std()) == approx(float(claimed), rel=4 / math.sqrt(2 * len(means)))


class Told:
    """A model whose log weights are read off a list, and which counts how many numbers of x it is given at a time."""

    def __init__(self, log_w: torch.Tensor):
        self.left, self.most = log_w.flatten(), 0

    def check_data(self, batch):
        pass

    def log_weights(self, batch):
        now, self.left = self.left.split((len(batch.x), len(self.left) - len(batch.x)))
        self.most = max(self.most, batch.x.numel())
        return now


@pytest.mark.parametrize("together", [1, 2, 5, 100])
def test_iwae_is_the_log_of_the_mean_of_k_weights_however_many_are_held_at_a_time(together):
    """Four bounds of five weights for each of three sequences, all of them used up."""
    log_w, batch = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).double(), sequences()
    model = Told(log_w)
    found = estimate_sequence_iwae(model, batch, k=5, repeats=4, chunk=together * batch.x.numel()).per_example
    torch.testing.assert_close(found, log_w.exp().mean(1).log().mean(0))
    assert not len(model.left) and model.most == min(together, 5) * batch.x.numel()


def test_iwae_holds_one_draw_at_a_time_where_even_that_is_more_than_a_chunk():
    log_w, batch = torch.randn(2, 3, 3).double(), sequences()
    model = Told(log_w)
    estimate_sequence_iwae(model, batch, k=3, repeats=2, chunk=1)
    assert model.most == batch.x.numel()


def test_systematic_resampling_gives_each_particle_its_share_rounded():
    torch.manual_seed(0)
    w = torch.rand(7, 500).double().softmax(0)
    offspring = torch.nn.functional.one_hot(systematic(w), 7).sum(0).t()  # (particle, column)
    assert ((offspring - 7 * w).abs() < 1 + 1e-9).all()
    w = torch.tensor([0.05, 0.6, 0.35]).double()
    counts = torch.nn.functional.one_hot(systematic(w[:, None].expand(3, 20_000).contiguous()), 3).double().sum(0)
    error = counts.std(0) / math.sqrt(len(counts))
    assert ((counts.mean(0) - 3 * w).abs() <= 4 * error).all()


@pytest.mark.parametrize(
    "estimate, says",
    [
        (lambda m, b: estimate_sequence_elbo(m, b, samples=1), "2 or more"),
        (lambda m, b: estimate_sequence_iwae(m, b, k=0), "k is 0"),
        (lambda m, b: estimate_by_particles(m, b, particles=0), "particles is 0"),
        (lambda m, b: estimate_sequence_elbo(m, Sequences(b.x, 0 * b.lengths)), "empty"),
    ],
)
def test_what_cannot_be_estimated_is_refused(estimate, says):
    with pytest.raises(InputError, match=says):
        estimate(small("rnn"), sequences())
