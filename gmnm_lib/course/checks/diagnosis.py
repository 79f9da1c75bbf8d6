"""The checks of exercise 01 on graphs. The oracles walk over cases, states and paths one by one, with `math`.

Sizes in the draws are all different: 7 cases of 4 variables; 5 variables of 3 states, 4 edges, 6 rows of states;
7 nodes; 8 rows of 3 faults and 5 symptoms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from gmnm_lib.course.checks import CheckFailed, answer_of, close, compare, generators, passed

CASES = 7
VARIABLES, STATES = 5, 3
NODES = 7
REPORTS, FAULTS, SYMPTOMS = 8, 3, 5

Car = tuple[float, float, Tensor, Tensor]
Question = tuple[Tensor, int, Tensor]


def log_joint(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, log p of full cases of the car: (batch,) from cases (batch, 4) and the four tables."""
    answer = answer_of(function, "log_joint")
    for by in generators(seed, draws):
        car = _car(by)
        cases = torch.randint(2, (CASES, 4), generator=by)
        exact = _log_ps(cases, car)
        transposed = (*car[:3], car[3].T)
        mistakes = {
            "p(fails | battery, fuel) is read with battery and fuel exchanged: the rows are the battery": _log_ps(
                cases, transposed
            ),
            "this is p itself: return its logarithm": exact.exp(),
            "the tables hold the probability of 1: for a 0 it is one minus that": _log_ps(1 - cases, car),
            "every factor has the probability of 1: where the case has a 0 it is one minus that": _log_ps(
                cases, car, always=1
            ),
            "only the two faults are there: multiply with the symptoms' conditionals": _log_ps(
                cases, car, factors=slice(2)
            ),
            "only the two symptoms are there: multiply with the faults' own probabilities": _log_ps(
                cases, car, factors=slice(2, 4)
            ),
            "the gauge is read off the battery: its parent is the fuel": _log_ps(cases, car, gauge_parent=0),
            "the factors are averaged: they multiply, so their logarithms add up": exact / 4,
            "the sign is flipped": -exact,
            "in bits: use the natural logarithm": exact / math.log(2),
            "summed over the batch: each case has its own": exact.sum(),
        }
        shapes = {
            (): "one number for all cases: each case has its own",
            (4,): "sum over the variables, the last dimension, and keep the batch",
            (CASES, 4): "these are the factors: multiply them, which adds up their logarithms",
            (CASES, 1): "drop the summed dimension: `keepdim` is not needed",
        }
        compare(answer.name, answer(cases, *car), exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
    sure: Car = (0.25, 0.5, torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    cases = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0], [1, 1, 1, 0]])
    hint = "a probability of 0 gives -inf and one of 1 gives 0: choose the number first, then take its logarithm"
    exact = _log_ps(cases, sure)
    compare(answer.name, answer(cases, *sure), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random cars and on one with certainties")


def posterior(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, p(fault = 1 | seen) of both faults: (batch, 2) from seen (batch, 4), -1 where nothing was seen."""
    answer = answer_of(function, "posterior")
    for by in generators(seed, draws):
        car = _car(by)
        seen = torch.randint(-1, 2, (CASES, 4), generator=by)
        seen[0] = torch.tensor([-1, -1, -1, 1])
        seen[1] = torch.tensor([-1, -1, 1, 1])
        exact = _posteriors(seen, car)
        joint = _posteriors(seen, car, normalised=False)
        evidence = joint / exact.clamp_min(1e-300)
        priors = torch.tensor(car[:2]).double().expand(CASES, 2)
        mistakes = {
            "this is p(fault, seen): divide by p(seen)": joint,
            "this is p(seen)": evidence,
            "the columns are exchanged: the battery comes first": exact.flip(-1),
            "this is the probability of 0: the fault is 1": 1 - exact,
            "these are the probabilities before anything was seen": priors,
            "-1 was taken for a 0: it means not seen, so both values are summed": _posteriors(seen.clamp_min(0), car),
            "these are logarithms: return the probabilities": exact.log(),
            "the gauge is ignored": _posteriors(seen.index_fill(1, torch.tensor([2]), -1), car),
            "whether it starts is ignored": _posteriors(seen.index_fill(1, torch.tensor([3]), -1), car),
        }
        shapes = {
            (2,): "one row for each case",
            (CASES,): "one column for each fault: battery, fuel",
            (2, CASES): "transposed: one row for each case",
            (CASES, 4): "only the first two variables are faults",
            (CASES, 16): "sum over the states in which the fault is 1",
        }
        compare(
            answer.name,
            answer(seen, *car),
            exact,
            layout="(batch, 2)",
            mistakes=mistakes,
            shapes=shapes,
            otherwise="p(fault = 1, seen) / p(seen), each a sum over the states that agree with what was seen",
        )
    passed(answer.name, f"on {draws} random cars, with whatever was seen")


def _car(by: Generator) -> Car:
    p = (0.1 + 0.8 * torch.rand(8, generator=by)).tolist()
    return p[0], p[1], torch.tensor(p[2:4]), torch.tensor(p[4:]).view(2, 2)


def _log_factors(case: list[int], car: Car, *, always: int | None = None, gauge_parent: int = 1) -> list[float]:
    battery, fuel, gauge, fails = car
    ones = [battery, fuel, float(gauge[case[gauge_parent]]), float(fails[case[0], case[1]])]
    values = case if always is None else [always] * 4
    chosen = [p if value else 1 - p for p, value in zip(ones, values, strict=True)]
    return [math.log(p) if p else -math.inf for p in chosen]


def _log_ps(
    cases: Tensor, car: Car, *, factors: slice = slice(4), always: int | None = None, gauge_parent: int = 1
) -> Tensor:
    rows = [_log_factors(case, car, always=always, gauge_parent=gauge_parent) for case in cases.tolist()]
    return torch.tensor([sum(row[factors]) for row in rows]).double()


def _posteriors(seen: Tensor, car: Car, *, normalised: bool = True) -> Tensor:
    rows = []
    for row in seen.tolist():
        worlds = [
            w for w in itertools.product((0, 1), repeat=4) if all(s in (-1, v) for s, v in zip(row, w, strict=True))
        ]
        weight = {w: math.exp(sum(_log_factors(list(w), car))) for w in worlds}
        total = math.fsum(weight.values()) if normalised else 1.0
        rows.append([math.fsum(p for w, p in weight.items() if w[fault]) / total for fault in (0, 1)])
    return torch.tensor(rows).double()


def log_partition(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, log Z by enumeration: () from unary (n, states), edges (edges, 2) and pair (edges, states, states)."""
    answer = answer_of(function, "log_partition")
    everything = torch.tensor(list(itertools.product(range(STATES), repeat=VARIABLES)))
    for by in generators(seed, draws):
        unary, edges, pair = _potentials(by)
        scores = _scores(everything, unary, edges, pair)
        z = math.fsum(scores.exp().tolist())
        exact = torch.tensor(math.log(z)).double()
        mistakes = {
            "this is Z: return its logarithm": torch.tensor(z).double(),
            "the sign is flipped": -exact,
            "this is the largest score: all states count": scores.max(),
            "the scores are added: add the potentials, exp(score), then take the logarithm": scores.sum(),
            "this is the average of exp(score): Z is their sum": exact - math.log(len(scores)),
            "the pairs are missing": torch.logsumexp(unary, 1).sum(),
            "in bits: use the natural logarithm": exact / math.log(2),
        }
        shapes: dict[tuple[int, ...], str] = {
            (len(everything),): "these are the scores of all states: logsumexp them",
            (VARIABLES,): "one number for the whole model",
            (1,): "a number, without a dimension",
        }
        found = answer(unary, edges, pair)
        compare(answer.name, found, exact, layout="()", mistakes=mistakes, shapes=shapes)
        for far in (-900.0, 900.0):
            shifted = answer(unary + far, edges, pair)
            hint = f"potentials of e^{far:.0f} leave the range of the computer: use `torch.logsumexp`, never exp alone"
            compare(answer.name, shifted, exact + VARIABLES * far, layout="()", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random models, and with potentials of e^-900 and e^900")


def _potentials(by: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """unary, edges and pair, the numbers in float64; the edges are distinct, and none has its smaller end first by rule."""
    possible = list(itertools.combinations(range(VARIABLES), 2))
    picked = torch.randperm(len(possible), generator=by)[:4].tolist()
    turned = torch.randint(2, (4,), generator=by).tolist()
    edges = torch.tensor([possible[e][::-1] if turn else possible[e] for e, turn in zip(picked, turned, strict=True)])
    unary = torch.randn(VARIABLES, STATES, generator=by).double()
    return unary, edges, torch.randn(4, STATES, STATES, generator=by).double()


def _scores(states: Tensor, unary: Tensor, edges: Tensor, pair: Tensor) -> Tensor:
    scores = []
    for row in states.tolist():
        own = [float(unary[i, value]) for i, value in enumerate(row)]
        between = [float(pair[e, row[i], row[j]]) for e, (i, j) in enumerate(edges.tolist())]
        scores.append(math.fsum(own + between))
    return torch.tensor(scores).double()


def separated_from(function: object, *, seed: int | None = 0, draws: int = 25) -> None:
    """Task 4, which nodes are d-separated from x: (n,) of 0 and 1 from arrows (n, n), x and given (n,).

    A mistake shows in few questions, and two may answer one alike: all answers are compared together.
    """
    answer = answer_of(function, "separated_from")
    questions = [_below_a_meeting(by) if i % 5 == 0 else _question(by) for i, by in enumerate(generators(seed, draws))]
    exact = [_separated(*question) for question in questions]
    shapes: dict[tuple[int, ...], str] = {
        (): "one entry for every node",
        (NODES, NODES): "only for the node x: one entry for every node",
    }
    answers = [answer(*question) for question in questions]
    for found, right in zip(answers, exact, strict=True):
        if found.shape != right.shape:
            compare(answer.name, found, right, layout="(n,)", mistakes={}, shapes=shapes)
    wrong = (q for q, found, right in zip(questions, answers, exact, strict=True) if not close(found, right))
    first = next(wrong, None)
    compare(
        answer.name,
        torch.stack(answers),
        torch.stack(exact),
        layout="(questions, n)",
        mistakes=_misreadings(questions) if first else {},
        otherwise=_drawn(*first) if first else "",
    )
    passed(answer.name, f"on {draws} random graphs, by following every path")


def _misreadings(questions: list[Question]) -> dict[str, Tensor]:
    met = "where two arrows meet"
    at_collider = {
        f"{met} the node is treated as a chain: there a path is blocked unless the meeting or what is below is given": "chain",
        f"{met} nothing ever passes: it does once the meeting, or what is below, is given": "never",
        f"{met}, a descendant that is given opens the path as well": "itself",
        f"{met} the path is always open: it is blocked while nothing there or below is given": "always",
    }
    ways = {hint: [_separated(*q, collider=way) for q in questions] for hint, way in at_collider.items()}
    ways |= {
        "this says where x is connected: 1 means separated": [1 - _separated(*q) for q in questions],
        "nothing is blocked by what is given": [_separated(a, x, torch.zeros_like(g)) for a, x, g in questions],
        "the arrows are read backwards: arrows[i, j] is i -> j": [_separated(a.T, x, g) for a, x, g in questions],
        "only the neighbours of x are found: follow whole paths": [1 - (a + a.T)[x] for a, x, _ in questions],
    }
    return {hint: torch.stack(answers).double() for hint, answers in ways.items()}


def _drawn(arrows: Tensor, x: int, given: Tensor) -> str:
    known, pairs = given.nonzero().flatten().tolist(), [tuple(arrow) for arrow in arrows.nonzero().tolist()]
    return f"wrong for x = {x}, given {known}, arrows {pairs}: draw it"


def _question(by: Generator) -> Question:
    upper = torch.triu((torch.rand(NODES, NODES, generator=by) < 0.4).double(), 1)
    order = torch.randperm(NODES, generator=by)
    arrows = upper[order][:, order]
    given = (torch.rand(NODES, generator=by) < 0.3).double()
    x = int(torch.randint(NODES, (), generator=by))
    given[x] = 0
    return arrows, x, given


def _below_a_meeting(by: Generator) -> Question:
    """Two causes, what they meet in, and a chain below it whose end is given: random graphs hardly ever ask this."""
    order = torch.randperm(NODES, generator=by)
    arrows = torch.zeros(NODES, NODES).double()
    for i, j in ((0, 2), (1, 2), (2, 3), (3, 4), (5, 0)):
        arrows[order[i], order[j]] = 1
    return arrows, int(order[0]), torch.zeros(NODES).double().index_fill(0, order[4], 1.0)


def _separated(arrows: Tensor, x: int, given: Tensor, *, collider: str = "right") -> Tensor:
    """Pearl's rule on every path: what is seen separates itself, and x is connected with itself."""
    arrow = [[bool(entry) for entry in row] for row in arrows.tolist()]
    seen = {i for i, known in enumerate(given.tolist()) if known}
    opened = {"right": {i for i in range(len(arrow)) if _below(arrow, i) & seen}, "itself": seen, "never": set()}

    def lets_pass(before: int, node: int, after: int) -> bool:
        meets = arrow[before][node] and arrow[after][node] and collider != "chain"
        if not meets:
            return node not in seen
        return collider == "always" or node in opened[collider]

    def connected(y: int) -> bool:
        return y not in seen and any(all(map(lets_pass, p, p[1:], p[2:])) for p in _paths(arrow, [x], y))

    return torch.tensor([0.0 if connected(y) else 1.0 for y in range(len(arrow))]).double()


def _paths(arrow: list[list[bool]], path: list[int], end: int) -> Iterator[list[int]]:
    """All paths without a repeated node, whatever way their arrows point."""
    if path[-1] == end:
        yield path
        return
    for node in range(len(arrow)):
        if node not in path and (arrow[path[-1]][node] or arrow[node][path[-1]]):
            yield from _paths(arrow, [*path, node], end)


def _below(arrow: list[list[bool]], node: int) -> set[int]:
    return {node}.union(*(_below(arrow, child) for child in range(len(arrow)) if arrow[node][child]))


BUGS = {
    "added": "chances are added: a symptom stays away if each cause and the leak fail, so the failures multiply",
    "mean": "averaged over the symptoms: given the faults they are independent, so their logarithms add up",
}


def mended_noisy_or(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, the bug hunt: log p(symptoms | faults), (batch,), from both and strength (symptoms, faults), leak (symptoms,)."""
    answer = answer_of(function, "mended_noisy_or")
    for by in generators(seed, draws):
        faults = (torch.rand(REPORTS, FAULTS, generator=by) < 0.6).float()
        symptoms = (torch.rand(REPORTS, SYMPTOMS, generator=by) < 0.5).float()
        strength = 0.05 + 0.25 * torch.rand(SYMPTOMS, FAULTS, generator=by)
        leak = 0.02 + 0.1 * torch.rand(SYMPTOMS, generator=by)
        arguments = (faults, symptoms, strength, leak)
        exact = _noisy_or(*arguments)
        both = "; and ".join(BUGS.values())
        mistakes = {
            both: _noisy_or(*arguments, added=True) / SYMPTOMS,
            BUGS["added"]: _noisy_or(*arguments, added=True),
            BUGS["mean"]: exact / SYMPTOMS,
            "the leak is gone: it was needed": _noisy_or(faults, symptoms, strength, 0 * leak),
            "absent faults act too: only those that are 1": _noisy_or(torch.ones_like(faults), *arguments[1:]),
            "present and absent symptoms are exchanged": _noisy_or(faults, 1 - symptoms, strength, leak),
        }
        shapes = {
            (): "one number for the whole batch: each case has its own",
            (REPORTS, SYMPTOMS): "sum over the symptoms",
            (SYMPTOMS,): "sum over the symptoms, and keep the batch",
        }
        found = answer(*arguments)
        compare(answer.name, found, exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
    sure = (torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0], [0.0]]))
    leak = torch.tensor([0.0, 0.5])
    hint = "a certain symptom that is there costs 0, but 0 * log 0 is nan: `torch.where`, or `torch.xlogy`"
    exact = torch.full((2,), math.log(0.5)).double()
    compare(answer.name, answer(*sure, leak), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    impossible = answer(torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([[0.5]]), torch.zeros(1))
    if impossible.shape != (1,) or impossible.item() != -math.inf:
        raise CheckFailed(
            f"{answer.name}: found {impossible.tolist()} instead of [-inf] for a symptom that has no cause: "
            "do not clamp what is impossible"
        )
    passed(answer.name, f"all three bugs are gone, on {draws} random draws and where a cause is certain")


def _noisy_or(faults: Tensor, symptoms: Tensor, strength: Tensor, leak: Tensor, *, added: bool = False) -> Tensor:
    rows = []
    for present, seen in zip(faults.tolist(), symptoms.tolist(), strict=True):
        terms = []
        for s, chances, spontaneous in zip(seen, strength.tolist(), leak.tolist(), strict=True):
            acting = [spontaneous, *(chance for chance, fault in zip(chances, present, strict=True) if fault)]
            p = math.fsum(acting) if added else 1 - math.prod(1 - chance for chance in acting)
            p = min(p, 1.0)
            p = p if s else 1 - p
            terms.append(math.log(p) if p > 0 else -math.inf)
        rows.append(math.fsum(terms))
    return torch.tensor(rows).double()
