"""spoken-digits: six people say the digits 0 to 9 in English, 3000 times, as frames of raw sound.

Source   the Free Spoken Digit Dataset (Z. Jackson and others, version 1.0.10), 8 kHz, 16 bits. It is taken from GMNM_DATA
         (the folder itself or speech/ in it), or downloaded once (16 MB).
Licence  CC BY-SA 4.0.
Shapes   x (n, time, 200) float32: a step is 200 consecutive samples, 25 ms, as in Chung 2015 (section 4.1); the last samples
         of a recording that fill no frame are left out. All are centred and scaled by the mean and standard deviation
         of train's samples. Lengths (n,) int64. Labels "digit", 0 to 9, and "speaker", 0 to 5 for the names in
         `SPEAKERS`, (n,) int64.
Splits   by the number of the recording, the data set's own rule: test 300 (0 to 4); valid 300 (5 to 9) and train 2400
         (10 to 49) of what that rule leaves for training.
"""

import io
import tarfile
import wave

import numpy as np

from gmnm_lib.data.archive import PackedFolder, whereabouts_of
from gmnm_lib.data.dataset import SPLITS, SequenceCard, SequenceDataset, assemble_sequences
from gmnm_lib.errors import InputError

FRAME = 200  # samples a step
RATE = 8000  # samples a second
CARD = SequenceCard(
    name="spoken-digits",
    features=FRAME,
    meaning="consecutive samples of sound, 8000 a second",
    sizes=(2400, 300, 300),
    source="Free Spoken Digit Dataset (Z. Jackson and others, version 1.0.10)",
    licence="CC BY-SA 4.0",
)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
NUMBERS = {"train": range(10, 50), "valid": range(5, 10), "test": range(5)}
ARCHIVE = PackedFolder(
    "speech",
    "fsdd_recordings.tar.gz",
    "31b4955b565bab486bb8a80b6af497de56f55d3e8884259597637c345f558db2",
    ("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",),
)


def load() -> SequenceDataset:
    return assemble_sequences(CARD, framed(recordings(ARCHIVE.read())), labels=("digit", "speaker"))


def whereabouts() -> str:
    return whereabouts_of([ARCHIVE])


def recordings(content: bytes) -> dict[tuple[int, int, int], np.ndarray]:
    """(digit, speaker, number) -> samples int16, of an archive of files DIGIT_SPEAKER_NUMBER.wav."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            digit, speaker, number = member.name.removesuffix(".wav").split("_")
            file = archive.extractfile(member)
            assert file is not None  # the archive holds files alone
            found[int(digit), SPEAKERS.index(speaker), int(number)] = samples(file.read(), member.name)
    return found


def samples(content: bytes, name: str) -> np.ndarray:
    """The samples, int16, of a WAV file of one channel at `RATE`."""
    with wave.open(io.BytesIO(content)) as sound:
        if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, RATE):
            raise InputError(f"{name} is no sound of one channel, 16 bits and {RATE} Hz: use the data set's own file")
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")


def framed(found: dict[tuple[int, int, int], np.ndarray]) -> dict[str, np.ndarray]:
    """`SPLIT_x` (all steps, 200), `SPLIT_lengths`, `SPLIT_digit` and `SPLIT_speaker` (n,), centred and scaled by train."""
    arrays = {}
    for split, numbers in NUMBERS.items():
        chosen = sorted(key for key in found if key[2] in numbers)
        frames = [found[key][: len(found[key]) // FRAME * FRAME].reshape(-1, FRAME) for key in chosen]
        arrays[f"{split}_x"] = np.concatenate(frames).astype(np.float32)
        arrays[f"{split}_lengths"] = np.array([len(of) for of in frames])
        arrays[f"{split}_digit"], arrays[f"{split}_speaker"], _ = np.array(chosen).T
    mean, scale = arrays["train_x"].mean(dtype=float), arrays["train_x"].std(dtype=float)
    return arrays | {f"{split}_x": (arrays[f"{split}_x"] - mean) / scale for split in SPLITS}
