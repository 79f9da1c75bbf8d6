"""Bach's chorales and the Japanese vowels, as they come with the package."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from gmnm_lib.data import LOADERS, build, load
from gmnm_lib.data.dataset import SPLITS, read_bundled

NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@pytest.fixture(scope="module")
def chorales():
    return load("chorales")


@pytest.fixture(scope="module")
def rolls(chorales):
    """Riemenschneider's number -> (quarters, 88)."""
    found = {}
    for split in SPLITS:
        (x, lengths), numbers = getattr(chorales, split), getattr(chorales.labels["riemenschneider"], split)
        found |= {n: roll[:length] for n, roll, length in zip(numbers.tolist(), x, lengths.tolist(), strict=True)}
    return found


def chord(*names: str) -> list[int]:
    """Keys of a piano by the notes' names, such as G2 or C#4: A0 is key 0."""
    return [12 * int(name[-1]) + NOTES[name[0]] + name.count("#") - 9 for name in names]


@pytest.mark.parametrize("name", ["chorales", "japanese-vowels", "pen-strokes"])
def test_a_set_of_sequences_has_the_sizes_of_its_card_and_zeros_after_each_end(name):
    data = load(name)
    card = LOADERS[name].CARD
    for split, size in zip(SPLITS, card.sizes, strict=True):
        sequences = getattr(data, split)
        assert sequences.x.shape == (size, int(sequences.lengths.max()), card.features)
        assert (sequences.x.dtype, sequences.lengths.dtype) == (torch.float32, torch.int64)
        assert int(sequences.lengths.min()) > 0
        assert not sequences.x[~sequences.mask].any()
        for labels in data.labels.values():
            assert getattr(labels, split).shape == (size,)
            assert getattr(labels, split).dtype == torch.int64


def test_all_371_chorales_are_there_once(rolls):
    assert sorted(rolls) == list(range(1, 372))


@pytest.mark.parametrize(
    "number, chords",
    [
        # BWV 269, "Aus meines Herzens Grunde", in G
        (1, [("G2", "B3", "D4", "G4"), ("G3", "B3", "D4", "G4")]),
        # BWV 347, "Ich dank dir, lieber Herre", in A
        (2, [("A3", "C#4", "E4", "A4"), ("F#3", "C#4", "F#4", "A4"), ("C#3", "C#4", "E4", "A4")]),
    ],
)
def test_a_chorale_begins_with_the_chords_of_its_score(rolls, number, chords):
    for quarter, names in enumerate(chords):
        assert rolls[number][quarter].nonzero().flatten().tolist() == chord(*names)


def test_no_more_than_five_voices_sing_and_mostly_four(rolls):
    """One setting (BWV 27.6) has a second soprano; two voices on one key are one note of the roll."""
    voices = torch.cat(list(rolls.values())).sum(1)
    assert voices.max() <= 5
    assert (voices == 4).float().mean() > 0.85
    assert set(torch.cat(list(rolls.values())).unique().tolist()) == {0.0, 1.0}


def test_each_chorale_begins_and_ends_with_a_note(rolls):
    assert all(roll[0].any() and roll[-1].any() for roll in rolls.values())


def test_no_setting_is_in_two_splits(chorales):
    where = {}
    for split in SPLITS:
        sequences = getattr(chorales, split)
        for roll, length in zip(sequences.x, sequences.lengths, strict=True):
            where.setdefault(roll[:length].numpy().tobytes(), set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())
    assert len(where) < 371  # so that the rule has something to do


@pytest.mark.parametrize("number", [1, 27, 150, 371])
def test_a_chorale_built_anew_is_the_bundled_one(rolls, number):
    np.testing.assert_array_equal(build.chorale_roll(number), rolls[number].numpy())


def test_splits_of_chorales_drawn_anew_are_the_bundled_ones(chorales, rolls):
    drawn = build.split_settings([rolls[n].numpy().astype(np.uint8) for n in sorted(rolls)])
    for split, chosen in zip(SPLITS, drawn, strict=True):
        assert [i + 1 for i in chosen] == getattr(chorales.labels["riemenschneider"], split).tolist()


def test_a_roll_holds_what_sounds_as_each_quarter_begins():
    from music21 import note, stream

    part = stream.Part()
    for offset, length, name in [(1, 1.5, "C4"), (2.5, 0.5, "D4"), (3.5, 1.5, "E4")]:
        part.insert(offset, note.Note(name, quarterLength=length))
    roll = build.roll_of([part])
    assert [row.nonzero()[0].tolist() for row in roll] == [chord("C4"), chord("C4"), [], chord("E4")]


def test_japanese_vowels_are_as_published():
    """Kudo et al. 1999: 270 utterances to train on, thirty a speaker, 370 to test on; 7 to 29 steps of 12 numbers."""
    data = load("japanese-vowels")
    speakers = data.labels["speaker"]
    assert torch.bincount(torch.cat([speakers.train, speakers.valid])).tolist() == [0, *[30] * 9]
    assert torch.bincount(speakers.valid).tolist() == [0, *[6] * 9]
    assert torch.bincount(speakers.test).tolist() == [0, 31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = torch.cat([getattr(data, split).lengths for split in SPLITS])
    assert (int(lengths.min()), int(lengths.max())) == (7, 29)


def test_a_line_of_a_ts_file_gives_steps_of_dimensions_and_a_class():
    (x, label), (second, _) = build.parse_ts("@dimensions 2\n@data\n1.5,2,3:-1,-2,-3:7\n0,0:1,1:2\n")
    np.testing.assert_array_equal(x, [[1.5, -1], [2, -2], [3, -3]])
    assert (label, second.shape) == (7, (2, 2))


@pytest.mark.skipif(find_spec("aeon") is None, reason="aeon is not installed (only its data files are used)")
def test_japanese_vowels_built_anew_are_the_bundled_ones():
    bundled, built = read_bundled("japanese-vowels"), build.build_japanese_vowels()
    assert bundled.keys() == built.keys()
    for key, array in built.items():
        np.testing.assert_array_equal(bundled[key], array)
