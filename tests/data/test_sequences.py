"""Padded sequences: the mask against counting, and what is refused."""

import pytest
import torch

from gmnm_lib.data.sequences import Sequences, check_sequences, pad, pieces
from gmnm_lib.errors import InputError

TWO = Sequences(torch.ones(2, 5, 3), torch.tensor([5, 2]))


def test_padding_keeps_each_sequence_and_fills_with_zeros():
    long, short = torch.randn(4, 2), torch.randn(1, 2)
    x, lengths = pad([long, short])
    assert lengths.tolist() == [4, 1]
    assert torch.equal(x[0], long) and torch.equal(x[1, :1], short) and not x[1, 1:].any()


def test_mask_is_true_for_as_many_steps_as_a_sequence_has():
    assert TWO.mask.tolist() == [[True] * 5, [True] * 2 + [False] * 3]


def test_trimming_drops_only_the_steps_that_are_padding_in_all():
    trimmed = Sequences(TWO.x, torch.tensor([3, 2])).trimmed()
    assert trimmed.x.shape == (2, 3, 3) and trimmed.lengths.tolist() == [3, 2]


def test_pieces_laid_end_to_end_are_the_sequences():
    whole = pad([torch.randn(5, 2), torch.randn(4, 2), torch.randn(1, 2)])
    cut = pieces(whole, 2)
    assert cut.lengths.tolist() == [2, 2, 1, 2, 2, 1]
    assert torch.equal(cut.x[cut.mask], whole.x[whole.mask])


def test_a_piece_of_no_step_is_refused():
    with pytest.raises(InputError, match="steps is 0"):
        pieces(TWO, 0)


@pytest.mark.parametrize("sequences, says", [([], "at least one"), ([torch.ones(0, 3)], r"sequence 0.*one step")])
def test_nothing_to_pad_is_refused(sequences, says):
    with pytest.raises(InputError, match=says):
        pad(sequences)


def with_nan() -> torch.Tensor:
    x = TWO.x.clone()
    x[1, 0, 2] = float("nan")
    return x


@pytest.mark.parametrize(
    "x, lengths, says",
    [
        (TWO.x, [5, 0], "a sequence is empty"),
        (TWO.x, [0, 0], "a sequence is empty"),
        (TWO.x[:0], [], "a sequence is empty"),
        (TWO.x, [6, 2], "a length is 6 but x has 5"),
        (TWO.x, [5], r"lengths is \(1,\) for 2"),
        (TWO.x[:, :, :2], [5, 2], "wants"),
        (TWO.x.long(), [5, 2], "int64"),
        (with_nan(), [5, 2], "NaN or infinity, first in sequence 1"),
    ],
)
def test_what_no_model_can_learn_from_is_named(x, lengths, says):
    with pytest.raises(InputError, match=says):
        check_sequences(Sequences(x, torch.tensor(lengths, dtype=torch.long)), 3)


def test_sequences_in_order_are_accepted():
    check_sequences(TWO, 3)
