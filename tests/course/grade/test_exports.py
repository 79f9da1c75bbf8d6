"""The tables, read back as Excel, Canvas and Moodle read them."""

import csv
import io

import pytest

from gmnm_lib.course.grade.exports import write_grades
from gmnm_lib.course.grade.records import Result, Student, TaskResult

VAE = "04_variational_autoencoder"


def result(
    key="ada",
    name="Ada Lovelace",
    *,
    passed=2,
    exercise=VAE,
    canvas="",
    moodle="",
    sandbox="bubblewrap",
    hint="wrong",
    **more,
):
    """Two tasks of 1 and 2.5 points, of which the first `passed` pass."""
    tasks = [("double", "Task 1. Double", 1.0), ("triple", "Task 2. Triple", 2.5)]
    made = tuple(
        TaskResult(task, title, out_of, out_of, "passed")
        if place < passed
        else TaskResult(task, title, 0.0, out_of, "failed", hint)
        for place, (task, title, out_of) in enumerate(tasks)
    )
    return Result(
        Student(key, name, canvas, moodle), f"{key}.ipynb", exercise, more.pop("tasks", made), sandbox=sandbox, **more
    )


def written(folder, results):
    """{file: rows} as a reader of UTF-8 with a byte-order mark finds them."""
    write_grades(results, folder)
    names = ("grades.csv", "canvas.csv", "moodle.csv")
    return {
        name: list(csv.reader(io.StringIO((folder / name).read_bytes().decode("utf-8-sig"), newline="")))
        for name in names
    }


def test_grades_have_a_row_a_task(tmp_path):
    rows = written(tmp_path, [result(passed=1, hint="wrong values")])["grades.csv"]
    assert rows == [
        ["student", "name", "file", "exercise", "task", "title", "points", "out_of", "status", "hint", "sandbox"],
        ["ada", "Ada Lovelace", "ada.ipynb", VAE, "double", "Task 1. Double", "1", "1", "passed", "", "bubblewrap"],
        ["ada", "Ada Lovelace", "ada.ipynb", VAE, "triple", "Task 2. Triple", "0", "2.5", "failed", "wrong values", "bubblewrap"],
    ]  # fmt: skip


def test_canvas_gets_its_columns_its_points_and_a_row_for_each_number(tmp_path):
    rows = written(
        tmp_path, [result(canvas="12345"), result("bob", "Bob", passed=1, canvas="7"), result("eve", "Eve")]
    )["canvas.csv"]
    assert rows == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", VAE],
        ["    Points Possible", "", "", "", "", "3.5"],
        ["Ada Lovelace", "12345", "", "", "", "3.5"],
        ["Bob", "7", "", "", "", "1"],
    ]


def test_canvas_has_a_column_an_exercise(tmp_path):
    rows = written(tmp_path, [result(canvas="1"), result("bob", canvas="2", exercise="05_other")])["canvas.csv"]
    assert [row[5:] for row in rows] == [[VAE, "05_other"], ["3.5", "3.5"], ["3.5", ""], ["", "3.5"]]


def test_moodle_gets_the_columns_that_its_importer_looks_for(tmp_path):
    """Identifier, grade and the time of the last change must be there, or Moodle refuses the file."""
    rows = written(tmp_path, [result(passed=1, moodle="123456", hint="a < b")])["moodle.csv"]
    assert rows[0] == [
        "Identifier",
        "Full name",
        "Grade",
        "Maximum Grade",
        "Last modified (grade)",
        "Feedback comments",
    ]
    assert rows[1][:5] == ["Participant 123456", "Ada Lovelace", "1", "3.5", "-"]
    assert rows[1][5] == "Task 1. Double: 1 of 1, passed<br>Task 2. Triple: 0 of 2.5, failed. a &lt; b"


def test_a_mark_for_last_weeks_exercise_does_not_enter_this_weeks_worksheet(tmp_path):
    results = [result(moodle="1"), result("bob", moodle="2"), result("eve", moodle="3", exercise="01_easy")]
    assert [row[2] for row in written(tmp_path, results)["moodle.csv"]] == ["Grade", "3.5", "3.5", ""]


