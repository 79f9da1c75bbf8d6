"""The kernel two-sample test against its definition, and in what it promises."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.two_sample import two_sample_test


def test_mmd_is_its_definition_written_out():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 2, generator=generator), torch.randn(3, 2, generator=generator)

    def k(a, b):
        return math.exp(-float((a - b).square().sum()) / (2 * 0.7**2))

    within = sum(k(x[i], x[j]) for i in range(4) for j in range(4) if i != j) / 12
    other = sum(k(y[i], y[j]) for i in range(3) for j in range(3) if i != j) / 6
    across = sum(k(a, b) for a in x for b in y) / 12
    found = two_sample_test(x, y, widths=torch.tensor([0.7]))
    assert found.mmd2 == approx(within + other - 2 * across, abs=1e-6)


def test_mmd_between_normals_is_the_closed_form_within_four_standard_errors():
    """E exp(-|x-y|^2 / 2 s^2) of x - y ~ N(m, 2 I): (s^2 / (s^2 + 2))^(d/2) exp(-|m|^2 / 2 (s^2 + 2))."""
    s2, shift = 1.0, 0.8
    exact = 2 * (s2 / (s2 + 2)) * (1 - math.exp(-(shift**2) / (2 * (s2 + 2))))
    found = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(2, 150, 2, generator=generator)
        found.append(
            two_sample_test(x, y + torch.tensor([shift, 0.0]), widths=torch.tensor([1.0]), permutations=1).mmd2
        )
    values = torch.tensor(found)
    assert float(values.mean()) == approx(exact, abs=4 * float(values.std()) / 40**0.5)


def test_under_one_distribution_p_values_are_uniform_and_under_two_they_are_small():
    same, other = [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(2, 60, 3, generator=generator)
        same.append(two_sample_test(x, y, permutations=99, seed=seed).p_value)
        other.append(two_sample_test(x, 1.5 * y, permutations=99, seed=seed).p_value)
    below = sum(p <= 0.2 for p in same)
    assert abs(below - 12) < 4 * (60 * 0.2 * 0.8) ** 0.5
    assert sum(p <= 0.05 for p in other) > 20


def test_the_answer_does_not_depend_on_the_scale_of_the_space():
    x, y = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))
    assert two_sample_test(x, y).mmd2 == approx(two_sample_test(1e3 * x, 1e3 * y).mmd2, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: two_sample_test(torch.zeros(1, 2), torch.zeros(5, 2)), "two or more points"),
        (lambda: two_sample_test(torch.zeros(4, 2), torch.zeros(5, 3)), "same dimensions"),
        (lambda: two_sample_test(torch.rand(4, 2), torch.rand(5, 2), widths=torch.zeros(1)), "above 0"),
        (lambda: two_sample_test(torch.rand(4, 2), torch.rand(5, 2), permutations=0), "permutations is 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InputError, match=says):
        call()
