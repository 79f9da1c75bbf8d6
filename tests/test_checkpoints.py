"""Files cut short, forged, foreign or unwritable: each refused by name, the good file kept."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from gmnm_lib import checkpoints
from gmnm_lib.errors import InputError
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer

DATA = torch.rand(40, 16, generator=torch.Generator().manual_seed(0))


def trainer(hidden: int = 8, **options) -> Trainer:
    return Trainer(VAE(pixels=16, hidden=hidden, latent=2), DATA, **{"batch_size": 20, "device": "cpu"} | options)


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes({"empty": b"", "cut": whole[:middle], "text": b"not a checkpoint", "a bit": flipped}[how])


@pytest.mark.parametrize("how", ["empty", "cut", "text", "a bit"])
def test_a_damaged_file_is_named_with_the_mend(tmp_path, how):
    ours = trainer()
    ours.save(tmp_path / "run.pt")
    damage(tmp_path / "run.pt", how)
    with pytest.raises(InputError, match=r"run\.pt is damaged or not a checkpoint: delete it"):
        ours.load(tmp_path / "run.pt")


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"model": Bomb()}))
    torch.save({"model": Bomb()}, tmp_path / "bomb2.pt")
    for name in ("bomb.pt", "bomb2.pt"):
        with pytest.raises(InputError, match="damaged or not"):
            checkpoints.read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_somebody_elses_file_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="no trainer's state"):
        checkpoints.read(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "other, says",
    [({"hidden": 9}, "another model: decoder.0.bias"), ({"batch_size": 10}, "batch_size 20"), ({"seed": 5}, "seed 0")],
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, other, says):
    trainer().save(tmp_path / "run.pt")
    ours = trainer(**other)
    before = checkpoints.copy(ours.state())
    with pytest.raises(InputError, match=says):
        ours.load(tmp_path / "run.pt")
    assert str(before) == str(checkpoints.copy(ours.state()))


def test_no_single_flipped_bit_changes_what_is_read(tmp_path):
    path = tmp_path / "run.pt"
    trainer().save(path)
    whole, there = path.read_bytes(), str(checkpoints.read(path))
    for place in range(0, len(whole), len(whole) // 150):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = str(checkpoints.read(path))
        except InputError:
            continue
        assert found == there  # a bit that tells nothing, of a date for instance


def test_a_checkpoint_of_nan_or_of_a_knob_out_of_range_is_refused_and_changes_nothing(tmp_path):
    ours = trainer()
    before = str(checkpoints.copy(ours.state()))
    for part, name, value, says in (
        ("model", "decoder.0.bias", torch.full((8,), float("nan")), "NaN or infinity in decoder.0.bias"),
        ("knobs", "noise", 7.0, "knob 'noise' is 7"),
    ):
        state = checkpoints.copy(ours.state())
        state[part][name] = value
        checkpoints.write(tmp_path / "run.pt", state)
        with pytest.raises(InputError, match=says):
            ours.load(tmp_path / "run.pt")
        assert str(checkpoints.copy(ours.state())) == before


def test_a_missing_file_and_a_missing_name_are_told(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        trainer().load(tmp_path / "none.pt")
    with pytest.raises(InputError, match="give it checkpoint=PATH"):
        trainer().resume()
    assert trainer(checkpoint=tmp_path / "none.pt").resume() is False


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    trainer().save(path)
    old = path.read_bytes()

    def disk_full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        trainer().save(path)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        trainer().save(tmp_path / "file" / "run.pt")


def test_checkpoints_appear_while_a_run_goes_on(tmp_path):
    ours = trainer(checkpoint=tmp_path / "run.pt", checkpoint_seconds=0, report_every=1)
    run = ours.run(epochs=2)
    next(run)
    assert checkpoints.read(tmp_path / "run.pt")["step"] == 1
