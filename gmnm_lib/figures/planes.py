"""Pictures of the plane: heights, arrows, paths and points over one pair of axes."""

from collections.abc import Mapping

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import COLOURS, INK, Array, Drawing, numbers


def plane(
    extent: float | tuple[float, float, float, float],
    *,
    heights: Array | None = None,
    arrows: tuple[Array, Array] | None = None,
    points: Mapping[str, Array] | None = None,
    paths: Mapping[str, Array] | None = None,
    title: str = "",
    size: float = 3.6,
) -> Drawing:
    """A square of the plane, without axes.

    extent: half the side of a square about the origin, or (left, right, bottom, top). heights: (rows, columns), bottom row
    first, dark where high. arrows: where (n, 2) and how far (n, 2), drawn to one scale. points: {name: (n, 2)}. paths: {name:
    (steps, 2) or (paths, steps, 2)}. Names that begin with "_" stay out of the legend.
    """
    left, right, bottom, top = extent if isinstance(extent, tuple) else (-extent, extent, -extent, extent)
    if not (left < right and bottom < top):
        raise InputError(f"extent is {extent}: give (left, right, bottom, top) that rise")
    figure = Drawing(
        size, size * (top - bottom) / (right - left) + 0.3 * bool(title), alt=title or "a square of the plane"
    )
    axes = figure.add_subplot(xticks=[], yticks=[], xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    if heights is not None:
        axes.imshow(
            numbers(heights), origin="lower", extent=(left, right, bottom, top), cmap="Greys", interpolation="bilinear"
        )
    for (name, cloud), colour in zip((points or {}).items(), COLOURS * 3, strict=False):
        axes.plot(*numbers(cloud).T, "o", markersize=2, markeredgewidth=0, alpha=0.7, color=colour, label=name)
    for (name, walk), colour in zip((paths or {}).items(), (COLOURS * 3)[len(points or {}) :], strict=False):
        walks = numbers(walk)
        for one, label in zip(walks if walks.ndim == 3 else walks[None], [name, *["_"] * 10_000], strict=False):
            axes.plot(*one.T, linewidth=0.9, color=colour, label=label)
    if arrows is not None:
        (x, y), (u, v) = numbers(arrows[0]).T, numbers(arrows[1]).T
        axes.quiver(x, y, u, v, color=INK, angles="xy", width=0.004, alpha=0.85)
    if any(not name.startswith("_") for name in (*(points or {}), *(paths or {}))):
        axes.legend(fontsize=7, frameon=False, loc="upper right", markerscale=2)
    return figure
