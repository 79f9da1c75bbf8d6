"""Graphical models as the lectures draw them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gmnm_lib.errors import InputError
from gmnm_lib.figures.pictures import INK, Drawing


@dataclass(frozen=True)
class Graph:
    """A graphical model as it is drawn: nodes on a grid of columns and rows (row 0 at the bottom), arrows, plates.

    nodes: {name: (column, row)}; a name is drawn as mathematics (`z`, `x_t`, `theta`) unless `labels` says otherwise.
    observed: shaded nodes. fixed: parameters, drawn as dots. dashed: arrows of an inference model. directed: False draws lines.
    plates: {label: names inside}.
    """

    nodes: Mapping[str, tuple[float, float]]
    edges: Sequence[tuple[str, str]]
    title: str = ""
    observed: Sequence[str] = ()
    fixed: Sequence[str] = ()
    plates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    dashed: bool = False
    directed: bool = True

    def __post_init__(self) -> None:
        named = {*self.observed, *self.fixed, *self.labels, *(name for edge in self.edges for name in edge)}
        named |= {name for inside in self.plates.values() for name in inside}
        for name in sorted(named - set(self.nodes)):
            raise InputError(f"the graph speaks of {name!r}, which is not one of its nodes {', '.join(self.nodes)}")


VAE_GRAPHS = (
    Graph(
        nodes={"theta": (1.2, 1), "z": (0, 1), "x": (0, 0)},
        edges=[("z", "x"), ("theta", "x")],
        title=r"$p_\theta(x, z) = p(z)\, p_\theta(x|z)$",
        observed=["x"],
        fixed=["theta"],
        plates={"$N$": ["z", "x"]},
    ),
    Graph(
        nodes={"phi": (1.2, 0), "z": (0, 1), "x": (0, 0)},
        edges=[("x", "z"), ("phi", "z")],
        title=r"$q_\phi(z|x)$",
        observed=["x"],
        fixed=["phi"],
        plates={"$N$": ["z", "x"]},
        dashed=True,
    ),
)


def graphical_model(*graphs: Graph) -> Drawing:
    """Graphs side by side, drawn by daft: circles for variables, shaded when observed, dots for parameters."""
    from daft import PGM  # imports pyplot, 0.4 s that only this picture needs

    lefts = [0.0]
    for graph in graphs:
        lefts.append(lefts[-1] + _extent(graph)[0] + 2.1)
    shape = (lefts[-1] - 0.7, max(_extent(graph)[1] for graph in graphs) + 1.9)
    pgm = PGM(shape=shape, origin=(-0.7, -0.7), node_unit=0.9, node_ec=INK, line_width=1.2)
    for index, (graph, left) in enumerate(zip(graphs, lefts, strict=False)):
        _add(pgm, graph, f"{index}.", left)

    figure = Drawing(
        *pgm._ctx.figsize, alt="graphical models: " + " and ".join(graph.title for graph in graphs), layout=None
    )
    pgm._ctx.figure = lambda: figure  # daft would make one by pyplot, which notebooks show a second time
    pgm.render(dpi=figure.dpi)
    return figure


def _add(pgm: Any, graph: Graph, prefix: str, left: float) -> None:
    shift = np.array([left, 0]) - np.min(list(graph.nodes.values()), axis=0)
    for name, place in graph.nodes.items():
        kind: dict[str, Any] = {"observed": name in graph.observed, "fontsize": 15}
        if "$" not in graph.labels.get(name, "$"):  # a word needs room
            kind |= {"fontsize": 9, "scale": 1.35}
        elif len(name.partition("_")[2].strip("{}")) > 2:  # so does t-1
            kind |= {"fontsize": 11, "scale": 1.2}
        if name in graph.fixed:
            kind = {"fixed": True, "offset": (0, 3), "fontsize": 15, "plot_params": {"facecolor": INK}}
        pgm.add_node(prefix + name, graph.labels.get(name, f"${_mathematics(name)}$"), *(place + shift), **kind)
    for start, end in graph.edges:
        arrow: dict[str, Any] = {"head_length": 0.22, "head_width": 0.2, "edgecolor": INK, "facecolor": INK}
        if graph.dashed:
            arrow["linestyle"] = (0, (3, 2))
        pgm.add_edge(prefix + start, prefix + end, directed=graph.directed, plot_params=arrow if graph.directed else {})
    for label, inside in graph.plates.items():
        places = [graph.nodes[name] for name in inside]
        low, high = np.min(places, axis=0) - 0.45, np.max(places, axis=0) + 0.45
        pgm.add_plate([*(low + shift), *(high - low)], label=label, position="bottom right", fontsize=11)
    pgm.add_text(left - 0.5, _extent(graph)[1] + 0.7, graph.title, fontsize=13)


def _extent(graph: Graph) -> np.ndarray:
    return np.ptp(np.array(list(graph.nodes.values()), float), axis=0)


def _mathematics(name: str) -> str:
    greek = {
        "theta",
        "phi",
        "epsilon",
        "sigma",
        "mu",
        "lambda",
        "alpha",
        "beta",
        "gamma",
        "psi",
        "pi",
        "eta",
        "rho",
        "tau",
    }
    head, _, tail = name.partition("_")
    head = "\\" + head if head in greek else head
    return f"{head}_{{{tail}}}" if tail else head
