"""The class summary's two plots, as SVG that takes the page's colours, by day and by night."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gmnm_lib.course.grade.legible import legible_line
from gmnm_lib.course.grade.records import STATUSES, Status, TaskResult
from gmnm_lib.figures import COLOURS

# The picture is drawn with colours that mean nothing; the page's style gives these names their colours.
ROLES = {"#010101": "var(--ink)", "#020202": "var(--rule)", "#030303": "var(--soft)", "#040404": "var(--paper)"}
INK, RULE, SOFT, PAPER = ROLES
OF_STATUS: dict[Status, str] = {
    "passed": COLOURS[0],
    "failed": COLOURS[2],
    "timed out": COLOURS[6],
    "killed": COLOURS[4],
    "not attempted": COLOURS[3],
    "for a human": COLOURS[1],
}
ROLES |= {colour.lower(): f"var(--{status.replace(' ', '-')})" for status, colour in OF_STATUS.items()}


def score_distribution(points: Sequence[float], out_of: float) -> str:
    """A histogram of the students' points: a bin a point where there are few, else twenty bins."""
    figure = Figure(figsize=(7.2, 2.5), layout="constrained")
    axes = _plain(figure.subplots())
    fine = out_of <= 25 and all(float(each).is_integer() for each in points)
    edges = np.arange(-0.5, out_of + 1) if fine else np.linspace(0, out_of, 21)
    counts, _ = np.histogram(points, edges)
    width = (edges[1] - edges[0]) * 0.86
    axes.bar((edges[:-1] + edges[1:]) / 2, counts, width, color=OF_STATUS["passed"])
    median = float(np.median(points))
    axes.axvline(median, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    left = median > 0.75 * out_of
    axes.annotate(
        f"median {median:g}",
        (median, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if left else 6, -2),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        color=INK,
        fontsize=9,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 2},
    )
    axes.set_xlim(edges[0] - 0.02 * out_of, edges[-1] + 0.02 * out_of)
    axes.set_ylim(0, max(counts.max() * 1.18, 1))
    axes.set_xlabel("points", color=SOFT, fontsize=9)
    axes.set_ylabel("students", color=SOFT, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(min(int(out_of) or 1, 13), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return _svg(figure, f"Histogram of points out of {out_of:g}, {len(points)} students, median {median:g}", "scores")


def task_outcomes(tasks: Sequence[Sequence[TaskResult]]) -> str:
    """A bar a task in the exercise's order, as long as the class, in parts by status. tasks: each task's results."""
    figure = Figure(figsize=(7.2, 0.62 + 0.5 * len(tasks)), layout="constrained")
    axes = _plain(figure.subplots())
    axes.grid(visible=False)
    for place, results in enumerate(tasks):
        counts, start = Counter(result.status for result in results), 0.0
        for status in STATUSES:
            share = counts[status] / len(results)
            axes.barh(place, share, 0.42, left=start, color=OF_STATUS[status], edgecolor=PAPER, linewidth=0.8)
            start += share
        title = legible_line(results[0].title, 70)
        axes.text(0, place - 0.29, title, color=INK, fontsize=9, va="bottom", parse_math=False)
        passed = f"{counts['passed']} of {len(results)} passed"
        axes.text(1, place - 0.29, passed, color=SOFT, fontsize=9, ha="right", va="bottom")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(tasks) - 0.7, -0.7)
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    told = "; ".join(f"{each[0].title}: {sum(one.status == 'passed' for one in each)} of {len(each)}" for each in tasks)
    return _svg(figure, f"Share of the class by outcome, a bar a task. Passed: {told}", "tasks")


def _plain(axes: Axes) -> Axes:
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(color=RULE, labelcolor=SOFT, labelsize=8.5, length=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def _svg(figure: Figure, alt: str, salt: str) -> str:
    """SVG for the inside of a page; the same figure gives the same text."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    drawn = re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    drawn = re.sub(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick|legend)_\d+"', "", drawn)
    for colour, role in ROLES.items():
        drawn = drawn.replace(colour, role)
    drawn = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", drawn)  # the page's own typeface
    picture = drawn[drawn.index("<svg") :]
    width, height = (float(each) * 4 / 3 for each in figure.get_size_inches() * 72)
    begin = f'<svg role="img" viewBox="0 0 {figure.get_figwidth() * 72:g} {figure.get_figheight() * 72:g}"'
    begin += f' style="aspect-ratio: {width:g} / {height:g}"><title>{_escaped(alt)}</title>'
    return begin + picture[picture.index(">") + 1 :]


def _escaped(text: str) -> str:
    from html import escape

    return escape(legible_line(text, 1_000))
