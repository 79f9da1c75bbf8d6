"""Random small models, large enough for every branch and small enough to enumerate."""

import random

import torch

from gmnm_lib.graphs.models import DirectedModel, UndirectedModel


def undirected(seed: int, *, zeros: bool = True, most: int = 7, arity: int = 3) -> UndirectedModel:
    """2 to `most` variables of 1 to 3 states, factors of 1 to `arity` of them, some potentials zero; all at 0 is possible."""
    pick, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    names = [f"x{place}" for place in range(pick.randint(2, most))]
    model = UndirectedModel({name: pick.randint(1, 3) for name in names})
    for _ in range(pick.randint(1, len(names) + 2)):
        members = pick.sample(names, pick.randint(1, min(arity, len(names))))
        log = 2 * torch.randn(*(model.cardinality(name) for name in members), generator=generator, dtype=torch.float64)
        if zeros and pick.random() < 0.3:
            log[torch.rand(log.shape, generator=generator) < 0.2] = -torch.inf
            log[(0,) * log.dim()] = 0.0
        model.add(members, log)
    return model


def directed(seed: int, *, most: int = 7) -> DirectedModel:
    """2 to `most` variables of 2 or 3 states with up to three parents each; a tenth of the probabilities are zero."""
    pick, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model = DirectedModel()
    for place in range(pick.randint(2, most)):
        parents = pick.sample(model.variables, pick.randint(0, min(3, place)))
        states = pick.randint(2, 3)
        shape = [*(model.cardinality(name) for name in parents), states]
        table = torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.01
        table[torch.rand(shape, generator=generator) < 0.1] = 0.0
        table[..., 0] += 0.01
        model.add(f"x{place}", states, table / table.sum(-1, keepdim=True), parents)
    return model


def tree(seed: int, variables: int, states: int = 3) -> UndirectedModel:
    """A random recursive tree: each variable hangs on an earlier one."""
    pick, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model = UndirectedModel({f"x{place}": states for place in range(variables)})
    for place in range(1, variables):
        log = torch.randn(states, states, generator=generator, dtype=torch.float64)
        model.add([f"x{pick.randrange(place)}", f"x{place}"], log)
    return model
