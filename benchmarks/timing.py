"""Contestants take turns in one process, so that what else the machine does falls on all of them."""

import time
from collections.abc import Callable, Mapping

import torch

Work = Callable[[], object]


def seconds(work: Work, times: int = 1) -> float:
    """Of one run of `work`, the mean of so many in a row, a GPU's work included."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


def paired(
    contestants: Mapping[str, Work],
    rounds: int,
    *,
    measure: Callable[[Work], float] = seconds,
    after_round: Callable[[dict[str, list[float]]], None] = lambda taken: None,
) -> dict[str, list[float]]:
    """What `measure` gives of each, once a round, in an order that turns from round to round; a first round warms up."""
    names = list(contestants)
    for name in names:
        measure(contestants[name])
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            taken[name].append(measure(contestants[name]))
        after_round(taken)
    return taken
