"""Full MNIST and its binarisation: the parts on small files made here, the whole where GMNM_DATA holds it."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from gmnm_lib.data import load, mnist, mnist_binarised
from gmnm_lib.data.dataset import SPLITS
from gmnm_lib.errors import InputError

DATA = os.environ.get("GMNM_DATA")
needs_full_mnist = pytest.mark.skipif(not DATA, reason="GMNM_DATA is not set, and tests do not download MNIST")
OTHER_DRAW = "mnist_fixedbin_pcg64_20160523.npz"


def idx(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array, as LeCun's page describes the format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_an_idx_file_gives_back_its_array():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(mnist.parse_idx(idx(array), "a"), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x08",
        idx(np.zeros((2, 3), np.uint8))[:-1],
        idx(np.zeros((2, 3), np.uint8)) + b"\x00",
        idx(np.zeros((2, 3), np.uint8))[:6],
        b"\x00\x00\x0d" + idx(np.zeros((2, 3), np.uint8))[3:],
    ],
    ids=["empty", "no axes", "cut short", "too long", "cut in the sizes", "floats"],
)
def test_bytes_that_are_no_idx_array_are_refused_by_name(content):
    with pytest.raises(InputError, match=r"train-images.*replace"):
        mnist.parse_idx(content, "train-images")


def test_bits_are_drawn_with_the_grey_level_as_probability():
    grey = np.tile(np.array([0, 51, 128, 255], dtype=np.uint8), (40_000, 1))
    p = grey[0] / 255
    standard_error = np.sqrt(p * (1 - p) / len(grey))
    assert np.all(np.abs(mnist_binarised.binarise(grey).mean(axis=0) - p) <= 4 * standard_error)


def test_drawing_by_blocks_draws_the_same_bits():
    grey = np.random.default_rng(1).integers(0, 256, (23, 10), dtype=np.uint8)
    np.testing.assert_array_equal(mnist_binarised.binarise(grey, rows=5), mnist_binarised.binarise(grey, rows=23))


def test_other_bits_than_the_pinned_ones_are_refused(monkeypatch):
    arrays = {f"{s}_images": np.full((2, 784), 128, np.uint8) for s in SPLITS}
    monkeypatch.setattr(mnist, "read_splits", lambda: arrays)
    with pytest.raises(InputError, match=r"numpy .* requirements\.lock"):
        mnist_binarised.load()


@needs_full_mnist
@pytest.mark.parametrize("name", ["mnist", "mnist-binarised"])
def test_full_sets_have_the_usual_splits(name):
    data = load(name)
    assert [getattr(data, split).shape for split in SPLITS] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    assert all(getattr(data, split).dtype == torch.float32 for split in SPLITS)
    # the digit counts of the test set, as published with MNIST
    assert torch.bincount(data.labels.test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert torch.bincount(torch.cat([data.labels.train, data.labels.valid]))[:3].tolist() == [5923, 6742, 5958]


@needs_full_mnist
def test_mnist_5k_is_the_first_five_hundred_of_each_digit_in_mnist():
    small, full = load("mnist-5k"), load("mnist")
    theirs = torch.cat([full.train[full.labels.train == digit][:500] for digit in range(10)])
    ours = torch.cat([small.train, small.valid, small.test])
    np.testing.assert_array_equal(np.unique(ours.numpy(), axis=0), np.unique(theirs.numpy(), axis=0))


@needs_full_mnist
def test_the_drawn_bits_are_those_of_the_stored_binarisation():
    path = next((p for p in (Path(DATA) / "mnist" / OTHER_DRAW, Path(DATA) / OTHER_DRAW) if p.is_file()), None)
    if path is None:
        pytest.skip(f"GMNM_DATA holds no {OTHER_DRAW}")
    data = load("mnist-binarised")
    with np.load(path) as stored:
        for split in SPLITS:
            np.testing.assert_array_equal(np.packbits(getattr(data, split).numpy() > 0.5, axis=1), stored[split])
            assert set(getattr(data, split).unique().tolist()) == {0.0, 1.0}


@pytest.fixture
def small_mnist(monkeypatch, tmp_path):
    """MNIST's four files with 6 + 2 images of 2 x 2, and the arrays in them."""
    random = np.random.default_rng(0)
    arrays = {
        "train-images-idx3": random.integers(0, 256, (6, 2, 2), dtype=np.uint8),
        "train-labels-idx1": np.arange(6, dtype=np.uint8),
        "t10k-images-idx3": random.integers(0, 256, (2, 2, 2), dtype=np.uint8),
        "t10k-labels-idx1": np.array([7, 8], dtype=np.uint8),
    }
    from dataclasses import replace
    from hashlib import sha256

    for stem, array in arrays.items():
        (tmp_path / f"{stem}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
        archive = replace(mnist.ARCHIVES[stem], sha256=sha256(idx(array)).hexdigest())
        monkeypatch.setitem(mnist.ARCHIVES, stem, archive)
    monkeypatch.setattr(mnist, "CARD", replace(mnist.CARD, sizes=(4, 2, 2), shape=(2, 2)))
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    return arrays


def test_the_last_training_images_are_the_validation_set(small_mnist):
    data = load("mnist")
    images = torch.tensor(small_mnist["train-images-idx3"]).reshape(6, 4) / 255
    torch.testing.assert_close(data.train, images[:4], rtol=0, atol=0)
    torch.testing.assert_close(data.valid, images[4:], rtol=0, atol=0)
    torch.testing.assert_close(data.test, torch.tensor(small_mnist["t10k-images-idx3"]).reshape(2, 4) / 255)
    assert data.labels.train.tolist() == [0, 1, 2, 3]
    assert data.labels.valid.tolist() == [4, 5]
    assert data.labels.test.tolist() == [7, 8]
