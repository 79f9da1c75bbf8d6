"""A student's page: what was marked, how it went, and what to try next. It shows nothing of the hidden tests."""

from __future__ import annotations

from gmnm_lib.course.grade.pages import feedback_name, page
from gmnm_lib.course.grade.records import Result

__all__ = ["feedback", "feedback_name"]

FRAMES = 8  # of a traceback: a recursion that never ends has a thousand


def feedback(result: Result) -> str:
    """The page, whole in one file, without a script. What the grader said of itself is for the instructor only."""
    # The trouble of a notebook that has tasks is the grader's own.
    trouble = result.trouble if not result.tasks else ""
    return page("feedback.html.jinja", result=result, student=result.student, trouble=trouble, most=FRAMES)
