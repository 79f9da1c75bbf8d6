"""The check of exercise 02 on annealed importance sampling. The oracle sums each f_beta over the states of h.

Sizes in the draws are all different: 6 states along each of 8 chains, 7 temperatures, 5 visible and 3 hidden units.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from gmnm_lib.course.checks import Answer, answer_of, compare, generators, passed
from gmnm_lib.course.checks.machine import Machine, Parameters, drawn_parameters

STEPS, CHAINS, VISIBLE, HIDDEN = 6, 8, 5, 3  # not 4 chains: the root of 4 is also its half


def ais_log_partition(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, log Z and its standard error: (2,) from states (steps, chains, visible), betas (steps + 1,), parameters."""
    answer = answer_of(function, "ais_log_partition")
    for by in generators(seed, draws):
        parameters = drawn_parameters(VISIBLE, HIDDEN, by)
        states, betas = _annealed(by)
        _two_numbers(answer, states, betas, parameters)
        # In float64, as the error bar is a difference of weights whose logarithms are in the thousands.
        w, b, c = (part.double() for part in parameters)
        far = w, b, c + 800
        log_z, error = _estimated(states, betas, far)
        hint = "e^800 leaves the range of the computer: add logarithms, and take the largest one out before exp"
        found = answer(states.double(), betas.double(), *far)
        exact = torch.stack([log_z, error])
        for place, name in enumerate(("log Z", "the standard error")):
            compare(f"{answer.name}: {name}", found[place], exact[place], layout="()", mistakes={}, otherwise=hint)
    passed(answer.name, f"log Z and its error, on {draws} random machines, and with weights of e^2400")


def _two_numbers(answer: Answer, states: Tensor, betas: Tensor, parameters: Parameters) -> None:
    found = answer(states, betas, *parameters)
    log_z, error = _estimated(states, betas, parameters)
    exact = torch.stack([log_z, error])
    if found.shape != exact.shape:
        shapes: dict[tuple[int, ...], str] = {
            (): "two numbers: log Z and its standard error",
            (CHAINS,): "these are the chains' log weights: average the weights",
            (CHAINS, 2): "one estimate from all chains",
            (STEPS, CHAINS): "add the steps up, then average the weights of the chains",
            (STEPS,): "add the steps up: a chain's log weight is a sum over them",
        }
        mistakes = {"the standard error is missing: two numbers": log_z}
        compare(answer.name, found, exact, layout="(2,)", mistakes=mistakes, shapes=shapes)
    of_log_z, of_error = _miscounted(states, betas, parameters)
    swapped = {"the two are exchanged: log Z comes first": error}
    hint = "log Z_0, and the logarithm of the mean of the weights; a weight multiplies one ratio for each step"
    name = f"{answer.name}: log Z"
    compare(name, found[0], log_z, layout="()", mistakes=of_log_z | swapped, otherwise=hint)
    hint = "the standard deviation of the weights over their mean, over the root of their number"
    name = f"{answer.name}: the standard error"
    compare(name, found[1], error, layout="()", mistakes=of_error, otherwise=hint)


