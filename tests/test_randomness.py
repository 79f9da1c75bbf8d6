"""Coin flips against the probabilities they were asked for; a stream against the draws of a generator of its own."""

import pytest
import torch

from gmnm_lib.randomness import Stream, flips


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flips_are_one_as_often_as_asked(dtype):
    p, n = torch.tensor([0.0, 1e-3, 0.2, 0.5, 0.77, 0.999, 1.0], dtype=dtype), 200_000
    torch.manual_seed(0)
    drawn = flips(p.expand(n, -1))
    assert drawn.dtype == dtype and set(drawn.unique().tolist()) == {0.0, 1.0}
    assert ((drawn.double().mean(0) - p.double()).abs() <= 4 * (p * (1 - p) / n).sqrt()).all()


def test_neighbours_that_share_a_draw_of_64_bits_are_independent():
    n = 400_000
    torch.manual_seed(1)
    drawn = flips(torch.full((n, 2), 0.3))
    counts = torch.bincount((2 * drawn[:, 0] + drawn[:, 1]).long(), minlength=4) / n
    exact = torch.tensor([0.49, 0.21, 0.21, 0.09])
    assert ((counts - exact).abs() <= 4 * (exact * (1 - exact) / n).sqrt()).all()


def test_flips_resolve_small_probabilities():
    """Of 2^26 flips at 2^-20, 64 are expected, give or take 8."""
    torch.manual_seed(2)
    ones = sum(float(flips(torch.full((2**22,), 2.0**-20)).sum()) for _ in range(16))
    assert abs(ones - 64) <= 4 * 8


@pytest.mark.parametrize("draws", [None, 0, -1], ids=["lowest and highest", "zero", "minus one"])
def test_certainties_are_certain_whatever_the_bits(monkeypatch, draws):
    """Below p = 1 lies every draw, the highest too, which rounding up to 1 would lose; below p = 0 none."""

    def fixed(self, low, high):
        return self.fill_(-(2**63) + 2**31 - 1 if draws is None else draws)  # its halves: the least and the greatest

    monkeypatch.setattr(torch.Tensor, "random_", fixed)
    assert bool((flips(torch.ones(9)) == 1).all()) and bool((flips(torch.zeros(9)) == 0).all())


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0, 4), (2, 3, 5)])
def test_flips_keep_any_shape(shape):
    assert flips(torch.ones(shape)).tolist() == torch.ones(shape).tolist()


def test_flips_of_a_view_are_those_of_its_entries():
    p = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]).T
    assert torch.equal(flips(p), p) and torch.equal(flips(p[:, :1].expand(3, 6)), p[:, :1].expand(3, 6))


def test_a_stream_goes_on_where_it_left_off_and_leaves_other_draws_alone():
    stream, own = Stream(3), torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    drawn = []
    for _ in range(3):
        with stream:
            drawn.append(torch.rand(5))
        torch.rand(2)
    assert torch.equal(torch.cat(drawn), torch.cat([torch.rand(5, generator=own) for _ in range(3)]))
    torch.manual_seed(0)
    expected = torch.rand(8)
    torch.manual_seed(0)
    with Stream(9):
        torch.rand(4)
    assert torch.equal(torch.rand(8), expected)
