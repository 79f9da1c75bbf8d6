"""Spoken digits: framing on small recordings made here, the whole where GMNM_DATA holds it."""

import hashlib
import io
import os
import tarfile
import wave
from dataclasses import replace

import numpy as np
import pytest
import torch

from gmnm_lib.data import load, spoken_digits
from gmnm_lib.data.archive import PackedFolder, as_tar
from gmnm_lib.errors import InputError


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def packed(files: dict[str, bytes], folder: str) -> bytes:
    """A .tar.gz as a repository's release gives it: in a folder, with other files, in this order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in {"README.md": b"read me", **files}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime = len(content), 1_600_000_000
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def recording(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(-900, 900, 450 + 200 * (number % 3))


NUMBERS = [0, 4, 5, 9, 10, 49]
FILES = {f"{number % 10}_{speaker}_{number}.wav": wav(recording(number)) for number in NUMBERS for speaker in ("theo",)}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Six recordings by one speaker, one digit each, in GMNM_DATA."""
    content = packed(FILES, "digits-1.0/recordings")
    (tmp_path / "fsdd_recordings.tar.gz").write_bytes(content)
    sha256 = hashlib.sha256(as_tar(FILES)).hexdigest()
    monkeypatch.setattr(spoken_digits, "ARCHIVE", replace(spoken_digits.ARCHIVE, sha256=sha256))
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))


def test_recordings_are_split_by_their_number_and_labelled_by_their_name(small):
    data = load("spoken-digits")
    digits, speakers = data.labels["digit"], data.labels["speaker"]
    assert [sorted(getattr(digits, split).tolist()) for split in ("train", "valid", "test")] == [[0, 9], [5, 9], [0, 4]]
    assert set(speakers.train.tolist()) == {spoken_digits.SPEAKERS.index("theo")}


def test_frames_are_consecutive_samples_scaled_by_train(small):
    data = load("spoken-digits")
    frames = {number: recording(number)[: 400 + 200 * (number % 3)] for number in NUMBERS}
    train = np.concatenate([frames[10], frames[49]])
    expected = (frames[4] - train.mean()) / train.std()
    row = data.labels["digit"].test.tolist().index(4)
    x, length = data.test.x[row], int(data.test.lengths[row])
    np.testing.assert_allclose(x[:length].flatten().numpy(), expected, atol=1e-5)
    assert not x[length:].any()


def test_the_same_recordings_in_another_packing_are_accepted():
    archive = PackedFolder("speech", "a.tar.gz", "")
    backwards = dict(reversed(FILES.items()))
    assert archive.unpacked(packed(FILES, "a")) == archive.unpacked(packed(backwards, "b/c")) == as_tar(FILES)


def test_a_sound_of_another_rate_is_refused_by_name():
    with pytest.raises(InputError, match=r"3_theo_1\.wav .* 8000 Hz"):
        spoken_digits.samples(wav(recording(1), rate=16_000), "3_theo_1.wav")


def test_an_archive_cut_short_is_refused(small, tmp_path):
    path = tmp_path / "fsdd_recordings.tar.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"fsdd_recordings\.tar\.gz is cut short.*delete"):
        load("spoken-digits")


@pytest.mark.skipif(not os.environ.get("GMNM_DATA"), reason="GMNM_DATA is not set, and tests do not download speech")
def test_the_full_set_is_balanced_and_scaled():
    data = load("spoken-digits")
    assert torch.bincount(data.labels["digit"].test).tolist() == [30] * 10
    assert torch.bincount(data.labels["speaker"].train).tolist() == [400] * 6
    frames = data.train.x[data.train.mask]
    assert float(frames.mean()) == pytest.approx(0, abs=1e-4)
    assert float(frames.std()) == pytest.approx(1, abs=1e-4)
