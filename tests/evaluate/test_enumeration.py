"""Exact log Z against the double sum over both sides, and finite differences."""

import itertools
import resource
import sys

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import log_likelihood, log_partition, states
from gmnm_lib.models.rbm import RBM
from tests.models.small_rbms import bits, joint, log_partition_by_double_sum, random_rbm


@pytest.mark.parametrize("units, visible, hidden", [("bernoulli", 4, 7), ("bernoulli", 7, 4), ("gaussian", 3, 5)])
@pytest.mark.parametrize("chunk", [1, 40, 2**22])
def test_log_partition_is_the_double_sum_over_both_sides_in_whatever_portions(units, visible, hidden, chunk):
    rbm = random_rbm(visible, hidden, units=units)
    assert log_partition(rbm, chunk=chunk).item() == approx(log_partition_by_double_sum(rbm).item(), abs=1e-10)


def test_likelihoods_are_the_joint_summed_over_the_hidden_units():
    rbm = random_rbm()
    assert torch.allclose(log_likelihood(rbm, bits(4)), joint(rbm).sum(1).log())


@pytest.mark.parametrize("units, visible, hidden", [("bernoulli", 3, 5), ("bernoulli", 5, 3), ("gaussian", 3, 3)])
def test_gradient_of_log_partition_equals_finite_differences(units, visible, hidden):
    rbm = random_rbm(visible, hidden, units=units)
    log_partition(rbm, chunk=8).backward()
    for name, parameter in rbm.named_parameters():
        assert parameter.grad is not None
        flat, step = parameter.data.view(-1), 1e-6
        for i in {0, flat.numel() // 2, flat.numel() - 1}:
            middle = float(flat[i])
            flat[i] = middle + step
            above = log_partition_by_double_sum(rbm).item()
            flat[i] = middle - step
            below = log_partition_by_double_sum(rbm).item()
            flat[i] = middle
            assert float(parameter.grad.view(-1)[i]) == approx((above - below) / (2 * step), rel=1e-6, abs=1e-8), name


def test_states_are_all_vectors_of_bits_in_counting_order():
    assert states(3).tolist() == [list(map(float, row)) for row in itertools.product([0, 1], repeat=3)]
    assert states(0).shape == (1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_a_large_side_is_enumerated_in_little_memory():
    """2^16 states of 784 visible units are 206 MB at once, and twice that with their gradients."""
    rbm = RBM(784, 16)
    log_partition(rbm, chunk=2**18).backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    log_partition(rbm, chunk=2**18).backward()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize(
    "rbm, says",
    [
        (RBM(22, 21), "hidden side has 21 units"),
        (RBM(21, 22), "visible side has 21 units"),
        (RBM(3, 21, units="gaussian"), "hidden side has 21 units"),
    ],
    ids=["hidden", "visible", "gaussian"],
)
def test_too_many_units_are_refused_with_a_way_out(rbm, says):
    with pytest.raises(InputError, match=f"{says}.*annealed importance sampling"):
        log_partition(rbm)


def test_too_many_states_are_refused():
    with pytest.raises(InputError, match="30 units"):
        states(30)
