"""Curves and planes by matplotlib's objects."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import COLOURS, INK, PAPER, RULE, Array, Drawing, numbers
from gmnm_lib.trainer import Report

BINS = 150  # points of a curve, at the most
TERM_NAMES = {"total": "loss", "reconstruction": "distortion (reconstruction)", "kl": "rate (KL)"}


def curves(history: Sequence[Report], terms: Iterable[str] | None = None, *, figure: Drawing | None = None) -> Drawing:
    """The total and each term against the step, in nats an example: one small panel a curve, as their scales differ.

    The number in each is that of the last report; the curve shows means of several where there are many.
    terms: those of the last report unless given, none before the first. `figure`: an earlier answer with the same terms,
    redrawn in place (3 x faster).
    """
    if terms is None:
        terms = history[-1].terms if history else ()
    names = ["total", *terms]
    if figure is None or [axes.get_gid() for axes in figure.axes] != names:
        figure = _empty_curves(names)
    for axes, name in zip(figure.axes, names, strict=True):
        reported = [report.total if name == "total" else report.terms[name] for report in history]
        steps, values = _binned(history, reported)
        axes.lines[0].set_data(steps, values)
        axes.set_xlim(0, steps[-1] if len(steps) else 1)
        axes.set_ylim(*_span(values))
        axes.texts[0].set_text(f"{reported[-1]:.1f}" if reported else "")
    return figure


def latent_plane(z: Array, labels: Array | None = None, *, title: str = "") -> Drawing:
    """Points of a two-dimensional latent space, coloured by label, each label's name at its median.

    z: (n, 2). labels: (n,) whole numbers, or None for one colour.
    """
    points = numbers(z)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"latent_plane draws points (n, 2), but z has shape {points.shape}: choose two of its columns")
    classes = np.zeros(len(points), int) if labels is None else numbers(labels).astype(int)
    if len(classes) != len(points):
        raise InputError(f"latent_plane got {len(points)} points and {len(classes)} labels: give each point its label")
    figure = Drawing(5.4, 5.4, alt=title or "points of a latent plane, coloured by label")
    axes = _plain(figure.subplots())
    for label in np.unique(classes):
        of_label, colour = points[classes == label], COLOURS[label % len(COLOURS)]
        axes.plot(*of_label.T, "o", markersize=2.5, markeredgewidth=0, alpha=0.6, color=colour)
    for label in np.unique(classes) if labels is not None else ():
        x, y = np.median(points[classes == label], axis=0)
        badge = {
            "boxstyle": "circle,pad=0.25",
            "facecolor": PAPER,
            "edgecolor": COLOURS[label % len(COLOURS)],
            "linewidth": 1.5,
        }
        axes.text(x, y, str(label), ha="center", va="center", color=INK, fontweight="bold", bbox=badge)
    axes.set(xlabel="$z_1$", ylabel="$z_2$", title=title, aspect="equal")
    return figure


def lines(
    series: Mapping[str, tuple[Array, Array]],
    *,
    labels: tuple[str, str],
    title: str = "",
    levels: Mapping[str, float] | None = None,
    markers: bool = False,
    log_x: bool = False,
    limits: tuple[float, float] | None = None,
    size: tuple[float, float] = (6.4, 3.2),
) -> Drawing:
    """Named curves over one pair of axes, each named where it ends or in a legend.

    series: {name: (x, y)}. labels: of the two axes. levels: {name: y}, rules across the picture. limits: of y. size: in inches.
    """
    figure = Drawing(*size, alt=title or f"{labels[1]} against {labels[0]}: " + ", ".join(series))
    axes = _plain(figure.subplots())
    for (name, (x, y)), colour in zip(series.items(), COLOURS * (1 + len(series) // len(COLOURS)), strict=False):
        axes.plot(numbers(x), numbers(y), color=colour, linewidth=1.6, marker="o" if markers else "", label=name)
    for (name, level), style in zip((levels or {}).items(), ("--", ":", "-.") * (1 + len(levels or {})), strict=False):
        axes.axhline(level, color=INK, linewidth=1, linestyle=style, label=name)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    if log_x:
        axes.set_xscale("log")
    if limits:
        axes.set_ylim(*limits)
    if len(series) + len(levels or {}) > 1:
        axes.legend(fontsize=8, frameon=False)
    return figure


def _plain(axes: Axes) -> Axes:
    """Axes with two thin rules and a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(color=RULE, labelcolor=INK, labelsize=8)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _empty_curves(names: Sequence[str]) -> Drawing:
    """Margins and labels have fixed places: to lay them out at each redrawing would take longer than the curves."""
    width = 2.6 * len(names)
    figure = Drawing(width, 1.9, alt="training curves: " + ", ".join(names), layout=None)
    figure.subplots_adjust(left=0.45 / width, right=1 - 0.1 / width, bottom=0.22, top=0.88, wspace=0.22)
    colours = (INK, *COLOURS * 2)
    for axes, name, colour in zip(figure.subplots(1, len(names), squeeze=False)[0], names, colours, strict=False):
        _plain(axes).set_gid(name)
        axes.plot([], [], color=colour, linewidth=1.4)
        axes.set_title(TERM_NAMES.get(name, name), fontsize=9, color=INK, loc="left", y=1.02)
        place = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        on_paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1}  # a rising curve passes behind it
        axes.text(0.97, 0.92, "", color=colour, fontsize=10, fontweight="bold", bbox=on_paper, **place)
        axes.text(1.0, -0.17, "step", color=INK, fontsize=8, **place)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    return figure


def _binned(history: Sequence[Report], values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Means over at most `BINS` equal stretches of steps: a report may stand for one step or for fifty, and both look alike."""
    if not history:
        return np.array([]), np.array([])
    steps = np.array([report.step for report in history])
    taken = np.diff(steps, prepend=0)
    width = max(1, -(-steps[-1] // BINS))
    stretch = (steps - 1) // width
    weights = np.bincount(stretch, taken)
    filled = weights > 0
    ends = np.minimum((np.flatnonzero(filled) + 1) * width, steps[-1])
    return ends, np.bincount(stretch, taken * np.array(values))[filled] / weights[filled]


def _span(values: np.ndarray) -> tuple[float, float]:
    """Limits that show the descent's end: the first steps' heights may leave the picture."""
    if not len(values):
        return 0.0, 1.0
    seen = values[len(values) // 10 :]
    low, high = float(seen.min()), float(seen.max())
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin
