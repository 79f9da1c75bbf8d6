import json

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from gmnm_lib import files
from gmnm_lib.course.notebooks import dumps, find_lecture, normalise, read, write
from gmnm_lib.errors import InputError

FRAMES = "application/vnd.gmnm.frames+json"
PNG = "iVBORw0KGgo="


def executed():
    """A notebook as papermill and a front end leave it."""
    picture = {"image/png": PNG, "text/plain": "strip", FRAMES: {"version": 1}}
    widget = {"text/plain": "bar", "application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    time = {"execution": {"iopub.status.busy": "2024-01-01"}, "papermill": {"duration": 1.0}, "collapsed": True}
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("seed = 0", metadata={"tags": ["parameters"], **time}, execution_count=1),
        new_code_cell("interactive = False", metadata={"tags": ["injected-parameters"]}, execution_count=2),
        new_code_cell(
            "draw()\r\n",
            execution_count=3,
            outputs=[
                new_output("stream", name="stderr", text="\r 10%|#"),
                new_output("stream", name="stdout", text="a"),
                new_output("stream", name="stderr", text="\r100%|##########\n"),
                new_output("stream", name="stdout", text="b"),
                new_output("display_data", data=picture),
                new_output("display_data", data=widget),
                new_output("execute_result", data={"text/plain": "4"}, execution_count=3),
            ],
        ),
        new_code_cell("draw()"),
    ]
    kernel = {"name": "mine", "display_name": "My own", "language": "python"}
    return new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "papermill": {"start_time": "now"}, "gmnm": {"a": 1}}
    )


def test_what_a_machine_or_a_clock_left_is_gone():
    notebook = normalise(executed(), "lecture")
    text = dumps(notebook)
    assert not any(
        trace in text for trace in ("papermill", "busy", "collapsed", "injected", "My own", "widget", "|#", FRAMES)
    )
    assert notebook.metadata.gmnm == {"a": 1}
    assert notebook.cells[1].metadata == {"tags": ["parameters"]}


def test_outputs_that_carry_meaning_stay_in_order():
    outputs = normalise(executed(), "lecture").cells[2].outputs
    assert [output.output_type for output in outputs] == ["stream", "display_data", "execute_result"]
    assert outputs[0].text == "ab"
    assert outputs[1].data == {"image/png": PNG, "text/plain": "strip"}


def test_execution_counts_run_from_one_without_a_gap():
    cells = [cell for cell in normalise(executed(), "lecture").cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [1, 2, None]
    assert cells[1].outputs[-1].execution_count == 2


def test_normal_form_is_a_fixed_point():
    once = normalise(executed(), "lecture")
    assert dumps(normalise(once, "lecture")) == dumps(once)


def test_ids_follow_from_file_and_content_and_are_unique():
    ids = [cell.id for cell in normalise(executed(), "lecture").cells]
    assert len(set(ids)) == len(ids)  # two cells say draw()
    assert ids == [cell.id for cell in normalise(executed(), "lecture").cells]
    assert not set(ids) & {cell.id for cell in normalise(executed(), "another").cells}


def test_the_id_of_a_graded_cell_outlives_an_edit(solution):
    before = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.id for cell in normalise(solution, "a").cells}
    for cell in solution.cells:
        cell.source += "\n# more"
    after = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.id for cell in normalise(solution, "a").cells}
    assert {name: id for name, id in before.items() if name} == {name: id for name, id in after.items() if name}
    assert before[None] != after[None]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (new_output("error", ename="ValueError", evalue="no", traceback=[]), "ends in an error .ValueError: no."),
        (new_output("stream", text="in /home/me/course/x.py:3"), "shows a path of one machine ./home/me/course/x.py"),
        (new_output("display_data", data={"text/html": "<img src='C:\\Users\\me\\x'>"}), "shows a path of one machine"),
        (new_output("display_data", data={"text/plain": "<Thing at 0x7f31c0ffee10>"}), "shows an object's address"),
        (new_output("display_data", data={"image/png": "A" * 1_100_000}), "is 1.1 MB, more than 1 MB"),
    ],
)
def test_a_notebook_unfit_for_git_is_refused_and_the_old_one_stays(tmp_path, output, sentence):
    path = tmp_path / "lecture.ipynb"
    path.write_text("old")
    notebook = new_notebook(cells=[new_code_cell("run()", outputs=[output])])
    with pytest.raises(InputError, match=sentence):
        write(notebook, path)
    assert path.read_text() == "old"


@pytest.mark.parametrize("text", ["see https://host/tmp/x", "a ratio of m/tmp/n", "either/or", "3 / 4"])
def test_what_only_looks_like_a_path_is_let_through(tmp_path, text):
    output = new_output("stream", text=text)
    assert write(new_notebook(cells=[new_code_cell("", outputs=[output])]), tmp_path / "a.ipynb")


def test_writing_the_same_again_changes_nothing(tmp_path):
    path = tmp_path / "lecture.ipynb"
    assert write(executed(), path)
    before = path.stat().st_mtime_ns
    assert not write(read(path), path)
    assert path.stat().st_mtime_ns == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["lecture.ipynb"]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "lecture.ipynb"
    path.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(executed(), path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["lecture.ipynb"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nope",
        b"[]",
        b"[1]",
        b"{}",
        b"\xff\xfe\x00",
        b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    ],
)
def test_what_is_no_notebook_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.ipynb .*JupyterLab") as refusal:
        read(path)
    assert "\n" not in str(refusal.value) and "attribute" not in str(refusal.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nothing.ipynb")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)


def test_a_notebook_of_an_older_format_is_read(tmp_path):
    path = tmp_path / "old.ipynb"
    cell = {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": None}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}))
    assert read(path).cells[0].source == "1"


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "lectures").mkdir()
    for name in ("04_variational_autoencoder", "05_vrnn", "11_boltzmann_machines"):
        (tmp_path / "lectures" / f"{name}.ipynb").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["04", "4", "04_variational_autoencoder", "variational", "lectures/04_variational_autoencoder.ipynb"]
)
def test_a_lecture_is_found_by_number_name_or_path(shelf, name, monkeypatch):
    monkeypatch.chdir(shelf)
    assert find_lecture(name, shelf).resolve() == shelf / "lectures" / "04_variational_autoencoder.ipynb"


@pytest.mark.parametrize("name", ["99", "", "nothing", "1"])
def test_an_unknown_lecture_names_those_there_are(shelf, name):
    with pytest.raises(InputError, match="choose one of 04_variational_autoencoder, 05_vrnn, 11_boltzmann_machines"):
        find_lecture(name, shelf)


def test_a_path_that_is_not_there_does_not_fall_back_to_a_lecture_of_that_name(shelf):
    with pytest.raises(InputError, match=r"elsewhere/04_variational_autoencoder\.ipynb does not exist"):
        find_lecture("elsewhere/04_variational_autoencoder.ipynb", shelf)


def test_an_ambiguous_name_is_refused(shelf):
    with pytest.raises(InputError, match="could be more than one: choose one of 04_variational_autoencoder, 05_vrnn"):
        find_lecture("v", shelf)
