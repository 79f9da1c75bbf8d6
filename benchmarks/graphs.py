"""Inference in graphs beside pgmpy, Gibbs sampling beside a loop over sites, and how the cost of exact inference grows.

python -m benchmarks.graphs
"""

import math
import random
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.record import record, significant, speed
from benchmarks.timing import seconds
from gmnm_lib.graphs import UndirectedModel, gibbs, ising_grid
from gmnm_lib.graphs.belief_propagation import belief_propagation
from gmnm_lib.graphs.junction_tree import JunctionTree
from tests.graphs.with_pgmpy import network

COMMAND = "python -m benchmarks.graphs"
SIDES = range(2, 15)


def random_tree(variables: int, seed: int) -> UndirectedModel:
    pick, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model = UndirectedModel({f"x{place}": 3 for place in range(variables)})
    for place in range(1, variables):
        model.add([f"x{pick.randrange(place)}", f"x{place}"], torch.randn(3, 3, generator=generator))
    return model


def random_grid(side: int, seed: int) -> UndirectedModel:
    generator = torch.Generator().manual_seed(seed)
    return ising_grid(side, side, torch.randn(2 * side * (side - 1), generator=generator), 0.1)


def by_its_junction_tree(model: UndirectedModel) -> Callable[[], dict[str, Tensor]]:
    """All marginals by pgmpy's junction tree; the model is built beforehand."""
    from pgmpy.inference import BeliefPropagation

    theirs = network(model)

    def marginals() -> dict[str, Tensor]:
        inference = BeliefPropagation(theirs)
        inference.calibrate()
        found: dict[str, Tensor] = {}
        for clique, belief in inference.get_clique_beliefs().items():
            for name in set(clique) - set(found):
                values = torch.as_tensor(
                    belief.marginalize([other for other in clique if other != name], inplace=False).values
                )
                found[name] = values / values.sum()
        return found

    return marginals


def by_its_elimination(model: UndirectedModel) -> Callable[[], dict[str, Tensor]]:
    """All marginals by pgmpy's variable elimination, a query for each, in the order that is fastest there.

    Its junction tree of a 10 x 10 grid takes more than 24 GB, and it has no message passing on loopy graphs.
    """
    from pgmpy.inference import VariableElimination

    theirs = network(model)

    def marginals() -> dict[str, Tensor]:
        inference = VariableElimination(theirs)
        found = {}
        for name in model.variables:
            values = torch.as_tensor(inference.query([name], elimination_order="greedy", show_progress=False).values)
            found[name] = values / values.sum()
        return found

    return marginals


def against_pgmpy(rounds: int = 3) -> list[str]:
    lines = []
    cases: list[tuple[str, Callable[[int], UndirectedModel], Callable, str]] = [
        ("tree_of_1000", lambda seed: random_tree(1000, seed), by_its_junction_tree, "calibrated junction tree"),
        ("grid_10x10", lambda seed: random_grid(10, seed), by_its_elimination, "variable elimination, greedy order"),
    ]
    for name, make, with_pgmpy, method in cases:
        models = [make(seed) for seed in range(rounds)]
        peer, exact, loopy = [], [], []
        for model in models:
            ask, found = with_pgmpy(model), {}
            peer.append(seconds(lambda ask=ask, found=found: found.update(ask())))
            exact.append(seconds(lambda model=model: JunctionTree(model).marginals()))
            loopy.append(seconds(lambda model=model: belief_propagation(model, damping=0.3, iterations=200)))
            ours = JunctionTree(model).marginals()
            worst = max(float((ours[variable] - found[variable]).abs().max()) for variable in ours)
            if worst > 1e-6:
                raise AssertionError(f"{name}: pgmpy's marginals differ by {worst:.1e}")
        for kind, times in (("exact", exact), ("messages", loopy)):
            told = {
                "peer_name": f"pgmpy, {method}",
                "goal": "ratio >= 20",
                "unit": "s",
                "command": COMMAND,
            }
            lines.append(speed(f"graphs_{kind}_{name}", ours=times, peer=peer, packages=["pgmpy"], **told))
    return lines


def gibbs_site_by_site(model: UndirectedModel, side: int, coupling: float, state: Tensor) -> None:
    """One sweep of one chain as a newcomer writes it: a loop over sites, plain numbers."""
    spins = (2 * state.reshape(side, side) - 1).tolist()
    for row in range(side):
        for column in range(side):
            field = 0.0
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                if 0 <= row + down < side and 0 <= column + right < side:
                    field += coupling * spins[row + down][column + right]
            spins[row][column] = 1 if random.random() < 1 / (1 + math.exp(-2 * field)) else -1


def sampling(side: int = 32, chains: int = 1000, rounds: int = 7) -> str:
    model, coupling = ising_grid(side, side, 0.3), 0.3
    state, step = gibbs.start(model, chains), gibbs.gibbs_step(model)
    step(state)
    ours = [seconds(lambda: step(state)) for _ in range(rounds)]
    some = 20  # the loop's chains do not share work, so that twenty tell what a thousand cost
    peer = [
        seconds(lambda: [gibbs_site_by_site(model, side, coupling, state[chain]) for chain in range(some)])
        * chains
        / some
        for _ in range(rounds)
    ]
    said = f"a Python loop over sites, {some} chains measured and multiplied"
    told = {"peer_name": said, "goal": "ratio >= 50", "unit": "s", "command": COMMAND}
    return speed("graphs_gibbs_32x32_1000_chains", ours=ours, peer=peer, **told)


def growth() -> str:
    """Seconds of exact inference on n x n grids: they should double with each n, and one n more."""
    taken = {}
    for side in SIDES:
        model = random_grid(side, 0)
        taken[side] = significant(min(seconds(lambda model=model: JunctionTree(model).marginals()) for _ in range(3)))
    last, before = max(taken), max(taken) - 4
    factor = (taken[last] / taken[before]) ** 0.25
    record("graphs_growth", kind="growth", seconds=taken, factor_per_row=significant(factor), command=COMMAND)
    return f"graphs_growth: {taken}; x {factor:.2f} for each row more at the end"


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # pgmpy's own deprecations
    print("\n".join([sampling(), growth(), *against_pgmpy()]))
