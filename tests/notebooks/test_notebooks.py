"""Every notebook of the course reads well in git, and shows the library as it is."""

import re

import pytest

from gmnm_lib.course.notebooks import dumps, faults, normalise, read
from tests.notebooks.every import EVERY, EXERCISES, FOLDERS, LECTURES, ROOT, calls_of, code_of, titled

# It may train on a GPU: its data go where the model is, by `.to(model.zero)`.
FOLLOWS = ROOT / "lectures" / f"{LECTURES[3]}.ipynb"


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
