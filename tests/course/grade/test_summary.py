"""The instructor's page: counts that are right, mistakes that fall together, and nothing that a student could plant."""

import random
import re

import pytest

from gmnm_lib.course.grade.feedback import feedback_name
from gmnm_lib.course.grade.records import STATUSES, Result, Student, TaskResult
from gmnm_lib.course.grade.summary import mistakes, normal, summary

from .test_feedback import EVIL, Page

VAE = "04_variational_autoencoder"


def student(n):
    return Student(f"s{n:03}", f"Student {n}")


def result(n, *statuses, hint="", **more):
    """A task a status, of two points each."""
    tasks = tuple(
        TaskResult(
            f"t{place}",
            f"Task {place}",
            2.0 if status == "passed" else 0.0,
            2.0,
            status,
            hint if status != "passed" else "",
        )
        for place, status in enumerate(statuses, 1)
    )
    return Result(student(n), "a.ipynb", more.pop("exercise", VAE), tasks, seconds=more.pop("seconds", 5.0), **more)


def a_class(size, seed=0):
    draw = random.Random(seed)
    hints = ["expected {}, found {}: the mean is missing", "the slope is {}"]
    made = []
    for n in range(size):
        hint = draw.choice(hints).format(draw.random(), draw.random())
        made.append(result(n, *draw.choices(STATUSES, (9, 4, 1, 1, 1, 0.2), k=6), hint=hint, seconds=n / 7))
    return made


def test_the_page_counts_the_class():
    lost = Result(student(9), "", "", trouble="there is no notebook")
    page = Page(
        summary(
            [result(1, "passed", "failed"), result(2, "passed", "passed"), result(3, "failed", "for a human"), lost]
        )
    )
    assert "handed in 4 marked 2 for a human 2 median points 3 of 4" in page.words
    assert "Student 9 There is no notebook." in page.words


def test_each_task_shows_how_many_passed_and_the_hardest_come_first():
    class_ = [result(n, "passed", "failed" if n else "passed", "failed" if n < 2 else "passed") for n in range(4)]
    words = Page(summary(class_)).words
    for told in ("4 of 4 passed", "1 of 4 passed", "2 of 4 passed"):
        assert told in words
    assert "Hardest checks: Task 2 (1 of 4 passed), Task 3 (2 of 4 passed)." in words


@pytest.mark.parametrize(
    "hints",
    [
        ("expected 1.234, found 0.5", "expected -7, found 1e-05"),
        ("found nan at (3, 4)", "found -inf at (5, 6, 7)"),
        ("tensor([0.1, 0.2])", "tensor([-3.0, 4.0, 5.0])"),
        ("<f at 0x7f0012ab>", "<f at 0xdeadbeef>"),
        ("expected .5", "expected 1_000"),
    ],
)
def test_hints_that_differ_in_numbers_are_one_mistake(hints):
    assert normal(hints[0]) == normal(hints[1])


@pytest.mark.parametrize(
    "hints", [("z1 is wrong", "z2 is wrong"), ("float32", "float64"), ("a", "b"), ("information", "in…ation")]
)
def test_hints_that_differ_in_words_are_two(hints):
    assert normal(hints[0]) != normal(hints[1])


def test_mistakes_are_counted_by_task_and_hint():
    class_ = [result(n, "failed", hint=f"expected {n}, found 0") for n in range(5)] + [
        result(9, "failed", "timed out", hint="slow")
    ]
    found = [(one.task, one.status, one.hint, [each.key for each in one.students]) for one in mistakes(class_)]
    assert found == [
        ("Task 1", "failed", "expected …, found …", ["s000", "s001", "s002", "s003", "s004"]),
        ("Task 1", "failed", "slow", ["s009"]),
        ("Task 2", "timed out", "slow", ["s009"]),
    ]


def test_what_passed_or_was_not_attempted_is_no_mistake():
    assert mistakes([result(1, "passed", "not attempted", "for a human", hint="x")]) == []


def test_each_student_has_a_link_to_their_page():
    links = {values["href"] for tag, values in Page(summary(a_class(100))).elements if tag == "a"}
    assert links == {f"feedback/{feedback_name(student(n))}" for n in range(100)}


def test_marks_without_a_sandbox_are_warned_of():
    words = Page(summary([result(1, "passed", sandbox="none"), result(2, "passed")])).words
    assert "Do not trust these marks" in words and "1 of 2 was marked without a sandbox" in words
    assert "Do not trust" not in Page(summary([result(1, "passed")])).words


def test_two_exercises_are_two_parts():
    words = Page(summary([result(1, "passed"), result(2, "failed", "passed", exercise="05_other")])).words
    assert (
        "04 Variational autoencoder 1 handed in, median 2 of 2" in words
        and "05 Other 1 handed in, median 2 of 4" in words
    )


@pytest.mark.parametrize("size", [0, 1, 2, 100])
def test_a_class_of_any_size_has_a_page_and_the_same_class_the_same_bytes(size):
    html = summary(a_class(size))
    assert html == summary(a_class(size)) and html.rstrip().endswith("</html>")
    assert html.count("<tr>") == (size + 1 if size else 0)
    assert len(html) < 400_000


def test_the_order_of_the_results_does_not_matter():
    class_ = a_class(20)
    assert summary(class_) == summary(class_[::-1])


def test_the_histogram_has_a_bar_as_high_as_its_bin():
    """Three students with 0 points and one with 2 of 2: heights 3 : 0 : 1."""
    html = summary([result(n, "failed", hint="x") for n in range(3)] + [result(4, "passed")])
    bars = re.findall(r'<path d="M ([\d. LzM\n]+)" clip-path="[^"]*" style="fill: var\(--passed\)', html)[:3]
    heights = []
    for bar in bars:
        ys = [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", bar)]
        heights.append(max(ys) - min(ys))
    assert heights[0] == pytest.approx(3 * heights[2], rel=1e-3) and heights[1] == pytest.approx(0) and heights[2] > 10


def test_the_pictures_take_the_pages_colours_and_hold_no_time():
    html = summary(a_class(10))
    pictures = "".join(re.findall(r"<svg role.*?</svg>", html, re.DOTALL))
    assert pictures.count("<svg") == 2 and "var(--failed)" in pictures
    assert not re.search(r"#[0-9a-fA-F]{6}\b(?!\")", re.sub(r'(?:xlink:)?href="#[^"]*"|url\(#[^)]*\)', "", pictures))
    assert "<metadata" not in html and "dc:date" not in html


def test_nothing_that_a_student_wrote_becomes_markup():
    def made(text):
        tasks = (TaskResult("t", text, 0.0, 1.0, "failed", text), TaskResult("u", text, 0.0, 1.0, "for a human", text))
        return Page(
            summary([Result(Student("k", text), text, VAE, tasks), Result(Student("l", text), text, "", trouble=text)])
        )

    plain, evil = made("a `plain` hint"), made(EVIL)
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in plain.elements]
    assert not {"script", "img"} & {tag for tag, _ in evil.elements}
    assert not any(name.startswith("on") for _, values in evil.elements for name in values)


def test_nothing_is_asked_of_a_network():
    page = Page(summary(a_class(5)))
    for _, values in page.elements:
        assert not {"src", "onload"} & set(values)
        assert values.get("href", "feedback/").startswith(("feedback/", "#"))
    assert any("default-src 'none'" in values.get("content", "") for _, values in page.elements)
