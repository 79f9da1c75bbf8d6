"""Theorem 1 of Bengio et al. 2013 by linear algebra, against long matrix powers, two-state chains and a real denoiser."""

import pytest
import torch

from gmnm_lib.chains import Chain
from gmnm_lib.corruption import GaussianNoise, Masking, SaltAndPepper
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.enumeration import states
from gmnm_lib.evaluate.stationary import (
    conditional_matrix,
    corruption_matrix,
    posterior,
    stationary,
    total_variation,
    transition_matrix,
)
from gmnm_lib.models.dae import DAE
from gmnm_lib.trainer import Trainer

BITS = states(4, dtype=torch.float64)
P = torch.rand(16, generator=torch.Generator().manual_seed(0)).double().pow(3)
P = P / P.sum()
SALTED = corruption_matrix(SaltAndPepper(0.4), BITS)


def off(corruption, conditional, p=P) -> float:
    found = stationary(transition_matrix(corruption, conditional))
    assert found.distribution is not None
    return float(total_variation(found.distribution, p))


@pytest.mark.parametrize("noise", [0.1, 0.4, 0.9])
def test_the_exact_conditional_has_the_data_as_its_stationary_distribution(noise):
    salted = corruption_matrix(SaltAndPepper(noise), BITS)
    assert off(salted, posterior(salted, P)) < 1e-12


def test_the_theorem_needs_no_corruption_among_the_states_themselves():
    """Any C will do, here onto five values that are no states, drawn at random."""
    corruption = torch.rand(16, 5, generator=torch.Generator().manual_seed(1)).double()
    corruption = corruption / corruption.sum(1, keepdim=True)
    assert off(corruption, posterior(corruption, P)) < 1e-12


def test_the_distance_shrinks_with_the_error_of_the_conditional():
    """Linear in the share of noise mixed in, once it is small."""
    exact = posterior(SALTED, P)
    wrong = torch.rand(16, 16, generator=torch.Generator().manual_seed(2)).double()
    wrong = wrong / wrong.sum(1, keepdim=True)
    distances = [off(SALTED, (1 - share) * exact + share * wrong) for share in (0.5, 0.1, 0.01, 0.001)]
    assert distances == sorted(distances, reverse=True) and distances[0] > 0.05
    assert distances[2] / distances[3] == pytest.approx(10, rel=0.1)


def test_a_conditional_counted_from_pairs_gets_there_at_the_root_of_their_number():
    """Consistency, the theorem's premise: a hundred times the pairs, a tenth of the distance."""

    def counted(n: int, seed: int) -> float:
        torch.manual_seed(seed)
        x = torch.multinomial(P, n, replacement=True)
        corrupted = torch.multinomial(SALTED[x], 1).squeeze(1)
        counts = torch.bincount(corrupted * 16 + x, minlength=256).reshape(16, 16).double() + 1e-3
        return off(SALTED, counts / counts.sum(1, keepdim=True))

    few, many = (sum(counted(n, seed) for seed in range(10)) / 10 for n in (2_000, 200_000))
    assert 6 < few / many < 16


def test_ergodicity_broken_on_purpose_is_detected():
    """A corruption that never leaves its half of the space: P is stationary, and so is any other weighing of the halves."""
    halves = SALTED.clone()
    halves[:8, 8:] = halves[8:, :8] = 0
    halves = halves / halves.sum(1, keepdim=True)
    transition = transition_matrix(halves, posterior(halves, P))
    found = stationary(transition)
    assert found.unit_eigenvalues == 2 and not found.is_ergodic and found.distribution is None
    assert "2 parts" in str(found)
    assert torch.allclose(P @ transition, P, atol=1e-12)
    low, high = P.clone(), P.clone()
    low[8:], high[:8] = 0, 0
    expected = torch.cat([(low / low.sum()).expand(8, -1), (high / high.sum()).expand(8, -1)])
    assert torch.allclose(found.from_each_start, expected, atol=1e-9)


def test_masking_cannot_leave_darkness_unless_the_conditional_does():
    """Masking only turns bits off; with the exact conditional it is ergodic all the same, as all-off comes from anything."""
    masked = corruption_matrix(Masking(0.5), BITS)
    assert stationary(transition_matrix(masked, posterior(masked, P))).is_ergodic
    assert not stationary(transition_matrix(masked, torch.eye(16).double())).unit_eigenvalues > 1  # all end in darkness


def test_the_stationary_distribution_of_two_states_is_the_textbooks():
    """Leaving rates a and b: (b, a) / (a + b), and the other eigenvalue is 1 - a - b."""
    found = stationary(torch.tensor([[0.7, 0.3], [0.1, 0.9]]))  # in single precision, too
    assert found.distribution.tolist() == pytest.approx([0.25, 0.75], abs=1e-6)
    assert found.gap == pytest.approx(0.4, abs=1e-6) and found.is_ergodic and "0.6 a step" in str(found)


def test_circles_and_dead_ends_are_told_apart_from_ergodic_chains():
    circle = stationary(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert not circle.is_ergodic and circle.unit_eigenvalues == 1 and "circles" in str(circle)
    assert circle.distribution.tolist() == pytest.approx([0.5, 0.5])
    trap = stationary(torch.tensor([[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1]]))
    assert trap.unit_eigenvalues == 2
    assert trap.from_each_start[0].tolist() == pytest.approx([0, 0.5, 0.5])


def test_it_agrees_with_a_long_power_of_the_largest_matrix():
    t = torch.rand(256, 256, generator=torch.Generator().manual_seed(3)).double().pow(8)
    t = t / t.sum(1, keepdim=True)
    assert torch.allclose(stationary(t).distribution, torch.linalg.matrix_power(t, 2000)[7], atol=1e-12)


def test_a_trained_denoiser_comes_near_the_data_and_its_chain_to_its_matrix():
    """Two patterns and their neighbours; the chain is drawn with `chain_step`, the matrix is written from `conditional`."""
    p = torch.full((16,), 0.01).double()
    p[0b0011], p[0b1100] = 0.43, 0.43
    torch.manual_seed(0)
    data = BITS[torch.multinomial(p, 4096, replacement=True)].float()
    model = DAE(4, 16, corruption="salt-and-pepper")
    before = off(SALTED, conditional_matrix(model, BITS), p)
    list(Trainer(model, data, batch_size=256, lr=2e-2, knobs={"noise": 0.4}, device="cpu").run(epochs=40))
    learned = stationary(transition_matrix(SALTED, conditional_matrix(model, BITS))).distribution
    assert float(total_variation(learned, p)) < 0.35 * before
    n = 20_000
    drawn = Chain(model.chain_step(0.4), data[:1].expand(n, -1), seed=1)[60]
    share = torch.bincount((drawn @ torch.tensor([8.0, 4, 2, 1])).long(), minlength=16) / n
    assert bool(((share - learned).abs() < 4.5 * (learned * (1 - learned) / n).sqrt()).all())


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: stationary(torch.eye(257)), "257 states are too many"),
        (lambda: corruption_matrix(Masking(0.1), states(9)), "512 states are too many"),
        (lambda: corruption_matrix(GaussianNoise(0.1), BITS), "leads out of the states"),
        (lambda: stationary(torch.ones(2, 2)), "transition holds rows"),
        (lambda: stationary(torch.ones(2, 1)), "square"),
        (lambda: posterior(SALTED, 2 * P), "p holds rows"),
        (lambda: transition_matrix(SALTED, torch.ones(5, 1)), "give \\(states, corrupted\\)"),
    ],
)
def test_bad_matrices_are_named(call, says):
    with pytest.raises(InputError, match=says):
        call()
