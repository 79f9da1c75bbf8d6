"""The course on one page: every system between the graphical and the neural family, each a link to its lecture."""

import html
from typing import NamedTuple

from IPython.display import HTML

from gmnm_lib.figures.pictures import COLOURS, INK, PAPER, RULE

GRAPHICAL = (
    "a graph with named variables",
    "a normalised p(x), or one up to a constant",
    "a posterior that is computed, not learned",
    "likelihood, or a bound of it, as its objective",
)
NEURAL = (
    "a deep network for a conditional",
    "a recognition network",
    "gradients through its draws, or none needed",
    "no partition function, and no chain to learn from",
)


class System(NamedTuple):
    """graphical, neural: which of the four traits each it has, by their places in `GRAPHICAL` and `NEURAL`."""

    name: str
    lecture: str
    graphical: tuple[int, ...]
    neural: tuple[int, ...]


SYSTEMS = (
    System("Bayesian network", "01_graphical_and_neural_models", (0, 1, 2, 3), (3,)),
    System("Markov random field", "01_graphical_and_neural_models", (0, 1, 2, 3), ()),
    System("perceptron", "01_graphical_and_neural_models", (), (0, 2, 3)),
    System("RBM", "02_models_in_both_families", (0, 1, 2, 3), (2,)),
    System("SBN", "02_models_in_both_families", (0, 1, 3), (1, 3)),
    System("DBN", "02_models_in_both_families", (0, 1, 3), (0, 1)),
    System("DBM", "02_models_in_both_families", (0, 1, 2, 3), (0,)),
    System("mean field", "03_variational_bayes", (0, 1, 2, 3), (3,)),
    System("VAE", "04_variational_autoencoder", (0, 1, 3), (0, 1, 2, 3)),
    System("STORN", "05_recurrent_latent_variables", (0, 1, 3), (0, 1, 2, 3)),
    System("VRNN", "05_recurrent_latent_variables", (0, 1, 3), (0, 1, 2, 3)),
    System("VRAE", "05_recurrent_latent_variables", (0, 1, 3), (0, 1, 2, 3)),
    System("sentence VAE", "06_sentences_and_dialogue", (0, 1, 3), (0, 1, 2, 3)),
    System("VHRED", "06_sentences_and_dialogue", (0, 1, 3), (0, 1, 2, 3)),
    System("DRAW", "07_draw", (1, 3), (0, 1, 2, 3)),
    System("DAE", "08_denoising_autoencoders_and_scores", (), (0, 2, 3)),
    System("DAE chain", "09_sampling_with_denoisers", (2,), (0, 2, 3)),
    System("GSN", "10_generative_stochastic_networks", (0,), (0, 2, 3)),
    System("DLGM", "11_open_questions", (0, 1, 3), (0, 1, 2, 3)),
    System("diffusion", "11_open_questions", (1, 3), (0, 2, 3)),
)

WIDTH, ROW, BOX = 900, 30, 128


def course_map() -> HTML:
    """An SVG with a row for each lecture; left the graphical family, right the neural one. Hover a box for its traits."""
    lectures = sorted({system.lecture for system in SYSTEMS})
    parts, y = [], 46
    for row, lecture in enumerate(lectures):
        number, title = lecture.split("_", 1)
        systems = sorted((one for one in SYSTEMS if one.lecture == lecture), key=_place)
        lanes: list[float] = []  # the right end of the last box of each lane
        top = y
        for system in systems:
            x = 190 + _place(system) * (WIDTH - 190 - BOX)
            lane = next((i for i, end in enumerate(lanes) if end + 6 <= x), len(lanes))
            lanes[lane : lane + 1] = [x + BOX]
            parts.append(_box(system, x, y + lane * ROW, COLOURS[row % len(COLOURS)]))
        height = len(lanes) * ROW
        label = f"{number} {title.replace('_', ' ')}"
        parts.append(f'<text x="6" y="{top + 16}" font-size="10" fill="{INK}">{html.escape(label[:34])}</text>')
        y += height + 8
        parts.append(f'<line x1="0" y1="{y - 6}" x2="{WIDTH}" y2="{y - 6}" stroke="{RULE}"/>')
    heads = f'<text x="190" y="24" font-size="13" font-weight="bold" fill="{INK}">graphical</text>'
    heads += f'<text x="{WIDTH}" y="24" text-anchor="end" font-size="13" font-weight="bold" fill="{INK}">neural</text>'
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {y}" width="100%" role="img" aria-label="the systems of the course between the '
        f'graphical and the neural family" font-family="sans-serif" style="background:{PAPER}">{heads}{"".join(parts)}</svg>'
    )
    return HTML(svg)


def _place(system: System) -> float:
    """0 all graphical, 1 all neural: its neural traits among all that it has."""
    return len(system.neural) / (len(system.neural) + len(system.graphical))


def _box(system: System, x: float, y: float, colour: str) -> str:
    traits = [GRAPHICAL[i] for i in system.graphical] + [NEURAL[i] for i in system.neural]
    hint = html.escape(f"{system.name}: {'; '.join(traits)}")
    return (
        f'<a href="{system.lecture}.ipynb"><title>{hint}</title>'
        f'<rect x="{x:.0f}" y="{y}" width="{BOX}" height="{ROW - 6}" rx="5" fill="{PAPER}" stroke="{colour}" stroke-width="2"/>'
        f'<text x="{x + BOX / 2:.0f}" y="{y + 16}" text-anchor="middle" font-size="11" fill="{INK}">'
        f"{html.escape(system.name)}</text></a>"
    )
