"""A model says what it was given, what it takes and what to do."""

import numpy as np
import pytest
import torch

from gmnm_lib.checks import check_floats, check_fractions
from gmnm_lib.errors import InputError

WEIGHT = torch.zeros(4, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    "x", [torch.zeros(4), torch.zeros(0, 4), torch.zeros(2, 3, 4), torch.zeros(1, 4).half()], ids=str
)
def test_any_floats_of_the_width_pass_and_those_of_the_models_precision(x):
    check_floats(x, 4, "RBM")
    check_floats(x.double(), 4, "RBM", like=WEIGHT)


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (torch.zeros(2, 5), r"shape \(2, 5\) and type torch.float32"),
        (torch.tensor(0.5), r"shape \(\) and"),
        (torch.zeros(2, 4, dtype=torch.long), "type torch.int64"),
        (torch.zeros(2, 4, dtype=torch.bool), "type torch.bool"),
        (np.zeros((2, 4), np.float32), "type ndarray"),
        (None, "type NoneType"),
    ],
    ids=["wide", "number", "whole", "bool", "numpy", "none"],
)
def test_anything_else_is_refused_with_what_it_is_and_what_is_taken(x, found):
    with pytest.raises(InputError, match=rf"^v has .*{found}.*: this RBM takes floats of shape \(batch, 4\)$"):
        check_floats(x, 4, "RBM", name="v")
    with pytest.raises(InputError, match=rf"^v has .*{found}.*: this RBM takes torch.float64 of shape \(batch, 4\)$"):
        check_floats(x, 4, "RBM", like=WEIGHT, name="v")


def test_another_precision_is_refused():
    with pytest.raises(InputError, match=r"type torch\.float32: this RBM takes torch\.float64"):
        check_floats(torch.zeros(2, 4), 4, "RBM", like=WEIGHT)


def test_fractions_reach_from_nought_to_one_with_both():
    check_fractions(torch.tensor([0.0, 0.3, 1.0]), "binary units take values")
    check_fractions(torch.zeros(0), "binary units take values")


@pytest.mark.parametrize(
    ("values", "reach"),
    [([0.0, 1.5], "from 0 to 1.5"), ([-0.25, 1.0], "from -0.25 to 1"), ([0.5, float("nan")], "from nan to nan")],
)
def test_values_beyond_and_none_at_all_are_refused_with_how_far_they_reach(values, reach):
    with pytest.raises(InputError, match=rf"^x reaches {reach}: binary units take values in \[0, 1\]; scale x$"):
        check_fractions(torch.tensor(values), "binary units take values")
    with pytest.raises(InputError, match=r"scale v, or use units='gaussian'$"):
        check_fractions(torch.tensor(values), "binary units take values", "use units='gaussian'", name="v")
