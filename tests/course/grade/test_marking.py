# ruff: noqa: E501, UP031
"""Whole notebooks by the whole grader, nbval and all, where nbval or the notebook's own form is what is attacked."""

import csv
import json
import os
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from gmnm_lib.course.grade import marking, write
from gmnm_lib.course.judge import Outcome

MESSAGES = {
    "double_a": r"\x1b[31m<script>alert(1)</script>\x1b[0m <img src=x onerror=alert(2)>",
    "double_b": r"x\nTimeout of 5 seconds\nCell 1: Timeout of 5",
    "double_c": r"=HYPERLINK(\"http://127.0.0.1/\")\n@SUM(1)\t+1",
    "double_d": r"\ud800 ]]></failure></testcase><testcase name=\"Cell 4\"/> \x00\x08 \u202e",
}
ODD = {
    "double_e": "def double_e(x):\n    while True: pass",
    "double_f": "def double_f(x):\n    import os; os._exit(0)",
}


def outcome_of(result, task):
    return next(one for one in result.tasks if one.task == task)


class Scripts(HTMLParser):
    """What a browser would run of a page beyond what the page has itself."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        names = {name for name, _ in attributes}
        if any(name.startswith("on") for name in names) or (tag == "img" and ("src", "x") in attributes):
            self.found.append((tag, names))


@pytest.fixture(scope="module")
def hostile(classroom, walled, tmp_path_factory):
    """The marks of one notebook: hostile messages, a hang, an exit, an untouched stub, and three honest answers."""
    sources = {task: f"def {task}(x):\n    raise ValueError('{text}')" for task, text in MESSAGES.items()} | ODD
    notebook = classroom.notebook(**sources)
    stub = classroom.cell(classroom.exercise.released, "double_g").source
    classroom.cell(notebook, "double_g").source = stub
    for cell in notebook.cells:
        cell.metadata["tags"] = ["nbval-skip", "raises-exception", "nbval-ignore-output"]
    name = "=cmd|'<b>.ipynb"
    return classroom.marker(tmp_path_factory.mktemp("m"), seconds=4.0).mark(
        classroom.submission(notebook, key="=1+1<i>", file=name)
    )


@pytest.mark.parametrize("task", MESSAGES)
def test_a_hostile_message_is_a_plain_failure(hostile, task):
    outcome = outcome_of(hostile, task)
    assert (outcome.points, outcome.status) == (0, "failed")
    assert outcome.hint.startswith("it raised ValueError: ")
    assert outcome.hint.isprintable()
    outcome.hint.encode()


def test_each_end_of_a_task_has_its_status(hostile):
    statuses = [outcome_of(hostile, f"double_{letter}").status for letter in "efghij"]
    assert statuses == ["timed out", "killed", "not attempted", "passed", "passed", "passed"]
    assert (hostile.points, hostile.trouble, hostile.needs_a_human) == (3, "", False)


def test_hostile_words_do_nothing_in_files_for_people(hostile, tmp_path):
    write([hostile], tmp_path)
    for page in [*tmp_path.rglob("*.html")]:
        text = page.read_text(encoding="utf-8")
        parser = Scripts()
        parser.feed(text)
        assert parser.found == [], page
        assert "<script>alert" not in text
    assert len(list(tmp_path.rglob("*.html"))) == 2
    for table in tmp_path.glob("*.csv"):
        cells = [cell for row in csv.reader(table.read_text(encoding="utf-8-sig").splitlines()) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "-1", "\t"))], table
    assert {path.parent for path in tmp_path.rglob("*.html")} <= {tmp_path, tmp_path / "feedback"}


def test_files_planted_around_the_grader_are_not_run(classroom, walled, tmp_path, monkeypatch):
    """Beside the submissions, which is where an instructor may stand while grading."""
    bad = "import os, pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nos._exit(3)\n"
    for name in ("numpy.py", "torch.py", "nbformat.py", "conftest.py", "sitecustomize.py", "gmnm_lib.py", "json.py"):
        (tmp_path / name).write_text(bad)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    (tmp_path / "report.xml").write_text("<testsuite><testcase name='Cell 1'/></testsuite>")
    before = set(os.listdir(tmp_path))
    forged = "import os\nfor name in ('report.xml', '../report.xml'):\n    open(name, 'w').write('<testsuite/>')\n"
    notebook = classroom.notebook(double_a=f"{forged}def double_a(x):\n    return 0 * x")
    notebook.metadata["kernelspec"] = {"name": "bad", "display_name": "Bad", "argv": ["touch", "planted"]}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()
    result = classroom.marker(tmp_path / "private", seconds=10.0).mark(classroom.submission(notebook))
    assert (result.points, result.out_of) == (9, 10)
    assert set(os.listdir(tmp_path)) == before | {"private"}


def test_changed_forms_of_cells_and_checks_gain_nothing(classroom, walled):
    """Every way to change a check: emptied, deleted, doubled, moved, made text, renamed, claimed by another cell."""
    notebook = classroom.notebook(
        **{f"double_{letter}": f"def double_{letter}(x):\n    return 0 * x" for letter in "abcdefg"}
    )
    classroom.cell(notebook, "check_double_a").source = "pass"
    notebook.cells.remove(classroom.cell(notebook, "check_double_b"))
    notebook.cells.append(nbformat.from_dict(classroom.cell(notebook, "check_double_c")))
    moved = classroom.cell(notebook, "check_double_d")
    notebook.cells.remove(moved)
    notebook.cells.insert(0, moved)
    place = notebook.cells.index(classroom.cell(notebook, "check_double_e"))
    text = new_markdown_cell("passed", metadata=dict(notebook.cells[place].metadata))
    notebook.cells[place] = text
    classroom.cell(notebook, "check_double_f").metadata["nbgrader"] |= {"grade_id": "check_double_z", "points": 100}
    claimed = {"nbgrader": {"grade_id": "check_double_g", "grade": True, "points": 100, "solution": True}}
    notebook.cells.append(new_code_cell("its_student = lambda *a: 1\ndouble_g = 1", metadata=claimed))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"same-{number}"
    verdicts = classroom.examine(notebook)
    assert [verdicts[task].status for task in classroom.tasks] == ["failed"] * 7 + ["passed"] * 3


def nested(depth):
    return b'{"cells": ' + b"[" * depth + b"]" * depth + b', "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


def raw(cells="[]", metadata="{}", version="4", minor="5"):
    return f'{{"cells": {cells}, "metadata": {metadata}, "nbformat": {version}, "nbformat_minor": {minor}}}'.encode()


CLAIM = '{"gmnm": {"exercise": "02_doubling"}}'
CODE = '{"cell_type": "code", "id": "a", "metadata": %s, "outputs": [], "execution_count": null, "source": %s}'
CONTENTS = {
    "nothing": b"",
    "no JSON": b"hello",
    "bytes": bytes(range(256)),
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "JSON a hundred thousand deep": nested(100_000),
    "twenty megabytes of brackets": b"[" * 20_000_000,
    "no cells": raw(),
    "cells that are a number": raw("5"),
    "a cell that is text": raw('["x"]'),
    "a kind of cell that is none": raw('[{"cell_type": "evil", "metadata": {}, "source": ""}]'),
    "a future format": raw(version="99"),
    "an old format": raw(version="3", minor="0"),
    "a format that is text": raw(version='"4"'),
    "a number of ten thousand digits": raw(minor="1" * 10_000),
    "metadata that is a list": raw(metadata="[]"),
    "an exercise that is a list": raw(metadata='{"gmnm": {"exercise": [1]}}'),
    "an exercise that is half a character": raw(metadata=r'{"gmnm": {"exercise": "\ud800"}}'),
    "a course that is text": raw(metadata='{"gmnm": "02_doubling"}'),
    "marks that are a list": raw("[" + CODE % ('{"nbgrader": [1]}', '"x"') + "]", CLAIM),
    "marks with a name that is a number": raw("[" + CODE % ('{"nbgrader": {"grade_id": 5}}', '"x"') + "]", CLAIM),
    "tags that are a dictionary": raw("[" + CODE % ('{"tags": {}}', '"x"') + "]", CLAIM),
    "a source that is a number": raw("[" + CODE % ("{}", "5") + "]", CLAIM),
    "a source that is half a character": raw("[" + CODE % ("{}", r'"\ud800 \udfff"') + "]", CLAIM),
    "a source of twenty megabytes": raw("[" + CODE % ("{}", '"' + "x = 1;" * 3_400_000 + '"') + "]", CLAIM),
    "ten thousand cells": raw("[" + ",".join([(CODE % ("{}", '"1"')).replace('"id": "a"', f'"id": "a{n}"') for n in range(10_000)]) + "]", CLAIM),
    "ten thousand cells of text": raw("[" + ",".join('{"cell_type": "markdown", "id": "b%d", "metadata": {}, "source": ""}' % n for n in range(10_000)) + "]", CLAIM),
    "zeros in the text": raw("[" + CODE % ("{}", r'"\u0000"') + "]", CLAIM),
    "the same name for all": raw('[' + ",".join([CODE % ('{"nbgrader": {"grade_id": "double_a"}}', '"double_a = 1"')] * 3) + "]", CLAIM),
}  # fmt: skip


@pytest.fixture(scope="module")
def marker(classroom, tmp_path_factory):
    return classroom.marker(tmp_path_factory.mktemp("forms"))


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
def test_no_file_whatsoever_raises_or_scores(classroom, marker, monkeypatch, content):
    """nbval is left out here: each check of a notebook that is one counts as failed."""
    briefs = []

    def all_fail(checks, **_):
        briefs.append(json.dumps([cell.source for cell in checks.cells]).encode())
        return [Outcome("passed"), *[Outcome("failed", "CheckFailed", "no")] * len(classroom.tasks), Outcome("passed")]

    monkeypatch.setattr(marking, "judge", all_fail)
    result = marker.mark(classroom.submission(content))
    assert result.points == 0
    assert result.trouble or briefs
    (result.trouble + "".join(result.notes)).encode()


def test_a_verdict_that_is_missing_is_for_a_human_and_no_pass(classroom, marker, monkeypatch):
    def nothing_run(checks, **_):
        return [Outcome("passed"), *[Outcome("not run")] * (len(classroom.tasks) + 1)]

    monkeypatch.setattr(marking, "judge", nothing_run)
    result = marker.mark(classroom.submission(classroom.notebook()))
    assert result.points == 0
    assert {task.status for task in result.tasks} == {"for a human"}
