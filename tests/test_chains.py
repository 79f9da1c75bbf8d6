"""A chain against matrix powers of a small transition matrix."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from gmnm_lib.chains import Chain
from gmnm_lib.errors import InputError

T = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.6, 0.3], [0.2, 0.0, 0.8]])


def walk(state: Tensor) -> Tensor:
    return torch.multinomial(T[state], 1)[:, 0]


def test_the_share_of_chains_in_each_state_follows_the_matrix_power():
    n, k = 20_000, 5
    share = torch.bincount(Chain(walk, torch.zeros(n, dtype=torch.long), seed=0)[k], minlength=3) / n
    exact = torch.linalg.matrix_power(T, k)[0]
    assert ((share - exact).abs() <= 4 * (exact * (1 - exact) / n).sqrt()).all()


def test_one_seed_gives_one_history_in_whatever_portions_it_is_asked_for():
    start = torch.zeros(50, dtype=torch.long)
    steady, jumpy, other = Chain(walk, start, seed=3), Chain(walk, start, seed=3), Chain(walk, start, seed=4)
    jumpy[4]
    torch.rand(17)  # the reader's own draws
    jumpy[30], jumpy[2]
    assert all(torch.equal(steady[k], jumpy[k]) for k in range(31))
    assert not torch.equal(steady[30], other[30])


def test_going_back_is_free():
    calls = []
    chain = Chain(lambda x: (calls.append(1), x + torch.rand(1))[1], torch.zeros(1))
    late = chain[20]
    assert chain[5] is chain[5] and chain[20] is late and len(calls) == 20 and len(chain) == 21


def test_the_readers_random_numbers_are_untouched():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Chain(walk, torch.zeros(5, dtype=torch.long))[10]
    assert torch.equal(torch.rand(3), expected)


def test_a_state_may_be_several_tensors():
    class Pair(NamedTuple):
        x: Tensor
        count: Tensor

    chain = Chain(lambda s: Pair(walk(s.x), s.count + 1), Pair(torch.zeros(4, dtype=torch.long), torch.zeros(4)))
    assert chain[7].count.tolist() == [7.0] * 4


def test_an_error_in_a_step_leaves_the_history_usable():
    calls = []

    def fails_once(x: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("once")
        return x + 1

    chain = Chain(fails_once, torch.zeros(1))
    with pytest.raises(RuntimeError):
        chain[5]
    assert float(chain[5]) == 5.0


def test_backwards_beyond_the_start_and_walks_too_long_for_memory_are_refused():
    chain = Chain(walk, torch.zeros(10, dtype=torch.long), limit_bytes=1000)
    with pytest.raises(IndexError, match="begins at 0"):
        chain[-1]
    with pytest.raises(InputError, match="limit_bytes holds 11"):
        chain[12]
