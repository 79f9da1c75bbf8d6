"""Graphical models and inference in them, exact and approximate.

Models: `models` (directed, undirected, Ising grids), `text`, `gaussian`, `gaussian_mixture`. Exact inference: `enumeration`,
`elimination`, `junction_tree`. Approximate: `belief_propagation`, `mean_field`, `tree_reweighted`, `gibbs`. What a graph says
by itself: `separation`. Parameters from data: `learning`.
"""

from gmnm_lib.graphs.models import DirectedModel, UndirectedModel, ising_grid
from gmnm_lib.graphs.text import from_text

__all__ = ["DirectedModel", "UndirectedModel", "from_text", "ising_grid"]
