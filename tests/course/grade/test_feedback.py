"""The student's page, read as a browser reads it."""

import re
from html.parser import HTMLParser

import pytest

from gmnm_lib.course.grade.feedback import feedback, feedback_name
from gmnm_lib.course.grade.pages import MEANINGS, sentence
from gmnm_lib.course.grade.records import STATUSES, Frame, Result, Student, TaskResult

EVIL = (
    "</p></pre></title></style><script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover='x' "
    "{{ 7 * 7 }} `<b>` \u202e\u2066\x00\x1b[31m"
)


class Page(HTMLParser):
    """Elements with their attributes, and the text outside of style."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.inside = [], "", ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.text += " " * (tag in ("div", "dd", "dt", "p", "pre", "h1", "h2", "li", "td", "th"))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside != "style":
            self.text += data

    @property
    def words(self):
        return " ".join(self.text.split())


def task(status="passed", title="Task 1. Double", hint="", frames=(), out_of=2.0):
    return TaskResult("double", title, out_of if status == "passed" else 0.0, out_of, status, hint, frames)


def result(*tasks, name="Ada Lovelace", **more):
    return Result(
        Student("ada", name), "class/ada.ipynb", more.pop("exercise", "04_variational_autoencoder"), tasks, **more
    )


def test_the_page_tells_exercise_points_tasks_and_hints():
    page = Page(
        feedback(
            result(task(), task("failed", "Task 2. Triple", "right shape, wrong values (expected 4.0, found 2.0)"))
        )
    )
    assert "04 Variational autoencoder" in page.words and "Ada Lovelace" in page.words
    assert "2 of 4 points" in page.words
    assert "Task 2. Triple failed 0 of 2 Right shape, wrong values (expected 4.0, found 2.0)." in page.words


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_named_and_explained(status):
    words = Page(feedback(result(task(status)))).words
    assert status in words and MEANINGS[status] in words
    assert bool(MEANINGS[status]) == (status not in ("passed", "failed"))


def test_the_traceback_is_of_the_students_cells():
    frames = (Frame(4, 2, "    z = mean + sigma"), Frame(6, 11, "return z / 0"))
    words = Page(feedback(result(task("failed", frames=frames)))).words
    assert "code cell 4, line 2 z = mean + sigma code cell 6, line 11 return z / 0" in words


def test_a_recursion_shows_its_first_lines_only():
    page = Page(feedback(result(task("failed", frames=(Frame(1, 1, "f()"),) * 1000))))
    assert page.words.count("code cell 1, line 1") == 8 and "and 992 more lines" in page.words


def test_nothing_that_a_student_wrote_becomes_markup():
    """The same elements, whatever the text: only the text differs."""

    def made(text):
        hostile = task("failed", text, text, (Frame(1, 1, text),))
        return Page(feedback(Result(Student(text, text), text, text, (hostile,), (text,), sandbox="none")))

    plain, evil = made("a `plain` hint"), made(EVIL)
    assert evil.elements == plain.elements
    assert "<script>alert(1)</script>" in evil.text and "{{ 7 * 7 }}" in evil.text
    lost = Page(feedback(Result(Student(EVIL, EVIL), EVIL, "", trouble=EVIL)))
    assert not {"script", "img"} & {tag for tag, _ in lost.elements}


def test_nothing_hides_or_reorders_the_text():
    html = feedback(result(task("failed", EVIL, EVIL, (Frame(1, 1, EVIL),)), name=EVIL, notes=(EVIL,)))
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]", html)
    assert "\\u202e" in html and "\\x1b[31m" in html


def test_a_hundred_kilobytes_are_cut():
    long = "x" * 100_000
    empty = len(feedback(result(task("failed", "", "", (Frame(1, 1, ""),)), notes=("",))))
    full = len(feedback(result(task("failed", long, long, (Frame(1, 1, long),)), notes=(long,) * 100, name=long)))
    assert full - empty < 30_000


def test_the_page_runs_nothing_and_asks_for_nothing():
    page = Page(feedback(result(task())))
    policy = next(values["content"] for tag, values in page.elements if values.get("http-equiv"))
    assert (
        policy.startswith("default-src 'none'; style-src 'unsafe-inline'; font-src data:;") and "script" not in policy
    )
    assert not {"script", "link", "iframe", "img", "form"} & {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") or name in ("src", "href") for _, values in page.elements for name in values)


def test_what_the_grader_says_of_itself_is_not_for_students():
    failed = result(
        task("for a human", hint="the check itself stopped (KeyError: hidden_oracle)"), trouble="could not: secret"
    )
    words = Page(feedback(failed)).words
    assert "hidden_oracle" not in words and "secret" not in words and "A person will look at it" in words


def test_a_submission_that_cannot_be_read_says_why():
    lost = Result(Student("ada", "Ada"), "", "", trouble="there is no notebook: hand in the .ipynb file")
    words = Page(feedback(lost)).words
    assert "There is no notebook: hand in the .ipynb file." in words and "points" not in words


def test_provisional_marks_say_so_and_notes_are_told():
    words = Page(feedback(result(task(), sandbox="none", notes=("the cell setup was missing: it was put back",)))).words
    assert "provisional" in words and "The cell setup was missing: it was put back." in words
    assert "provisional" not in Page(feedback(result(task()))).words


def test_the_same_result_gives_the_same_page():
    assert feedback(result(task("failed", hint="x"))) == feedback(result(task("failed", hint="x")))


@pytest.mark.parametrize(
    "hint, said",
    [("the loss is `-bound`", "The loss is <code>-bound</code>."), ("expected (8,)", "Expected (8,)."),
     ("log_variance is nan", "log_variance is nan."), ("why?", "why?"), ("`<b>`", "<code>&lt;b&gt;</code>.")],
)  # fmt: skip
def test_a_hint_reads_as_a_sentence(hint, said):
    assert sentence(hint) == said


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "C:\\con", "", ".", "a/b", "<b>", "x" * 500, "\x00", "\udcff", "陳省身", "-rf", " "]
)
def test_the_files_name_is_a_plain_one(key):
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,70}\.html", feedback_name(Student(key, "")))


def test_the_files_name_is_read_as_the_students():
    assert feedback_name(Student("Émilie du Châtelet_12", "")).startswith("emilie-du-chatelet-12-")


def test_the_files_names_differ_even_without_capitals_and_accents():
    keys = ["Ada", "ada", "áda", "ada ", "a-da", "a_da", "陳", "省", "x" * 100, "x" * 101]
    assert len({feedback_name(Student(key, "")) for key in keys}) == len(keys)
