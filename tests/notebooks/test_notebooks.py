"""Every notebook of the course runs, reads well in git, and marks what it should."""

import ast
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from gmnm_lib import hardware
from gmnm_lib.course.check import check
from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.judge import judge
from gmnm_lib.course.notebooks import course_root, dumps, faults, normalise, read
from gmnm_lib.course.release import exercise_from, is_check, is_solution, tasks_of

ROOT = course_root(Path(__file__).parent)
LECTURES = [  # each is listed here, so that none is forgotten
    "01_graphical_and_neural_models",
    "02_models_in_both_families",
    "03_variational_bayes",
    "04_variational_autoencoder",
    "05_recurrent_latent_variables",
    "06_sentences_and_dialogue",
    "07_draw",
    "08_denoising_autoencoders_and_scores",
    "09_sampling_with_denoisers",
    "10_generative_stochastic_networks",
    "11_open_questions",
]
EXERCISES = LECTURES
FOLDERS = {"lectures": LECTURES, "solutions": EXERCISES, "exercises": EXERCISES}
FOLLOWS = (
    ROOT / "lectures" / f"{LECTURES[3]}.ipynb"
)  # may train on a GPU: its data go where the model is, by `.to(model.zero)`
EVERY = [ROOT / folder / f"{name}.ipynb" for folder, names in FOLDERS.items() for name in names]

# Runs after a lecture's last cell: what a reader meets who goes back to its sliders. A draw that fails there fails here.
TO_BOTH_ENDS = """
from gmnm_lib.live.explore import open_explorers
from gmnm_lib.live.pictures import picture_of

for explorer in open_explorers:
    start = {name: slider.start for name, slider in explorer.sliders.items()}
    picture_of(explorer.draw, **start)
    for name, slider in explorer.sliders.items():
        for end in (slider.low, slider.high):
            picture_of(explorer.draw, **start | {name: slider.check(name, end)})
assert len(open_explorers) >= NUMBER, len(open_explorers)
"""


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def calls_of(notebook, name):
    """The calls of a function of that name, as syntax trees."""
    nodes = [node for cell in code_of(notebook) for node in ast.walk(ast.parse(cell.source))]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    return [call for call in calls if name in (getattr(call.func, "id", ""), getattr(call.func, "attr", ""))]