def _miscounted(states: Tensor, betas: Tensor, parameters: Parameters) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Well-known wrong values of log Z, and of its standard error."""
    machine = Machine(*parameters)
    log_w, base = _log_weights(states, betas, machine), machine.log_partition(0.0)
    weights, count = log_w.exp(), math.log(CHAINS)
    log_mean = weights.mean().log()
    own = machine.visible_bias.exp().log1p().sum()

    def shifted(of: Tensor) -> Tensor:
        return base + _log_weights(of, betas, machine).exp().mean().log()

    undivided = torch.stack([_log_f(x, float(b), machine) for x, _, b in _steps(states, betas)])
    tempered = torch.stack(
        [(float(b) - float(a)) * x.double() @ machine.visible_bias for x, a, b in _steps(states, betas)]
    )
    of_log_z = {
        "log Z_0 is missing: the mean weight estimates Z / Z_0": log_mean,
        "log Z_0 lacks the hidden units: at beta 0 each of them still has two states": own + log_mean,
        "log Z_0 lacks the visible units: f_0 has their biases": base - own + log_mean,
        "log Z_0 is subtracted: Z is Z_0 times the mean weight": log_mean - base,
        "the logarithms are averaged: average the weights, then take the logarithm": base + log_w.mean(),
        "the weights are added up: Z / Z_0 is their mean": base + log_mean + count,
        "the ratios are upside down: f at the next beta over f at the one before": base + (-log_w).exp().mean().log(),
        "the ratios of a chain are averaged: they multiply": base + (log_w / STEPS).exp().mean().log(),
        "the weight is f_1 over f_0 at the last state: each ratio belongs to its own state": base
        + _ratio(states[-1], machine).exp().mean().log(),
        "the weight is f_1 over f_0 at the first state, without anything in between": base
        + _ratio(states[0], machine).exp().mean().log(),
        "each state is a step late: states[k] goes from betas[k] to betas[k + 1]": shifted(states.roll(1, 0)),
        "each state is a step early: states[k] goes from betas[k] to betas[k + 1]": shifted(states.roll(-1, 0)),
        "the states come in the wrong order: the first is from f_0": shifted(states.flip(0)),
        "the visible biases are in each ratio: beta does not touch them, and they cancel": base
        + (log_w + tempered.sum(0)).exp().mean().log(),
        "these are products of f itself: divide by f at the beta before": base + undivided.sum(0).exp().mean().log(),
        "this is the mean weight times Z_0: return the logarithm": (base + log_mean).exp(),
        "in bits: use the natural logarithm": (base + log_mean) / math.log(2),
    }
    relative = weights.std() / weights.mean()
    of_error = {
        "this is the spread of single weights: a mean of n has one over sqrt(n) of it": relative,
        "over n instead of its root": relative / CHAINS,
        "this is the standard error of the mean weight: over the mean weight, it is that of its logarithm": weights.std()
        / math.sqrt(CHAINS),
        "this is the spread of the log weights: the weights are averaged, so theirs is asked for": log_w.std()
        / math.sqrt(CHAINS),
        "the spread is over n: with the mean from the same weights it is over n - 1, as `std` has it": relative
        * math.sqrt((CHAINS - 1) / CHAINS)
        / math.sqrt(CHAINS),
        "this is the variance: take its root": relative**2 / CHAINS,
        "this is the logarithm of the error": (relative / math.sqrt(CHAINS)).log(),
    }
    return of_log_z, of_error


def _annealed(by: Generator) -> tuple[Tensor, Tensor]:
    """Any states will do, as the task says which they are; betas uneven, so that each step is its own."""
    states = torch.randint(2, (STEPS, CHAINS, VISIBLE), generator=by).float()
    inner = torch.sort(0.05 + 0.9 * torch.rand(STEPS - 1, generator=by)).values
    return states, torch.cat([torch.zeros(1), inner, torch.ones(1)])


def _steps(states: Tensor, betas: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    return list(zip(states, betas[:-1], betas[1:], strict=True))


def _log_f(v: Tensor, beta: float, machine: Machine) -> Tensor:
    return -machine.free_energy(v, beta)


def _ratio(v: Tensor, machine: Machine) -> Tensor:
    return _log_f(v, 1.0, machine) - _log_f(v, 0.0, machine)


def _log_weights(states: Tensor, betas: Tensor, machine: Machine) -> Tensor:
    ratios = [_log_f(x, float(b), machine) - _log_f(x, float(a), machine) for x, a, b in _steps(states, betas)]
    return torch.stack(ratios).sum(0)


def _estimated(states: Tensor, betas: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """log Z and its standard error, with the weights' scale taken out by `math` one by one."""
    machine = Machine(*parameters)
    logs = _log_weights(states, betas, machine).tolist()
    weights = [math.exp(one - max(logs)) for one in logs]
    mean = math.fsum(weights) / len(weights)
    variance = math.fsum((w - mean) ** 2 for w in weights) / (len(weights) - 1)
    log_z = float(machine.log_partition(0.0)) + max(logs) + math.log(mean)
    return torch.tensor(log_z).double(), torch.tensor(math.sqrt(variance / len(weights)) / mean).double()
