"""Exact log Z against the double sum over both sides, and finite differences."""

import itertools

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


def test_a_large_side_is_enumerated_in_portions_and_none_is_kept_for_the_gradient(monkeypatch):
    """2^14 states of 100 visible units are 6.6 MB at once, and several times that with what their gradients need."""
    rbm, asked, kept = RBM(100, 14), [], []
    monkeypatch.setattr(rbm, "hidden_free_energy", lambda h: (asked.append(len(h)), RBM.hidden_free_energy(rbm, h))[1])

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        log_partition(rbm, chunk=2**16)
    assert max(asked) * 100 <= 2**16 and sum(asked) == 2**14
    assert sum(kept) < 2**16


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


@pytest.mark.parametrize(
    "units, v, says",
    [
        ("bernoulli", torch.zeros(2, 5), r"shape \(2, 5\)"),
        ("bernoulli", torch.zeros(2, 4, dtype=torch.long), "int64"),
        ("bernoulli", torch.full((2, 4), 1.5), "from 1.5 to 1.5"),
        ("gaussian", torch.zeros(2, 5), r"shape \(2, 5\)"),
    ],
)
def test_examples_that_the_machine_cannot_have_drawn_have_no_likelihood(units, v, says):
    with pytest.raises(InputError, match=says):
        log_likelihood(RBM(4, 3, units=units), v)


def test_too_many_states_are_refused():
    with pytest.raises(InputError, match="30 units"):
        states(30)
