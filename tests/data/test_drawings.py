"""Kanji and Omniglot: both packings on small files made here, the whole where GMNM_DATA holds them."""

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gmnm_lib.data import LOADERS, drawings, load
from gmnm_lib.data.dataset import SPLITS
from gmnm_lib.errors import InputError

DRAWINGS = {
    split: [np.array(rows, np.int16) for rows in of]
    for split, of in {
        "train": [[[0, 3, 0], [4, -1, 1]], [[2, 2, 0], [-5, 0, 0], [6, 1, 1]]],
        "valid": [[[1, 0, 1]]],
        "test": [[[9, 9, 0], [0, 1, 1]]],
    }.items()
}


def arrays_packing() -> bytes:
    file = io.BytesIO()
    points = {f"{split}_points": np.concatenate(of) for split, of in DRAWINGS.items()}
    lengths = {f"{split}_lengths": np.array([len(one) for one in of], np.int32) for split, of in DRAWINGS.items()}
    np.savez_compressed(file, **points, **lengths)
    return file.getvalue()


def pickled_packing() -> bytes:
    """As sketch-rnn's own files: arrays of objects."""
    objects = {}
    for split, of in DRAWINGS.items():
        objects[split] = np.empty(len(of), dtype=object)
        for i, one in enumerate(of):
            objects[split][i] = one
    file = io.BytesIO()
    np.savez_compressed(file, **objects)
    return file.getvalue()


@pytest.fixture
def omniglot(monkeypatch, tmp_path):
    """Omniglot with the few drawings above; `omniglot(content)` puts its file into GMNM_DATA."""
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    known = replace(drawings.OMNIGLOT.archive, pickled_sha256=hashlib.sha256(pickled_packing()).hexdigest())
    inside = hashlib.sha256(known.unpacked(arrays_packing())).hexdigest()
    monkeypatch.setitem(LOADERS, "omniglot", replace(drawings.OMNIGLOT, archive=replace(known, sha256=inside)))
    return (tmp_path / "omniglot.npz").write_bytes


@pytest.mark.parametrize("packing", [arrays_packing, pickled_packing])
def test_either_packing_gives_the_drawings_divided_by_one_number(omniglot, packing):
    omniglot(packing())
    data = load("omniglot")
    scale = np.concatenate(DRAWINGS["train"])[:, :2].std()
    for split in SPLITS:
        x, lengths = getattr(data, split)
        assert lengths.tolist() == [len(one) for one in DRAWINGS[split]]
        for ours, given in zip(x.numpy(), DRAWINGS[split], strict=True):
            np.testing.assert_allclose(ours[: len(given)], given / [scale, scale, 1], rtol=1e-6)


class Trap:
    """Whoever unpickles it leaves a file at `path`."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_arrays_of_an_unknown_file_are_never_opened(omniglot, tmp_path):
    sprung, file = tmp_path / "sprung", io.BytesIO()
    names = [f"{split}_{part}" for split in SPLITS for part in ("points", "lengths")]
    np.savez(file, **{name: np.array([Trap(sprung)], dtype=object) for name in names})
    omniglot(file.getvalue())
    with pytest.raises(InputError, match=r"omniglot\.npz is none of the known files"):
        load("omniglot")
    assert not sprung.exists()


@pytest.mark.parametrize("content", [b"", b"no archive", arrays_packing()[:-50]], ids=["empty", "text", "cut short"])
def test_a_damaged_file_is_named_with_a_mend(omniglot, content):
    omniglot(content)
    with pytest.raises(InputError, match=r"omniglot\.npz .*delete"):
        load("omniglot")


@pytest.mark.skipif(not os.environ.get("GMNM_DATA"), reason="GMNM_DATA is not set, and tests do not download drawings")
@pytest.mark.parametrize("loader", [drawings.KANJI, drawings.OMNIGLOT], ids=["kanji", "omniglot"])
def test_full_sets_have_sketch_rnns_splits(loader):
    data = loader.load()
    assert tuple(len(getattr(data, split).lengths) for split in SPLITS) == loader.CARD.sizes
    steps = data.train.x[data.train.mask]
    assert float(steps[:, :2].std(correction=0)) == pytest.approx(1, abs=1e-4)
    assert set(steps[:, 2].unique().tolist()) == {0.0, 1.0}
    last = data.test.x[torch.arange(len(data.test.x)), data.test.lengths - 1]
    assert bool((last[:, 2] == 1).all())
