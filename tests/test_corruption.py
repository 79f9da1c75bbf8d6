"""Corruptions: what is drawn against what `log_prob` says of it, and that against sums and integrals."""

import itertools
import math

import pytest
import torch

from gmnm_lib.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper, corruption
from gmnm_lib.errors import InputError
from gmnm_lib.randomness import uniform_like

THREE = torch.tensor(list(itertools.product([0.0, 0.375, 1.0], repeat=3))).double()  # 3/8 is exact in any type


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", [Masking, SaltAndPepper])
def test_a_mass_function_sums_to_one_over_all_that_can_come_out(kind, level):
    """From pixels at 0, 0.375 and 1 come pixels at 0, 0.375 and 1."""
    mass = kind(level).log_prob(THREE, THREE[15]).exp()  # 0.375, 1, 0
    assert mass.sum().item() == pytest.approx(1, abs=1e-12)


def test_masses_are_those_of_the_definitions():
    x, corrupted = (
        torch.tensor([[0.0], [0.4], [1.0]]).double(),
        torch.tensor([0.0, 0.4, 1.0, 0.2]).double()[:, None, None],
    )
    masking = [[1, 0.3, 0.3], [0, 0.7, 0], [0, 0, 0.7], [0, 0, 0]]
    salted = [[0.85, 0.15, 0.15], [0, 0.7, 0], [0.15, 0.15, 0.85], [0, 0, 0]]
    for kind, exact in ((Masking, masking), (SaltAndPepper, salted)):
        assert torch.allclose(kind(0.3).log_prob(corrupted, x).exp(), torch.tensor(exact).double(), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Masking, SaltAndPepper])
def test_draws_come_as_often_as_their_mass(kind, dtype):
    n, noise = 60_000, kind(0.3)
    torch.manual_seed(0)
    drawn = noise.corrupt(torch.tensor([0.375, 1.0, 0.0], dtype=dtype).expand(n, -1))
    assert drawn.dtype == dtype
    values = (drawn[:, None] == THREE.to(dtype)).all(-1).double().mean(0)
    exact = noise.log_prob(THREE.to(dtype), torch.tensor([0.375, 1.0, 0.0], dtype=dtype)).double().exp()
    assert values.sum() == 1 and bool(((values - exact).abs() <= 4 * (exact * (1 - exact) / n).sqrt() + 1e-7).all())


def test_gaussian_noise_is_a_normal_density_and_draws_from_it():
    x, axis = torch.tensor([0.5, -2.0]).double(), torch.linspace(-9, 9, 721, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = GaussianNoise(0.7).log_prob(grid, x).exp() * float(axis[1] - axis[0]) ** 2
    assert density.sum().item() == pytest.approx(1, abs=1e-9)
    assert (density @ (grid - x).square()).tolist() == pytest.approx([0.49, 0.49], abs=1e-9)
    torch.manual_seed(0)
    drawn = GaussianNoise(0.7).corrupt(x.expand(50_000, -1)) - x
    assert bool((drawn.mean(0).abs() < 4 * 0.7 / 50_000**0.5).all())
    assert bool((drawn.square().mean(0) - 0.49).abs().max() < 4 * 0.49 * math.sqrt(2 / 50_000))


@pytest.mark.parametrize("kind", ["masking", "salt-and-pepper", "gaussian"])
def test_a_level_may_be_a_tensor_that_is_turned_in_use(kind):
    level, x = torch.tensor(0.2), torch.rand(50, 8)
    noise: Corruption = corruption(kind, level)
    level.fill_(0.6)
    torch.manual_seed(3)
    turned = noise.corrupt(x)
    torch.manual_seed(3)
    assert torch.equal(turned, corruption(kind, torch.tensor(0.6)).corrupt(x))
    assert torch.allclose(noise.log_prob(turned, x), corruption(kind, 0.6).log_prob(turned, x))


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan"), torch.tensor(1.5)])
@pytest.mark.parametrize("kind", [Masking, SaltAndPepper])
def test_a_probability_outside_its_range_is_named(kind, level):
    with pytest.raises(InputError, match=r"probability is .*from 0 to 1"):
        kind(level)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf"), torch.tensor(0.0)])
def test_noise_without_a_deviation_is_named(sigma):
    with pytest.raises(InputError, match="sigma is"):
        GaussianNoise(sigma)


def test_an_unknown_corruption_is_named():
    with pytest.raises(InputError, match=r"'blur'.*'masking'"):
        corruption("blur", 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_numbers_fill_the_interval_evenly(dtype):
    torch.manual_seed(4)
    u = uniform_like(torch.empty(7, 100_001, dtype=dtype))
    assert u.dtype == dtype and 0 <= u.min() < 1e-4 and 0.9999 < u.max() < 1
    share = torch.histc(u.float(), 50, 0, 1) / u.numel()
    assert float((share - 0.02).abs().max()) < 4.5 * (0.02 * 0.98 / u.numel()) ** 0.5
