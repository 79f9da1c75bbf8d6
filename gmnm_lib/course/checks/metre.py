"""The check of exercise 11 on a product of experts in decoding. The oracle goes row by row and candidate by candidate.

Sizes in the draws are all different: 6 candidates for 7 rows of 5 keys, 4 phases of 3 counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from gmnm_lib.course.checks import answer_of, compare, generators, passed

CANDIDATES, ROWS, KEYS, PERIOD, COUNTS = 6, 7, 5, 4, 3

Step = tuple[Tensor, Tensor, Tensor, Tensor, float, Tensor, Tensor]


def kept_candidate(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, which candidate a product of experts keeps: (rows,) of candidates, last, phase, log_rates, weight, log_p and u.

    Two mistakes may keep the same candidates in a few rows: all draws are compared together.
    """
    answer = answer_of(function, "kept_candidate")
    questions = [_composing(by) for by in generators(seed, draws)]
    shapes: dict[tuple[int, ...], str] = {
        (): "one number for each row",
        (CANDIDATES,): "one number for each row, not for each candidate",
        (CANDIDATES, ROWS): "these are the weights: draw one candidate a row with them",
        (ROWS, CANDIDATES): "these are the weights: draw one candidate a row with them",
        (ROWS, KEYS): "return the number of the candidate, not its keys",
        (ROWS, 1): "drop the second dimension",
        (1, ROWS): "drop the first dimension",
    }
    exact = torch.stack([_kept(*question) for question in questions])
    answers = [answer(*question) for question in questions]
    for found, right in zip(answers, exact, strict=True):
        if found.shape != right.shape:
            compare(answer.name, found, right, layout="(rows,)", mistakes={}, shapes=shapes)
    compare(
        answer.name,
        torch.stack(answers),
        exact,
        layout="(draws, rows)",
        mistakes={hint: torch.stack(wrong) for hint, wrong in _wrongly_kept(questions).items()},
        otherwise="weigh by the metre's rate of each candidate's onsets, then keep the first whose cumulative share exceeds u",
    )
    options, last, phase, _, _, log_p, u = questions[0]
    close_rates = torch.tensor([0.30, 0.34, 0.36]).double().log().expand(PERIOD, COUNTS).clone()
    far = (options, last, phase, close_rates, 2000.0, log_p, u)
    hint = "rates to the power of 2000 are all zero: take the softmax of weight * log rate"
    compare(answer.name, answer(*far), _kept(*far), layout="(rows,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random steps of {ROWS} pieces, and with a metre to the power of 2000")


def _composing(by: Generator) -> Step:
    options = (torch.rand(CANDIDATES, ROWS, KEYS, generator=by) < 0.5).double()
    last = (torch.rand(ROWS, KEYS, generator=by) < 0.4).double()
    phase = torch.randint(PERIOD, (ROWS,), generator=by)
    log_rates = (1.5 * torch.randn(PERIOD, COUNTS, generator=by).double()).log_softmax(-1)
    weight = 0.6 + float(torch.rand((), generator=by)) * (2.0 if phase[0] % 2 else 0.2)
    log_p = -3 * torch.rand(CANDIDATES, ROWS, generator=by).double()
    return options, last, phase, log_rates, weight, log_p, torch.rand(ROWS, generator=by).double()


def _onsets(chord: Sequence[float], before: Sequence[float], counted: str) -> int:
    pairs = list(zip(chord, before, strict=True))
    ways = {
        "begun": [new > old for new, old in pairs],
        "sounding": [new > 0 for new, _ in pairs],
        "changed": [new != old for new, old in pairs],
        "ended": [new < old for new, old in pairs],
    }
    return min(sum(ways[counted]), COUNTS - 1)


def _kept(
    options: Tensor,
    last: Tensor,
    phase: Tensor,
    log_rates: Tensor,
    weight: float,
    log_p: Tensor,
    u: Tensor,
    *,
    counted: str = "begun",
    network: float = 0.0,
    likeliest: bool = False,
) -> Tensor:
    """Row by row and candidate by candidate; network: the power of the network's own probability among the weights."""
    chosen = []
    for row, (before, at, threshold) in enumerate(zip(last.tolist(), phase.tolist(), u.tolist(), strict=True)):
        rates = log_rates[at].tolist()
        logs = [weight * rates[_onsets(chord, before, counted)] for chord in options[:, row].tolist()]
        logs = [log + network * own for log, own in zip(logs, log_p[:, row].tolist(), strict=True)]
        weights = [math.exp(log - max(logs)) for log in logs]
        shares = [w / math.fsum(weights) for w in weights]
        if likeliest:
            chosen.append(shares.index(max(shares)))
            continue
        sums = itertools.accumulate(shares)
        chosen.append(next((i for i, total in enumerate(sums) if total > threshold), len(shares) - 1))
    return torch.tensor(chosen).double()


def _wrongly_kept(questions: Sequence[Step]) -> dict[str, list[Tensor]]:
    def each(**how: object) -> list[Tensor]:
        return [_kept(*question, **how) for question in questions]  # type: ignore[arg-type]

    def given(change: str) -> list[Tensor]:
        ways = []
        for options, last, phase, rates, weight, log_p, u in questions:
            changes: dict[str, Step] = {
                "no weight": (options, last, phase, rates, 1.0, log_p, u),
                "no metre": (options, last, phase, rates, 0.0, log_p, u),
                "no phase": (options, last, 0 * phase, rates, weight, log_p, u),
                "next phase": (options, last, (phase + 1) % PERIOD, rates, weight, log_p, u),
                "from above": (options, last, phase, rates, weight, log_p, 1 - u),
                "plain": (options, last, phase, rates.exp(), weight, log_p, u),
                "against": (options, last, phase, rates, -weight, log_p, u),
            }
            ways.append(_kept(*changes[change]))
        return ways

    return {
        "the network's probability counts twice: the candidates are its draws already": each(network=1.0),
        "the likeliest is kept: draw one, by u": each(likeliest=True),
        "sounding keys are counted: onsets are keys that were silent before": each(counted="sounding"),
        "changed keys are counted: a key that ends is no onset": each(counted="changed"),
        "keys that end are counted: onsets are keys that begin": each(counted="ended"),
        "the weight has no effect: it is the exponent of the metre, and a factor of its logarithm": given("no weight"),
        "the metre has no effect: each candidate counts alike": given("no metre"),
        "the phase of the row is not used: it picks the row of log_rates": given("no phase"),
        "the phase is turned by one: it is that of this very step": given("next phase"),
        "1 - u is used: the first candidate whose cumulative share exceeds u": given("from above"),
        "exp was taken of rates and not of their logarithms: log_rates are logarithms already": given("plain"),
        "the metre is turned against itself: likelier onsets weigh more": given("against"),
        "numbered from 1: candidates are numbered from 0": [one + 1 for one in each()],
        "the candidate before: count the shares that do not exceed u": [(one - 1).clamp_min(0) for one in each()],
    }