def titled(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_notebook_is_listed(folder):
    assert sorted(path.stem for path in (ROOT / folder).glob("*.ipynb")) == FOLDERS[folder]


@pytest.mark.parametrize("path", EVERY, ids=titled)
def test_committed_notebooks_are_in_the_one_form_that_git_keeps(path):
    notebook = read(path)
    assert path.read_text(encoding="utf-8") == dumps(normalise(notebook, path.stem))
    assert faults(notebook, path.stem) == []


@pytest.mark.parametrize("name", LECTURES)
def test_a_lecture_is_committed_executed_and_has_its_parameters(name):
    code = code_of(read(ROOT / "lectures" / f"{name}.ipynb"))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    values = {}
    exec(parameters.source, values)
    assert (values["profile"], values["seed"], values["interactive"]) == ("quick", 0, True)


@pytest.mark.parametrize("path", EVERY, ids=titled)
def test_no_notebook_uses_what_loses_its_reply_under_papermill(path):
    sources = "\n".join(cell.source for cell in code_of(read(path)))
    assert not [banned for banned in ("interact(", "Output(", "pyplot") if banned in sources]


@pytest.mark.parametrize("path", [path for path in EVERY[: -len(EXERCISES)] if path != FOLLOWS], ids=titled)
def test_a_model_stays_beside_its_data_where_there_is_a_gpu(path):
    """Left to itself a trainer takes its model there, and later cells feed it tensors of the CPU."""
    notebook = read(path)
    left = [call for call in calls_of(notebook, "Trainer") if "device" not in [word.arg for word in call.keywords]]
    assert not left or calls_of(notebook, "work_on"), (
        'add `from gmnm_lib import hardware` and the line `hardware.work_on("cpu")` to the setup cell, '
        "or give each Trainer its device"
    )


@pytest.mark.parametrize("name", LECTURES)
def test_the_source_that_a_lecture_shows_is_the_librarys_of_today(name):
    known = {
        line.strip() for path in (ROOT / "gmnm_lib").rglob("*.py") for line in path.read_text("utf-8").splitlines()
    }
    cells = [
        cell for cell in code_of(read(ROOT / "lectures" / f"{name}.ipynb")) if re.search(r"\bsource\(", cell.source)
    ]
    shown = [
        output.data["text/plain"] for cell in cells for output in cell.outputs if "text/latex" in output.get("data", ())
    ]
    stale = [line for text in shown for line in text.splitlines() if line.strip() and line.strip() not in known]
    assert shown and stale == [], f"execute it again: gmnm execute {name[:2]}"


@pytest.mark.slow
@pytest.mark.parametrize("path", EVERY[: -len(EXERCISES)], ids=titled)
def test_a_lecture_and_a_solution_run_from_top_to_bottom_and_sliders_to_both_ends(path):
    """By nbval, hidden tests included, lectures with live panels."""
    notebook = read(path)
    if explorers := len(calls_of(notebook, "explore")):
        notebook.cells.append(new_code_cell(TO_BOTH_ENDS.replace("NUMBER", str(explorers))))
    code = code_of(notebook)
    outcomes = judge(notebook, cell_timeout=180, timeout=420)
    bad = [
        (cell.source.split("\n")[0], outcome)
        for cell, outcome in zip(code, outcomes, strict=True)
        if outcome.status != "passed"
    ]
    assert bad == []


@pytest.mark.parametrize("name", EXERCISES)
def test_the_exercise_is_what_release_makes_of_the_solution(name):
    solution = read(ROOT / "solutions" / f"{name}.ipynb")
    assert (ROOT / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8") == dumps(exercise_from(solution, name))


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_has_three_to_six_tasks_and_a_bug_hunt(name):
    tasks = tasks_of(read(ROOT / "exercises" / f"{name}.ipynb"))
    assert 3 <= len(tasks) <= 6
    assert any("bug hunt" in task.title.lower() for task in tasks)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_has_full_points(name):
    report = check(ROOT / "solutions" / f"{name}.ipynb", cell_timeout=180, root=ROOT)
    assert [mark.task for mark in report.marks if mark.points != mark.out_of] == []
    assert report.points == report.out_of > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_stub_has_no_points_and_says_so_at_every_task(name):
    report = check(ROOT / "exercises" / f"{name}.ipynb", cell_timeout=180, root=ROOT)
    assert [mark.hint for mark in report.marks if "not implemented yet" not in mark.hint] == []
    assert report.points == 0


@pytest.fixture
def works_here_alone():
    """A setup cell that is run in this process may say where it works; later tests have not been asked."""
    yield
    hardware.work_on("auto")


@pytest.mark.parametrize("name", EXERCISES)
def test_each_stub_fails_alone_among_solved_tasks(name, works_here_alone):
    """All stubs at once could fail because of the first one. Here each is the only hole, so its own check must see it."""
    solution, exercise = (read(ROOT / folder / f"{name}.ipynb") for folder in ("solutions", "exercises"))
    stubs = {cell.metadata.nbgrader.grade_id: cell.source for cell in exercise.cells if is_solution(cell)}
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in solution.cells if is_solution(cell)}
    checks = {cell.metadata.nbgrader.grade_id: cell.source for cell in exercise.cells if is_check(cell)}
    (setup,) = [cell.source for cell in exercise.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "setup"]
    for task, stub in stubs.items():
        names = {}
        for source in (setup, *(answers | {task: stub}).values()):
            exec(source, names)
        with pytest.raises(CheckFailed, match=f"^{task}: not implemented yet"):
            exec(checks[f"check_{task}"], names)
