"""The four polyphonic sets: the reading on small files made here, the whole where GMNM_DATA holds them."""

import hashlib
import io
import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import savemat

from gmnm_lib.data import LOADERS, load, polyphonic
from gmnm_lib.data.dataset import SPLITS
from gmnm_lib.errors import InputError

needs_data = pytest.mark.skipif(
    not os.environ.get("GMNM_DATA"), reason="GMNM_DATA is not set, and tests do not download music"
)


def mat(**cells: list[np.ndarray]) -> bytes:
    """A MATLAB file of 1 x N cells."""
    arrays = {}
    for name, rolls in cells.items():
        arrays[name] = np.empty((1, len(rolls)), dtype=object)
        for i, roll in enumerate(rolls):
            arrays[name][0, i] = roll
    file = io.BytesIO()
    savemat(file, arrays, do_compression=True)
    return file.getvalue()


def rolls(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 2, (length, 88), dtype=np.uint8) for length in lengths]


SMALL = {"traindata": rolls(5, 3), "validdata": rolls(4, seed=1), "testdata": rolls(2, 1, 6, seed=2)}


@pytest.fixture
def small_jsb(monkeypatch, tmp_path):
    """jsb with the few rolls of `SMALL`, in GMNM_DATA/polyphonic."""
    content = mat(**SMALL)
    (tmp_path / "polyphonic").mkdir()
    (tmp_path / "polyphonic" / "JSB_Chorales.mat").write_bytes(content)
    archive = replace(polyphonic.JSB.archive, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(LOADERS, "jsb", replace(polyphonic.JSB, archive=archive))
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))


def test_each_roll_is_padded_with_silence(small_jsb):
    data = load("jsb")
    for split, given in zip(SPLITS, SMALL.values(), strict=True):
        x, lengths = getattr(data, split)
        assert lengths.tolist() == [len(roll) for roll in given]
        for ours, roll in zip(x.numpy(), given, strict=True):
            np.testing.assert_array_equal(ours[: len(roll)], roll)
            assert not ours[len(roll) :].any()


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "no MATLAB file"),
        (b"this is text, and a good deal of it " * 10, "no MATLAB file"),
        (mat(**SMALL)[:-40], "no MATLAB file"),
        (mat(traindata=SMALL["traindata"]), "no cell 'validdata'"),
        (mat(**SMALL | {"testdata": [np.zeros((3, 87), np.uint8)]}), "no cell 'testdata'"),
        (mat(**SMALL | {"testdata": [np.full((3, 88), 2, np.uint8)]}), "notes other than 0 and 1 in 'testdata'"),
    ],
    ids=["empty", "text", "cut short", "a cell is missing", "87 keys", "a note of 2"],
)
def test_a_file_that_holds_no_rolls_is_named_with_a_mend(content, says):
    with pytest.raises(InputError, match=rf"a\.mat.*{says}.*replace"):
        polyphonic.parse_mat(content, "a.mat")


def test_without_files_and_network_the_mend_is_gmnm_data(monkeypatch, tmp_path):
    monkeypatch.delenv("GMNM_DATA", raising=False)
    monkeypatch.setattr("gmnm_lib.data.archive.downloads", lambda: tmp_path)
    nowhere = replace(polyphonic.MUSEDATA.archive, addresses=("http://127.0.0.1:9/MuseData.mat",))
    with pytest.raises(InputError, match=r"MuseData\.mat could not be downloaded .* set GMNM_DATA to a folder"):
        replace(polyphonic.MUSEDATA, archive=nowhere).load()


@needs_data
@pytest.mark.parametrize(
    "loader, notes",
    [(polyphonic.JSB, 3.89), (polyphonic.NOTTINGHAM, 3.97), (polyphonic.PIANO_MIDI, 3.04)],
    ids=["jsb", "nottingham", "piano-midi"],
)
def test_full_sets_have_the_published_splits(loader, notes):
    """Sizes as published; notes a step as counted in the files themselves."""
    arrays = polyphonic.parse_mat(loader.archive.read(), loader.archive.name)
    assert tuple(len(arrays[f"{split}_lengths"]) for split in SPLITS) == loader.CARD.sizes
    steps = np.concatenate([arrays[f"{split}_x"] for split in SPLITS])
    assert steps.sum(axis=1).mean() == pytest.approx(notes, abs=0.005)


@needs_data
def test_musedata_has_the_published_splits():
    arrays = polyphonic.parse_mat(polyphonic.MUSEDATA.archive.read(), "MuseData.mat")
    assert tuple(len(arrays[f"{split}_lengths"]) for split in SPLITS) == polyphonic.MUSEDATA.CARD.sizes
