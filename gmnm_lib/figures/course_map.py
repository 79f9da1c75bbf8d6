"""The course on one page: every system between the graphical and the neural family, each a link to its lecture."""

import html
from typing import NamedTuple

from IPython.display import HTML

from gmnm_lib.figures.pictures import COLOURS, INK, PAPER, RULE

AXES = ("graph", "p", "q", "objective", "sampler")
GRAPHICAL = (
    "named variables, and edges that say what depends on what",
    "a distribution of the data, normalised or up to a constant",
    "a posterior that is computed",
    "the likelihood, or a bound of it",
    "draws from parents to children, or Gibbs along the edges",
)
NEURAL = (
    "layers of like units",
    "a deep network for a conditional",
    "a recognition network",
    "descended by gradients through the whole network, its draws included",
    "a pass of a network, or a chain of passes",
)


class System(NamedTuple):
    """graphical, neural: on which of the five `AXES`, by place, it has the trait of `GRAPHICAL` and of `NEURAL`; or both."""

    name: str
    lecture: str
    graphical: tuple[int, ...]
    neural: tuple[int, ...]


VARIATIONAL = (0, 1, 3, 4), (1, 2, 3, 4)  # both parents' p, objective and sampler; of q the neural one's
SYSTEMS = (
    System("Bayesian network", "01_graphical_and_neural_models", (0, 1, 2, 3, 4), ()),
    System("Markov random field", "01_graphical_and_neural_models", (0, 1, 2, 3, 4), ()),
    System("perceptron", "01_graphical_and_neural_models", (), (0, 1, 3)),
    System("RBM", "02_models_in_both_families", (0, 1, 2, 3, 4), (0,)),
    System("SBN", "02_models_in_both_families", (0, 1, 3, 4), (0, 2)),
    System("DBN", "02_models_in_both_families", (0, 1, 3, 4), (0, 2)),
    System("DBM", "02_models_in_both_families", (0, 1, 2, 3, 4), (0,)),
    System("mean field", "03_variational_bayes", (0, 1, 2, 3), ()),
    System("VAE", "04_variational_autoencoder", *VARIATIONAL),
    System("RNN", "05_recurrent_latent_variables", (1, 3, 4), (0, 1, 3, 4)),
    System("STORN", "05_recurrent_latent_variables", *VARIATIONAL),
    System("VRNN", "05_recurrent_latent_variables", *VARIATIONAL),
    System("VRAE", "05_recurrent_latent_variables", *VARIATIONAL),
    System("sentence VAE", "06_sentences_and_dialogue", *VARIATIONAL),
    System("VHRED", "06_sentences_and_dialogue", *VARIATIONAL),
    System("DRAW", "07_draw", (1, 3, 4), (0, 1, 2, 3, 4)),
    System("DAE", "08_denoising_autoencoders_and_scores", (), (0, 1, 3)),
    System("contractive AE", "08_denoising_autoencoders_and_scores", (), (0, 3)),
    System("DAE chain", "09_sampling_with_denoisers", (), (0, 1, 3, 4)),
    System("GSN", "10_generative_stochastic_networks", (0,), (0, 1, 3, 4)),
    System("stacked DAE", "10_generative_stochastic_networks", (), (0, 1, 3)),
    System("IWAE", "11_open_questions", *VARIATIONAL),
    System("DLGM", "11_open_questions", *VARIATIONAL),
    System("metre", "11_open_questions", (0, 1, 2, 3, 4), ()),
    System("diffusion", "11_open_questions", (1, 3), (0, 1, 3, 4)),
)

LEFT, BOX = 22.0, 17.0  # per cent of the width: where the graphical end begins, and a box
HEAD, ROW = 30, 40  # pixels


def course_map() -> HTML:
    """A row for each lecture; left the graphical family, right the neural one. Hover a box for its traits, axis by axis.

    Boxes are HTML anchors: JupyterLab opens those in itself, and not the anchors of an SVG.
    """
    lectures = sorted({system.lecture for system in SYSTEMS})
    parts, y = [], HEAD
    for row, lecture in enumerate(lectures):
        systems = sorted((one for one in SYSTEMS if one.lecture == lecture), key=_place)
        lanes: list[float] = []  # the right end of the last box of each lane
        label = html.escape(lecture.replace("_", " "))
        parts.append(_at(0, y + 4, f"width:{LEFT - 1}%;font-size:11px", label))
        for system in systems:
            x = LEFT + _place(system) * (100 - LEFT - BOX)
            lane = next((i for i, end in enumerate(lanes) if end + 0.6 <= x), len(lanes))
            lanes[lane : lane + 1] = [x + BOX]
            parts.append(_box(system, x, y + lane * ROW, COLOURS[row % len(COLOURS)]))
        y += len(lanes) * ROW + 8
        parts.append(_at(0, y - 5, f"width:100%;height:0;border-top:1px solid {RULE}", ""))
    heads = _at(LEFT, 4, "font-weight:bold", "graphical") + _at(
        90, 4, "width:10%;text-align:right;font-weight:bold", "neural"
    )
    return HTML(
        f'<div style="position:relative;height:{y}px;min-width:720px;background:{PAPER};color:{INK};font:13px sans-serif">'
        f"{heads}{''.join(parts)}</div>"
    )


def _place(system: System) -> float:
    """0 all graphical, 1 all neural: its neural traits among all that it has."""
    return len(system.neural) / (len(system.neural) + len(system.graphical))


def _at(x: float, y: float, style: str, inside: str) -> str:
    return f'<div style="position:absolute;left:{x:.1f}%;top:{y:.0f}px;{style}">{inside}</div>'


def _box(system: System, x: float, y: float, colour: str) -> str:
    """The name, and under it a mark for each axis: its left half full where graphical, its right half where neural."""
    traits = [
        f"{axis}: {' / '.join(found) or 'none'}"
        for i, axis in enumerate(AXES)
        for found in [[of[i] for of, has in ((GRAPHICAL, system.graphical), (NEURAL, system.neural)) if i in has]]
    ]
    halves = "".join(
        f'<span style="display:inline-block;width:7px;height:6px;border:1px solid {colour};margin-{side}:{gap}px;'
        f'background-color:{colour if i in has else PAPER}"></span>'
        for i in range(len(AXES))
        for side, gap, has in (("right", 0, system.graphical), ("right", 5, system.neural))
    )
    return (
        f'<a href="{system.lecture}.ipynb" title="{html.escape(chr(10).join([system.name, *traits]))}" style="position:absolute;'
        f"left:{x:.1f}%;top:{y}px;width:{BOX}%;height:{ROW - 6}px;box-sizing:border-box;border:2px solid {colour};"
        f"border-radius:5px;background-color:{PAPER};color:{INK};text-align:center;text-decoration:none;font-size:11px;"
        f'line-height:16px"><b style="font-weight:normal;white-space:nowrap">{html.escape(system.name)}</b><br/>{halves}</a>'
    )
