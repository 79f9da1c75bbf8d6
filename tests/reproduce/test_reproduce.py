"""A reproduction resumes where it stopped, records what it measured, and refuses what does not fit."""

import dataclasses
import functools
import json
import math
import subprocess
import sys

import pytest
import torch

from gmnm_lib import cli, reproduce
from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.models.rbm import RBM
from gmnm_lib.reproduce import readme, results
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run, constant, linear

KEYS = {"name", "kind", "published", "source", "ours", "stderr", "estimator", "task", "profile", "device", "seconds"}
KEYS |= {"seed", "command", "versions", "aim", "reached", "unit"}


def digits():
    return (torch.rand(400, 6, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def small(run):
    """An RBM of six units for a stand-in, trained and measured as the real ones are."""
    with run.seeded():
        rbm = RBM(6, 4, particles=10)
    run.train("rbm", rbm, digits(), epochs=run.settings["epochs"], lr=0.1, schedule=linear, batch_size=10)
    found = run.once("energy", lambda progress: {"energy": float(rbm.free_energy(digits()).mean())})
    return Outcome(found["energy"], 0.1, {"weights": rbm.weights.sum().item()})


FIGURE = Reproduction(
    name="small",
    system="an RBM",
    published=1.0,
    source="nobody",
    aim=2.0,
    better="lower",
    unit="nats",
    task="noise",
    estimator="free energy",
    profiles={"cpu": {"epochs": 5}, "trial": {"epochs": 0.1}},
    run=small,
)


@pytest.fixture
def figure(monkeypatch):
    monkeypatch.setattr(reproduce, "NAMES", ("small",))
    monkeypatch.setattr(reproduce, "find", lambda name: FIGURE)


def outcome_of(folder, profile="cpu"):
    return FIGURE.run(Run(FIGURE, profile, 0, folder, quiet=True))


def test_an_interrupted_run_ends_as_the_undisturbed_one_does(tmp_path, monkeypatch):
    whole = outcome_of(tmp_path / "whole")
    step, steps = RBM.loss, iter(range(130))

    @functools.wraps(step)
    def interrupted(self, *arguments, **knobs):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(self, *arguments, **knobs)

    monkeypatch.setattr(RBM, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        outcome_of(tmp_path / "broken")
    monkeypatch.setattr(RBM, "loss", step)
    assert outcome_of(tmp_path / "broken") == whole


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    first = outcome_of(tmp_path)
    monkeypatch.setattr("gmnm_lib.trainer.Trainer._train_on_batch", lambda self: pytest.fail("trained again"))
    assert outcome_of(tmp_path) == first


def test_seconds_add_up_over_sittings(tmp_path):
    run = Run(FIGURE, "cpu", 0, tmp_path, quiet=True)
    FIGURE.run(run)
    assert run.seconds > 0
    assert Run(FIGURE, "cpu", 0, tmp_path, quiet=True).seconds == pytest.approx(run.seconds, abs=0.05)


def test_a_folder_of_other_settings_is_refused(tmp_path):
    Run(FIGURE, "cpu", 0, tmp_path)
    other = dataclasses.replace(FIGURE, profiles={"cpu": {"epochs": 6}})
    with pytest.raises(InputError, match="--fresh"):
        Run(other, "cpu", 0, tmp_path)


def test_lr_falls_in_a_line_and_stays_above_zero():
    assert [linear(0.0), linear(0.25), linear(1.0)] == [1.0, 0.75, 1e-3]
    assert constant(0.7) == 1.0


def test_a_result_has_every_field_and_a_trial_is_not_recorded(tmp_path, figure):
    made = reproduce.reproduce("small", folder=tmp_path / "work", quiet=True, results_folder=tmp_path)
    written = json.loads((tmp_path / "small_cpu.json").read_text())
    assert set(written) >= KEYS
    assert {name: written[name] for name in ("ours", "seed", "command")} == {
        "ours": made["ours"],
        "seed": 0,
        "command": "gmnm reproduce small",
    }
    reproduce.reproduce("small", profile="trial", folder=tmp_path / "work", quiet=True, results_folder=tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["small_cpu.json"]


def test_fresh_begins_again(tmp_path, figure):
    options = {"folder": tmp_path / "work", "quiet": True, "results_folder": tmp_path}
    reproduce.reproduce("small", **options)
    stage = tmp_path / "work" / "small_cpu_0" / "energy.json"
    stage.write_text('{"energy": -1000.0}')
    assert reproduce.reproduce("small", **options)["ours"] == -1000
    assert reproduce.reproduce("small", fresh=True, **options)["ours"] != -1000


def test_two_at_once_do_not_share_a_folder(tmp_path, figure):
    with reproduce._alone(tmp_path / "small_cpu_0"), pytest.raises(InputError, match="another run is at work"):
        reproduce.reproduce("small", folder=tmp_path, quiet=True, results_folder=tmp_path)


def test_an_aim_is_reached_from_its_better_side():
    higher = dataclasses.replace(FIGURE, better="higher")
    assert [FIGURE.reaches(value, 2.0) for value in (1.9, 2.0, 2.1)] == [True, True, False]
    assert [higher.reaches(value, 2.0) for value in (1.9, 2.0, 2.1)] == [False, True, True]
    assert not FIGURE.reaches(0.0, None)


@pytest.mark.parametrize("name", reproduce.names())
def test_every_reproduction_describes_itself(name):
    found = reproduce.find(name)
    assert found.name == name
    assert set(found.profiles) == {"cpu", "gpu", "trial"}
    assert {frozenset(settings) for settings in found.profiles.values()} == {frozenset(found.profiles["cpu"])}
    assert all((found.system, found.source, found.task, found.estimator))


@pytest.fixture(scope="module")
def bundled_bits():
    """Bundled digits cut at a half, in place of the full set that has to be downloaded."""
    digits = load("mnist-5k")
    cut = {split: (getattr(digits, split) > 0.5).float() for split in ("train", "valid", "test")}
    return dataclasses.replace(digits, **cut)


WITHOUT_DATA = {"dae-score"}
STAND_IN = {  # bundled sequences, where the figure is of sequences
    "storn-jsb": "chorales",
    "storn-nottingham": "chorales",
    "storn-piano": "chorales",
    "storn-muse": "chorales",
    "vrae-nottingham": "chorales",
    "vrnn-strokes": "pen-strokes",
    "vrnn-speech": "japanese-vowels",
    "sentence-vae-tatoeba": "grammar",
    "sentence-vae-ptb": "grammar",
    "vhred-chitchat": "chitchat",
}
PLAUSIBLE = {  # of a trial, where the figure is no negative log-likelihood in nats
    "dae-score": (-4, 4.2),
    "sda-mnist": (0, 60),
    "gdae-mnist": (-200, 300),
    "gsn-mnist": (-200, 300),
    **dict.fromkeys(("storn-jsb", "storn-nottingham", "storn-piano", "storn-muse", "vrae-nottingham"), (5, 61)),
    **dict.fromkeys(("vrnn-strokes", "vrnn-speech"), (-10, 10)),
    **dict.fromkeys(("sentence-vae-tatoeba", "sentence-vae-ptb"), (-60, 20)),
    "vhred-chitchat": (-1, 1),
}


@pytest.mark.parametrize("name", reproduce.names())
def test_every_reproduction_runs_from_data_to_figure(name, tmp_path, monkeypatch, bundled_bits):
    stand_in = load(STAND_IN[name]) if name in STAND_IN else bundled_bits
    monkeypatch.setattr(f"{reproduce.module_of(name)}.load", lambda name: stand_in, raising=name not in WITHOUT_DATA)
    made = reproduce.reproduce(name, profile="trial", folder=tmp_path, quiet=True, results_folder=tmp_path)
    low, high = PLAUSIBLE.get(name, (50, 784 * math.log(2)))
    assert low < made["ours"] < high
    assert made["stderr"] > 0
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("result", results.recorded(), ids=lambda result: result["name"])
def test_a_recorded_reproduction_is_one_of_ours(result):
    assert set(result) >= KEYS
    found = reproduce.find(result["figure"])
    for name in ("system", "published", "aim", "task"):
        assert result[name] == getattr(found, name)
    assert result["reached"] == found.reaches(result["ours"], found.aim)
    assert result["command"] == found.command(result["profile"], result["seed"])


def test_the_readme_carries_the_tables_of_what_was_recorded():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.renewed(text) == text, "run `python -m gmnm_lib.reproduce.readme` to renew its tables"


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(InputError, match="no place for the table"):
        readme.renewed("# gmnm")


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(InputError, match=r"x\.json"):
        results.recorded(tmp_path)


def test_the_list_names_what_is_recorded_and_what_is_not(capsys):
    assert cli.main(["reproduce", "--list"]) == 0
    text = capsys.readouterr().out
    assert [name for name in reproduce.names() if name not in text] == []
    assert cli.main(["reproduce", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == results.recorded()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such"], "choose one of rbm-mnist"),
        (["rbm-mnist", "--profile", "gpu"], "GPU"),
        (["rbm-mnist", "--list"], "--list takes no names"),
    ],
)
def test_bad_input_is_one_sentence(arguments, says, capsys, tmp_path):
    if "gpu" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert cli.main(["reproduce", *arguments, "--folder", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


def test_the_list_is_printed_without_torch():
    code = "import sys; from gmnm_lib import cli; cli.main(['reproduce', '--list']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