@pytest.mark.parametrize(
    "open_case",
    [
        {"trouble": "the grader could not finish"},
        {
            "tasks": (
                TaskResult("double", "Double", 1, 1, "passed"),
                TaskResult("triple", "Triple", 0, 2.5, "for a human", "?"),
            )
        },
    ],
)
def test_what_a_human_must_see_has_no_mark_yet(tmp_path, open_case):
    files = written(tmp_path, [result(canvas="1", moodle="2"), result("eve", canvas="3", moodle="4", **open_case)])
    assert files["canvas.csv"][3][5:] == [""] and files["moodle.csv"][2][2:] == ["", "", "-", ""]
    assert any(row[8] == "for a human" and row[6] == "" for row in files["grades.csv"][3:])


def test_a_submission_without_tasks_has_a_row_with_the_reason(tmp_path):
    lost = Result(Student("eve", "Eve"), "", "", trouble="there is no notebook")
    rows = written(tmp_path, [lost])["grades.csv"]
    assert rows[1] == ["eve", "Eve", "", "", "", "", "", "", "for a human", "there is no notebook", "bubblewrap"]


def test_marks_without_a_sandbox_are_marked_everywhere(tmp_path):
    files = written(tmp_path, [result(canvas="1", moodle="2", sandbox="none")])
    assert files["grades.csv"][1][-1].startswith("none")
    assert files["canvas.csv"][0][5] == f"{VAE} (unsandboxed)"
    assert files["moodle.csv"][1][5].startswith("Provisional: marked without a sandbox.")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "＝"])
def test_no_cell_of_a_student_is_a_formula(tmp_path, start):
    """OWASP's list of characters that begin a formula, and the ways of hiding them."""
    evil = start + 'HYPERLINK("//evil","x")'
    one = result(evil, evil, canvas="1", moodle="2", passed=0, hint=evil, exercise=evil)
    for name, rows in written(tmp_path, [one]).items():
        for cell in (cell for row in rows for cell in row):
            assert not cell.lstrip().startswith(("=", "+", "@", "＝")), (name, cell)
            assert cell == "-" or not cell.lstrip().startswith("-"), (name, cell)


def test_numbers_stay_numbers_and_lines_stay_whole(tmp_path):
    write_grades([result(hint='quote " comma , line\nline', passed=0)], tmp_path)
    text = (tmp_path / "grades.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf") and text.count(b"\r\n") == 3 and text.count(b"\n") == 3
    assert b",0,2.5,failed," in text


def test_a_student_called_points_possible_changes_no_assignment(tmp_path):
    """Canvas takes the row of any student with these words in the name for the assignment's own points."""
    rows = written(tmp_path, [result(name="Points Possible", canvas="7")])["canvas.csv"]
    assert [row[0] for row in rows] == ["Student", "    Points Possible", "Student 7"]


def test_sums_of_tenths_are_written_without_their_last_bits(tmp_path):
    tasks = tuple(TaskResult(f"t{n}", f"T{n}", 0.1, 0.1, "passed") for n in range(3))
    assert written(tmp_path, [result(canvas="1", tasks=tasks)])["canvas.csv"][2][5] == "0.3"


def test_the_same_results_give_the_same_bytes_and_an_empty_class_its_headers(tmp_path):
    results = [result(canvas="1", moodle="2"), result("bob", passed=0)]
    write_grades(results, tmp_path / "a")
    write_grades(results, tmp_path / "b")
    for name in ("grades.csv", "canvas.csv", "moodle.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [len(rows) for rows in written(tmp_path / "c", []).values()] == [1, 2, 1]


def test_a_surrogate_in_a_name_is_written(tmp_path):
    """What `os.listdir` makes of a file name that is no UTF-8."""
    assert written(tmp_path, [result("a\udcff")])["grades.csv"][1][0] == "a\\udcff"
