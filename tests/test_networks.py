"""The distributions of networks.py are torch's own, only cheaper; visible biases begin where the data's means put them."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, kl_divergence

from gmnm_lib.errors import InputError
from gmnm_lib.models.dae import DAE
from gmnm_lib.models.dbm import ReplicatedRBM
from gmnm_lib.models.dbn import DBN
from gmnm_lib.models.draw import DRAW
from gmnm_lib.models.gsn import GSN
from gmnm_lib.models.mean_field_sbn import MeanFieldSBN
from gmnm_lib.models.rbm import RBM
from gmnm_lib.models.sbn import SBN
from gmnm_lib.networks import begin_at, bernoulli, diagonal_normal, standard_normal


def normal(mean: Tensor, log_variance: Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def draw(*shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def gradients(number: Tensor, *parameters: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(number.sum(), parameters))


@pytest.mark.parametrize("shape", [(5, 9), (3, 5, 9)])
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_bernoulli_log_prob_and_its_gradient_are_torchs(shape, scale):
    """Bits and grey levels, logits far beyond saturation, and draws before the batch."""
    logits = draw(*shape, scale=scale).requires_grad_()
    bits = (draw(5, 9) > 0).double()
    for x in (bits, draw(5, 9).sigmoid()):
        ours = bernoulli(logits).log_prob(x)
        torchs = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False).log_prob(x)
        torch.testing.assert_close(ours, torchs, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(gradients(ours, logits), gradients(torchs, logits), rtol=1e-13, atol=1e-13)


def test_bernoulli_log_prob_in_single_precision_stays_finite_and_exact():
    logits, x = draw(4, 784, scale=50.0), draw(4, 784).sigmoid()
    exact = bernoulli(logits).log_prob(x)
    torch.testing.assert_close(bernoulli(logits.float()).log_prob(x.float()).double(), exact, rtol=1e-6, atol=0)


def test_kl_to_the_standard_normal_and_its_gradient_are_torchs():
    mean, log_variance = draw(5, 3).requires_grad_(), draw(3).requires_grad_()
    zero = torch.zeros(3, dtype=torch.float64)
    ours = kl_divergence(diagonal_normal(mean, log_variance), standard_normal(zero))
    torchs = kl_divergence(normal(mean, log_variance), normal(zero, zero))
    torch.testing.assert_close(ours, torchs, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradients(ours, mean, log_variance), gradients(torchs, mean, log_variance))


def test_kl_between_other_diagonal_normals_is_torchs():
    q, p = (draw(5, 3), draw(5, 3)), (draw(3), draw(3, scale=0.5))
    ours = kl_divergence(diagonal_normal(*q), diagonal_normal(*p))
    torch.testing.assert_close(ours, kl_divergence(normal(*q), normal(*p)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("expanded", [False, True])
def test_normals_have_torchs_moments_and_densities(expanded):
    mean, log_variance, x = draw(3), draw(3, scale=2.0), draw(5, 3)
    zero = torch.zeros(3, dtype=torch.float64)
    pairs: list[tuple[Distribution, Distribution]] = [
        (diagonal_normal(mean, log_variance), normal(mean, log_variance)),
        (standard_normal(zero), normal(zero, zero)),
    ]
    for ours, torchs in pairs:
        if expanded:
            ours, torchs = ours.expand(torch.Size([5])), torchs.expand(torch.Size([5]))
        for property_ in ("mean", "stddev", "variance"):
            torch.testing.assert_close(getattr(ours, property_), getattr(torchs, property_))
        torch.testing.assert_close(ours.log_prob(x), torchs.log_prob(x))


MEANS = torch.tensor([0.0, 0.004, 0.2, 0.5, 0.9, 0.995, 1.0, 0.75, 0.01])
LOGITS = [math.log(p / (1 - p)) for p in (0.01, 0.01, 0.2, 0.5, 0.9, 0.99, 0.99, 0.75, 0.01)]


def test_biases_begin_at_the_logits_of_means_kept_within_one_and_ninety_nine_per_cent():
    bias = torch.nn.Parameter(torch.full((9,), 7.0))
    begin_at(bias, MEANS)
    assert bias.tolist() == pytest.approx(LOGITS, abs=1e-5)
    assert bias.requires_grad and bias.is_leaf


def test_biases_of_real_units_begin_at_the_means_themselves_and_of_no_data_stay():
    bias, means = torch.nn.Parameter(torch.full((9,), 7.0)), 100 * MEANS - 30
    begin_at(bias, None)
    assert bias.tolist() == [7.0] * 9
    begin_at(bias, means, logits=False)
    assert torch.equal(bias, means)
    means.zero_()
    assert float(bias.abs().min()) > 0  # a copy


@pytest.mark.parametrize("means", [torch.zeros(8), torch.zeros(1), torch.tensor(0.5), torch.zeros(1, 9)], ids=str)
@pytest.mark.parametrize("logits", [True, False])
def test_means_of_another_shape_are_named(means, logits):
    bias = torch.zeros(9)
    with pytest.raises(InputError, match=r"means have shape \(.*\): give one for each of 9 visible units"):
        begin_at(bias, means, logits=logits)
    assert not bias.any()


BIASES = {  # of models of nine pixels, by the means that they begin at
    "RBM": lambda base: RBM(9, 4, base=base).visible_bias,
    "RBM of real units": lambda base: RBM(9, 4, units="gaussian", base=base).visible_bias,
    "SBN": lambda base: SBN((9, 4), base=base).down[0].bias,
    "SBN of means": lambda base: MeanFieldSBN(9, 4, base=base).down.bias,
    "DBN": lambda base: DBN((9, 4, 3), base=base).generative[0].bias,
    "DBM": lambda base: ReplicatedRBM(9, 4, base=base).visible_bias,
    "DAE": lambda base: DAE(9, (4, 3), base=base).decoder_biases[-1],
    "DAE of real pixels": lambda base: DAE(9, 4, reconstruction="gaussian", tied=False, base=base).decoder[-1].bias,
    "GSN": lambda base: GSN((9, 4), base=base).biases[0],
    "DRAW": lambda base: DRAW(3, 4, 2, 2, write=3, mean=base).blank,
}


@pytest.mark.parametrize("name", BIASES)
def test_a_model_begins_at_the_means_of_its_data_or_at_zero(name):
    expected = MEANS.tolist() if "real" in name else LOGITS
    assert BIASES[name](MEANS).tolist() == pytest.approx(expected, abs=1e-5)
    assert not BIASES[name](None).any()


@pytest.mark.parametrize("name", BIASES)
@pytest.mark.parametrize("means", [MEANS[:8], MEANS[:1], MEANS.reshape(3, 3)], ids=["short", "one", "square"])
def test_a_model_refuses_means_of_another_shape(name, means):
    with pytest.raises(InputError, match="give one for each of 9 visible units"):
        BIASES[name](means)
