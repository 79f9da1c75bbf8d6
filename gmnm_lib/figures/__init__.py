"""Everything that draws. A function here returns a picture and computes nothing.

Pixels (`digit`, `digit_grid`) are for what a slider redraws, many times a second; figures (`curves`, `latent_plane`,
`graphical_model`) for what the eye rests on. No function touches pyplot's state, so any thread may draw.
"""

from gmnm_lib.figures.glimpses import bars, glimpse
from gmnm_lib.figures.graphical import VAE_GRAPHS, Graph, graphical_model
from gmnm_lib.figures.pictures import COLOURS, INK, PAPER, RULE, Drawing, Picture, css_width, to_image, to_png
from gmnm_lib.figures.pixels import digit, digit_grid, film_strip, picture_table, stacked
from gmnm_lib.figures.planes import plane
from gmnm_lib.figures.plots import TERM_NAMES, curves, latent_plane, lines
from gmnm_lib.figures.scores import piano_roll, strokes
from gmnm_lib.figures.text import source, table

__all__ = [
    "COLOURS",
    "INK",
    "PAPER",
    "RULE",
    "TERM_NAMES",
    "VAE_GRAPHS",
    "Drawing",
    "Graph",
    "Picture",
    "bars",
    "css_width",
    "curves",
    "digit",
    "digit_grid",
    "film_strip",
    "glimpse",
    "graphical_model",
    "latent_plane",
    "lines",
    "piano_roll",
    "picture_table",
    "plane",
    "source",
    "stacked",
    "strokes",
    "table",
    "to_image",
    "to_png",
]
