"""The check of exercise 02 on explaining away. The oracle multiplies plain probabilities for each state of both causes.

Sizes in the draws are different: 7 rows of 4 effects; the causes are two.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed

ROWS, EFFECTS = 7, 4

Network = tuple[Tensor, Tensor, Tensor]
State = tuple[int, int]
Joint = list[dict[State, float]]
STATES: list[State] = [(0, 0), (0, 1), (1, 0), (1, 1)]


def explained_away(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, p(h_1|x) and p(h_1|x, h_2 = 1): (batch, 2) from x (batch, effects), cause_bias, weights, effect_bias."""
    answer = answer_of(function, "explained_away")
    for by in generators(seed, draws):
        network = _network(by)
        x = torch.randint(2, (ROWS, EFFECTS), generator=by).float()
        joint = _joint(x, network)
        exact = _columns(joint)
        mistakes = _misread(x, network, joint, exact)
        shapes = {
            (2,): "one row for each x",
            (ROWS,): "two columns: p(h_1|x) and p(h_1|x, h_2 = 1)",
            (2, ROWS): "transposed: one row for each x",
            (ROWS, 4): "these are the four states: sum those in which h_1 is 1",
            (ROWS, 2, 2): "these are the four states: sum those in which h_1 is 1",
        }
        compare(
            answer.name,
            answer(x, *network),
            exact,
            layout="(batch, 2)",
            mistakes=mistakes,
            shapes=shapes,
            otherwise="p(x, h) of the four states of h; then sums over those that agree with what is known, divided",
        )
    tall = 300
    x = torch.cat([torch.ones(1, tall), torch.zeros(1, tall)])
    cause_bias, weights, effect_bias = torch.tensor([-1.0, 0.5]), torch.full((tall, 2), 0.01), torch.zeros(tall)
    weights[:, 1] = -0.005
    # All effects are alike, so that a row's log odds are `tall` times those of one, which float64 bears.
    exact = _of_alike(cause_bias.tolist(), 0.01, -0.005, tall)
    hint = "p(x|h) of 300 effects is zero in single precision: add logarithms, and use softmax or logsumexp"
    found = answer(x, cause_bias, weights, effect_bias)
    compare(answer.name, found, exact, layout="(batch, 2)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random networks, state by state, and with {tall} effects")


def _misread(x: Tensor, network: Network, joint: Joint, exact: Tensor) -> dict[str, Tensor]:
    cause_bias, weights, effect_bias = network
    first = exact[:, 0]
    prior = torch.sigmoid(cause_bias.double())
    evidence = torch.tensor([math.fsum(row.values()) for row in joint]).double()
    both = torch.tensor([row[1, 1] for row in joint]).double()
    turned = _columns([{(b, a): p for (a, b), p in row.items()} for row in joint])
    off = torch.tensor([row[1, 0] / (row[0, 0] + row[1, 0]) for row in joint]).double()
    boltzmann = torch.sigmoid(cause_bias.double() + x.double() @ weights.double())[:, 0]
    present = _columns(_joint(x, network, only_present=True))

    def with_second(other: Tensor) -> Tensor:
        return torch.stack([first, other], 1)

    return {
        "the columns are exchanged: without h_2 known comes first": exact.flip(1),
        "this is the other cause: the first one is asked for": turned,
        "this is the probability of 0: h_1 = 1 is asked for": 1 - exact,
        "these are logarithms: return probabilities": exact.log(),
        "the second column has h_2 = 0: it is known to be 1": with_second(off),
        "the second column is p(h_1, h_2|x): divide by p(h_2|x)": with_second(both / evidence),
        "the second column is p(h_2|x, h_1 = 1): h_2 is the one that is known": with_second(turned[:, 1]),
        "knowing h_2 has changed nothing: given x the causes are not independent": with_second(first),
        "these are p(h_1, x) and so on: divide by the sum over both values of h_1": torch.stack(
            [first * evidence, both], 1
        ),
        "x is not used: these are the causes as they were before": prior[0].expand_as(exact),
        "this is an RBM's posterior, sigmoid(b + W'x): here p(x|h) has a normaliser that depends on h": torch.stack(
            [boltzmann, boltzmann], 1
        ),
        "only the effects that are there count: an absent one tells as much, by 1 - p": present,
        "the causes' own probabilities are missing": _columns(_joint(x, (0 * cause_bias, weights, effect_bias))),
        "the effects' biases are missing": _columns(_joint(x, (cause_bias, weights, 0 * effect_bias))),
    }


def _network(by: Generator) -> Network:
    """cause_bias (2,), weights (effects, 2) and effect_bias (effects,): mostly causes that bring their effects about."""
    return (
        torch.randn(2, generator=by) - 1,
        1.5 * torch.randn(EFFECTS, 2, generator=by) + 1,
        torch.randn(EFFECTS, generator=by) - 1,
    )


def _sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def _joint(x: Tensor, network: Network, *, only_present: bool = False) -> Joint:
    """p(x, h) of each row for the four states of h, factor by factor."""
    cause_bias, weights, effect_bias = (part.double().tolist() for part in network)
    rows = []
    for row in x.tolist():
        joint: dict[State, float] = {}
        for h in STATES:
            p: float = math.prod(_sigmoid(b) if on else 1 - _sigmoid(b) for b, on in zip(cause_bias, h, strict=True))
            for seen, (to_1, to_2), bias in zip(row, weights, effect_bias, strict=True):
                on = _sigmoid(bias + to_1 * h[0] + to_2 * h[1])
                p *= on if seen else 1.0 if only_present else 1 - on
            joint[h] = p
        rows.append(joint)
    return rows


def _columns(joint: Joint) -> Tensor:
    return torch.tensor(
        [[(p[1, 0] + p[1, 1]) / math.fsum(p.values()), p[1, 1] / (p[0, 1] + p[1, 1])] for p in joint]
    ).double()


def _of_alike(cause_bias: list[float], to_1: float, to_2: float, effects: int) -> Tensor:
    """The answer where all effects are present, and where all are absent, each by its odds against no cause."""
    rows: Joint = []
    for seen in (1, 0):
        joint = {}
        for h in STATES:
            on = _sigmoid(to_1 * h[0] + to_2 * h[1])
            likelihood = ((on if seen else 1 - on) / 0.5) ** effects
            joint[h] = likelihood * math.exp(cause_bias[0] * h[0] + cause_bias[1] * h[1])
        rows.append(joint)
    return _columns(rows)
