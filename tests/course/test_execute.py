import pytest
from nbformat.v4 import new_code_cell, new_notebook

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.execute import execute, run
from gmnm_lib.course.notebooks import read, write
from gmnm_lib.errors import InputError

PARAMETERS = new_code_cell("interactive = True\nseed = 0", metadata={"tags": ["parameters"]})
PICTURE = """
from tqdm import tqdm
from gmnm_lib.figures import Drawing
for _ in tqdm(range(3)):
    pass
print("interactive:", interactive)
figure = Drawing(2, 2)
figure.add_subplot().plot([0, 1, 0])
figure
"""


def lecture(tmp_path, *sources):
    path = tmp_path / "01_small.ipynb"
    write(new_notebook(cells=[PARAMETERS, *map(new_code_cell, sources)]), path)
    return path


@pytest.mark.slow
def test_two_runs_give_the_same_bytes_and_the_still_form(tmp_path):
    path = lecture(tmp_path, PICTURE)
    assert execute(path, progress=False)
    once = path.read_bytes()
    assert not execute(path, progress=False)
    assert path.read_bytes() == once
    (printed, picture) = read(path).cells[1].outputs
    assert printed.text == "interactive: False\n"
    assert picture.data["image/png"].startswith("iVBOR")
    assert read(path).cells[0].source == PARAMETERS.source


def test_a_failing_cell_is_named_and_the_lecture_stays_as_it_was(tmp_path):
    path = lecture(tmp_path, "1 / 0")
    before = path.read_bytes()
    with pytest.raises(WorkFailed, match=r"01_small.ipynb stopped at \[2\] with ZeroDivisionError: division by zero"):
        execute(path, progress=False)
    assert path.read_bytes() == before


def test_a_cell_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(WorkFailed, match="ran longer than 2 seconds"):
        execute(lecture(tmp_path, "import time; time.sleep(60)"), timeout=2, progress=False)


def test_what_ran_before_a_failure_is_kept_where_it_is_asked_for(tmp_path):
    path, so_far = lecture(tmp_path, "print('first')", "1 / 0"), tmp_path / "so-far.ipynb"
    with pytest.raises(WorkFailed):
        run(read(path), {}, name=path.name, progress=False, so_far=so_far)
    assert [output.text for cell in read(so_far).cells for output in cell.get("outputs", []) if "text" in output] == [
        "first\n"
    ]


def test_a_notebook_without_parameters_is_refused(tmp_path):
    path = tmp_path / "plain.ipynb"
    write(new_notebook(cells=[new_code_cell("1")]), path)
    with pytest.raises(InputError, match="has no parameters cell"):
        execute(path)
