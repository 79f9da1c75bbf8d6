"""Every attack scores nothing, costs its own task only, and leaves this machine as it was."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.course.grade import attacks, attacks_on_answers, attacks_on_secrets

REPOSITORY = Path(__file__).parents[3]
# Name of the group -> attack -> cell.
GROUPS = {
    name: value
    for module in (attacks, attacks_on_secrets, attacks_on_answers)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, dict)
}
ATTACKS = {attack: group for group, cells in GROUPS.items() for attack in cells}
ENDS = {"failed", "timed out", "killed"}


class Stage:
    """What the attacks aim at on this side, and the outcome of each group of them, found once."""

    def __init__(self, classroom, folder):
        self.classroom, self.out = classroom, folder / "out"
        self.out.mkdir()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.local, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.local.bind(str(folder / "s"))
        self.name = f"gmnm-{os.getpid()}"
        self.abstract.bind(f"\0{self.name}")
        for one in (self.local, self.abstract):
            one.listen()
        self.words = {
            "@REPOSITORY@": str(REPOSITORY),
            "@COURSE@": str(classroom.root),
            "@HOME@": str(Path.home()),
            "@PRIVATE@": str(classroom.private),
            "@OUT@": str(self.out),
            "@PORT@": str(self.listener.getsockname()[1]),
            "@ABSTRACT@": self.name,
            "@SOCKET@": str(folder / "s"),
        }
        secret = {"GMNM_TEST_SECRET": "of a neighbour"}
        self.neighbour = subprocess.Popen(["/bin/sleep", "900"], env=secret)
        self.outcomes = {}

    def close(self):
        for one in (self.listener, self.local, self.abstract):
            one.close()
        self.neighbour.kill()
        self.neighbour.wait()

    def source(self, attack, task):
        source = GROUPS[ATTACKS[attack]][attack].replace("NAME", task)
        for word, value in self.words.items():
            source = source.replace(word, value)
        return source

    def tried(self, group):
        """Attack -> its verdict; "honest" -> those of the tasks beside it."""
        if group not in self.outcomes:
            tasks = dict(zip(self.classroom.tasks, GROUPS[group], strict=False))
            notebook = self.classroom.notebook(**{task: self.source(attack, task) for task, attack in tasks.items()})
            verdicts = self.classroom.examine(notebook, seconds=2.0)
            found = {attack: verdicts.pop(task) for task, attack in tasks.items()}
            self.outcomes[group] = found | {"honest": verdicts}
        return self.outcomes[group]


@pytest.fixture(scope="module")
def stage(classroom, walled, tmp_path_factory):
    os.environ["GMNM_TEST_SECRET"] = "of the grader"
    stage = Stage(classroom, tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()
    del os.environ["GMNM_TEST_SECRET"]


# Those that do no harm without a wall, each from another side of it.
OPEN = [
    "the solutions",
    "the repository",
    "the environment of any process",
    "a listener of this machine",
    "an abstract socket of this machine",
    "fork bomb",
    "memory that no limit counts",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_scores_nothing(stage, attack):
    verdict = stage.tried(ATTACKS[attack])[attack]
    assert verdict.status in ENDS, verdict


@pytest.mark.parametrize("group", GROUPS)
def test_honest_tasks_beside_attacks_score_in_full_and_nothing_is_left(stage, group):
    honest = stage.tried(group)["honest"]
    assert len(honest) >= 3
    assert {verdict.status for verdict in honest.values()} == {"passed"}, honest
    assert list(stage.out.iterdir()) == []
    assert stage.classroom.survivors() == []


def test_the_same_attacks_score_where_there_is_no_wall(stage):
    """Else the tests above would prove nothing."""
    tasks = dict(zip(stage.classroom.tasks, OPEN, strict=False))
    notebook = stage.classroom.notebook(**{task: stage.source(attack, task) for task, attack in tasks.items()})
    verdicts = stage.classroom.examine(notebook, kind="none", seconds=20.0)
    assert {attack: verdicts[task].status for task, attack in tasks.items()} == dict.fromkeys(OPEN, "passed")
