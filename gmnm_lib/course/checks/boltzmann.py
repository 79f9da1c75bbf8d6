"""The checks of exercise 02 on restricted Boltzmann machines. The oracles list all states; no closed form of a task is used.

Sizes in the draws are all different: 7 rows of 5 visible and 3 hidden units; 4 chains of 6 updates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gmnm_lib.course.checks import Answer, CheckFailed, answer_of, close, compare, generators, passed
from gmnm_lib.course.checks.machine import Machine, Parameters, drawn_parameters, fair_uniforms

ROWS, VISIBLE, HIDDEN = 7, 5, 3
CHAINS = 4
MANY = 211  # rows of bits, so that two mistakes do not draw the same ones by chance


def free_energy(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, F(v) = -log sum_h exp(-E(v, h)): (batch,) from v (batch, visible) and the three parameters."""
    answer = answer_of(function, "free_energy")
    for by in generators(seed, draws):
        parameters = drawn_parameters(VISIBLE, HIDDEN, by)
        v = _bits(ROWS, by)
        machine = Machine(*parameters)
        exact = machine.free_energy(v)
        w, b, c = (part.double() for part in parameters)
        own, field = v.double() @ b, v.double() @ w + c
        of_hidden = -exact - own
        mistakes = {
            "the sign is flipped: this is log of the sum, and F is its negative": -exact,
            "the visible units' own term is missing: - b'v": exact + own,
            "the visible units' own term has the wrong sign: it is - b'v": exact + 2 * own,
            "the hidden units' term has the wrong sign: it is - sum log(1 + e^...)": exact + 2 * of_hidden,
            "the hidden biases are missing": Machine(w, b, 0 * c).free_energy(v),
            "the weights are missing": Machine(0 * w, b, c).free_energy(v),
            "the 1 is missing in log(1 + e^a): h_i = 0 is a state as well": -own - field.sum(-1),
            "this is log(1 + sum e^a): each hidden unit has a factor (1 + e^a) of its own": -own
            - torch.log1p(field.exp().sum(-1)),
            "this is the energy with h at its mean: F has the entropy of h as well": -own
            - (field * machine.hidden_means(v)).sum(-1),
            "this is the smallest energy: all states of h count": -machine.scores(v).amax(-1),
            "this is log p(v), which needs log Z: F stops before": -exact - machine.log_partition(),
            "this is exp(-F): return F": (-exact).exp(),
            "averaged over the hidden units: their factors multiply, so their logarithms add up": -own
            - of_hidden / HIDDEN,
            "in bits: use the natural logarithm": exact / math.log(2),
            "summed over the batch: each row has its own": exact.sum(),
            "averaged over the batch: each row has its own": exact.mean(),
        }
        shapes = {
            (): "one number for the whole batch: each row has its own",
            (HIDDEN,): "sum over the hidden units, the last dimension, and keep the batch",
            (ROWS, HIDDEN): "sum over the hidden units",
            (ROWS, 2**HIDDEN): "logsumexp over the states of h",
            (ROWS, 1): "drop the summed dimension: `keepdim` is not needed",
        }
        compare(answer.name, answer(v, *parameters), exact, layout="(batch,)", mistakes=mistakes, shapes=shapes)
        for far in (-300.0, 300.0):
            w, b, c = parameters
            exact = Machine(w, b, c + far).free_energy(v)
            hint = f"e^{far:.0f} leaves the range of single precision: log(1 + e^a) has a function of its own in torch"
            compare(answer.name, answer(v, w, b, c + far), exact, layout="(batch,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random machines, by listing the hidden states, and where a is -300 and 300")


def gibbs_step(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, v' ~ p(v|h), h ~ p(h|v): (batch, visible) of bits, from v, the parameters, and two tensors of uniforms."""
    answer = answer_of(function, "gibbs_step")
    for by in generators(seed, draws):
        parameters = drawn_parameters(VISIBLE, HIDDEN, by)
        machine, v = Machine(*parameters), _bits(MANY, by)
        up = machine.hidden_means(v)
        u_h = fair_uniforms(up, by)
        u_v = fair_uniforms(machine.visible_means(u_h < up), by)
        exact = (u_v < machine.visible_means(u_h < up)).double()
        found = answer(v, *parameters, u_h, u_v)
        shapes = {
            (MANY, HIDDEN): "these are the hidden bits: go down again, to v",
            (VISIBLE,): "one row for each row of v",
            (VISIBLE, MANY): "transposed: one row for each row of v",
        }
        wrong = found.shape == exact.shape and not close(found.double(), exact)
        compare(
            answer.name,
            found,
            exact,
            layout="(batch, visible)",
            mistakes=_missteps(machine, v, u_h, u_v) if wrong else {},
            shapes=shapes,
            otherwise=_what_moves(answer, found, parameters, by) if wrong else "",
        )
    for by in generators(seed, 1):
        if not _stays(answer, drawn_parameters(VISIBLE, HIDDEN, by), by):
            raise CheckFailed(f"{answer.name}: begun at exact draws from p(v), it does not stay there")
    passed(answer.name, f"on {draws} random machines, and 20000 exact draws from p(v) stay what they are")


def _missteps(machine: Machine, v: Tensor, u_h: Tensor, u_v: Tensor) -> dict[str, Tensor]:
    up = machine.hidden_means(v)
    h = u_h < up
    down = machine.visible_means(h)
    w, b, c = machine.weights, machine.visible_bias, machine.hidden_bias
    no_b, no_c, opposite = Machine(w, 0 * b, c), Machine(w, b, 0 * c), Machine(-w, -b, -c)
    means = torch.sigmoid(b + up @ w.T)
    turned = "the comparison is turned round: a unit is 1 where its uniform number is below its probability"
    found = {
        f"{turned} (the hidden units)": u_v < machine.visible_means(u_h > up),
        f"{turned} (the visible units)": u_v > down,
        f"{turned} (both layers)": u_v > machine.visible_means(u_h > up),
        "these are the probabilities of v: draw the bits with uniforms_v": down,
        "v is drawn given the probabilities of h: draw the bits of h first": u_v < means,
        "nothing is drawn: these are the means of v given the means of h": means,
        "the visible bits are rounded and not drawn: compare with uniforms_v, not with 1/2": down > 0.5,
        "the hidden bits are rounded and not drawn: compare with uniforms_h, not with 1/2": u_v
        < machine.visible_means(up > 0.5),
        "the hidden biases are missing": u_v < machine.visible_means(u_h < no_c.hidden_means(v)),
        "the visible biases are missing": u_v < no_b.visible_means(h),
        "the exponents have the opposite sign: E has a minus before each term, so that p(h = 1|v) is sigmoid(+ c + v'W)": u_v
        < opposite.visible_means(u_h < opposite.hidden_means(v)),
        "this is v as it was: return the new one": v,
    }
    return {hint: wrong.double() for hint, wrong in found.items()}


def _what_moves(answer: Answer, found: Tensor, parameters: Parameters, by: Generator) -> str:
    if not bool(((found == 0) | (found == 1)).all()):
        return "there are other numbers than 0 and 1: every unit is drawn"
    if _stays(answer, parameters, by):
        return "p(v) stays as it is, so this is a fair step, but not by these numbers: a unit is 1 where u < p"
    return "p(v) does not stay as it is: first h given v, then v given that h, each unit 1 where u < p"


def _stays(answer: Answer, parameters: Parameters, by: Generator, rows: int = 20_000) -> bool:
    """Exact draws from p(v), one step later, in six standard errors for each state that is not too rare."""
    machine = Machine(*parameters)
    p = machine.probabilities()
    v = machine.v[torch.multinomial(p, rows, replacement=True, generator=by)].float()
    u_h, u_v = torch.rand(rows, HIDDEN, generator=by), torch.rand(rows, VISIBLE, generator=by)
    after = answer(v, *parameters, u_h, u_v).double()
    number = (after @ 2.0 ** torch.arange(VISIBLE - 1, -1, -1).double()).long()
    frequency = torch.bincount(number, minlength=len(p)).double() / rows
    common = rows * p > 100
    error = (p * (1 - p) / rows).sqrt()
    return bool(((frequency - p).abs() < 6 * error)[common].all())


def cd_gradient(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, what contrastive divergence adds to W: (visible, hidden) from data, the chains' ends, and the parameters."""
    answer = answer_of(function, "cd_gradient")
    for by in generators(seed, draws):
        parameters = w, b, c = drawn_parameters(VISIBLE, HIDDEN, by)
        data, chain = _bits(ROWS, by), _bits(CHAINS, by)
        machine = Machine(*parameters)
        of_data, of_chain = _slope(machine, data), _slope(machine, chain)
        exact = of_data - of_chain
        no_c = Machine(w, b, 0 * c)
        mistakes = {
            "the sign is flipped: this is the gradient of the loss, and learning ascends": -exact,
            "the negative phase is missing: subtract the chains' average": of_data,
            "the positive phase is missing: the data's average comes first": -of_chain,
            "the two phases are added: the chains' average is subtracted": of_data + of_chain,
            "summed over the rows: each phase is an average": ROWS * of_data - CHAINS * of_chain,
            "both sums are divided by the number of data: the chains are averaged over their own number": of_data
            - of_chain * CHAINS / ROWS,
            "both phases are divided by all rows together: each by its own number": (
                (ROWS * of_data - CHAINS * of_chain) / (ROWS + CHAINS)
            ),
            "the hidden units are rounded: their means are known, so use the means": _product(
                machine, data, rounded=True
            )
            - _product(machine, chain, rounded=True),
            "the hidden biases are missing in p(h|v)": _product(no_c, data) - _product(no_c, chain),
            "v and h are averaged apart: average their product": _product(machine, data, apart=True)
            - _product(machine, chain, apart=True),
            "the visible units are missing in the product v h'": (
                machine.hidden_means(data).mean(0) - machine.hidden_means(chain).mean(0)
            ).expand(VISIBLE, -1),
            "sigmoid is missing: h is a mean between 0 and 1": _product(machine, data, linear=True)
            - _product(machine, chain, linear=True),
            "this is averaged over the entries as well": exact / (VISIBLE * HIDDEN),
            "this is the weights after a step: return the step alone": w.double() + exact,
        }
        shapes: dict[tuple[int, ...], str] = {
            (HIDDEN, VISIBLE): "transposed: weights are (visible, hidden)",
            (): "one number for each weight",
            (HIDDEN,): "this is the hidden biases' gradient: the weights meet v too",
            (VISIBLE,): "this is the visible biases' gradient: the weights meet h too",
            (ROWS, VISIBLE, HIDDEN): "one matrix for each row: average over the rows",
        }
        found = answer(data, chain, *parameters)
        layout = "(visible, hidden)"
        hint = "the average of v h' over the data less its average over the chains, with h at its mean given v"
        compare(answer.name, found, exact, layout=layout, mistakes=mistakes, shapes=shapes, otherwise=hint)
    passed(answer.name, f"on {draws} random machines, by finite differences of the free energy")


def _slope(machine: Machine, v: Tensor, step: float = 1e-4) -> Tensor:
    """d mean(-F(v)) / dW, by central differences."""
    slope = torch.zeros_like(machine.weights)
    for place in range(slope.numel()):
        ends = []
        for sign in (1, -1):
            moved = machine.weights.clone()
            moved.view(-1)[place] += sign * step
            ends.append(-Machine(moved, machine.visible_bias, machine.hidden_bias).free_energy(v).mean())
        slope.view(-1)[place] = (ends[0] - ends[1]) / (2 * step)
    return slope


def _product(
    machine: Machine, v: Tensor, *, rounded: bool = False, apart: bool = False, linear: bool = False
) -> Tensor:
    h = machine.hidden_means(v)
    if rounded:
        h = (h > 0.5).double()
    if linear:
        h = v.double() @ machine.weights + machine.hidden_bias
    if apart:
        return torch.outer(v.double().mean(0), h.mean(0))
    return v.double().T @ h / len(v)


CHAIN_BUGS = {
    "restarts": "each update begins at `start` again: a persistent chain goes on where it ended",
    "turned": "h is on with 1 - p: the conditional of an energy with the opposite sign",
}
END_BUGS = {
    "": "",
    "means": "the chain holds probabilities, and uniforms_v is not used: draw its bits",
    "attached": (
        "the gradient flows through the chain's own draw: it is a state, and no function of the weights, so draw its bits"
    ),
}


def mended_pcd(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 6, the bug hunt: the weights (visible, hidden) after as many updates of PCD as there are uniforms."""
    answer = answer_of(function, "mended_pcd")
    for by in generators(seed, draws):
        arguments, exact = _pcd(by)
        data, start, w, b, c, u_h, u_v, rate = arguments
        mistakes = dict(_half_mended(arguments))
        mistakes |= {
            "the weights go down in likelihood: they descend F of the data, and climb F of the chain": _as_written(
                data, start, w, b, c, u_h, u_v, -rate
            ),
            "nothing is learned: return the new weights": w.double(),
            "only one update is made: one for each row of uniforms": _as_written(
                data, start, w, b, c, u_h[:1], u_v[:1], rate
            ),
            "the learning rate is missing: it was right": _as_written(data, start, w, b, c, u_h, u_v, 1.0),
            "this is the change of the weights: return the weights": exact - w.double(),
            "the chain is updated before the first gradient only: every update moves it": _as_written(
                data, start, w, b, c, u_h, u_v, rate, frozen=True
            ),
        }
        shapes: dict[tuple[int, ...], str] = {
            (HIDDEN, VISIBLE): "transposed: weights are (visible, hidden)",
            (CHAINS, VISIBLE): "these are the chains: return the weights",
        }
        compare(
            answer.name,
            answer(*arguments),
            exact,
            layout="(visible, hidden)",
            mistakes=mistakes,
            shapes=shapes,
            otherwise="a line is changed that was right, or a bug is left: what is the chain's state after each update?",
        )
    passed(answer.name, f"all three bugs are gone, on {draws} random machines")


Training = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, float]


def _pcd(by: Generator, updates: int = 6) -> tuple[Training, Tensor]:
    """Arguments of the task and its answer, update by update from the list of states."""
    weights, b, c = drawn_parameters(VISIBLE, HIDDEN, by)
    data, start, rate = _bits(ROWS, by), _bits(CHAINS, by), 0.2 + 0.2 * float(torch.rand((), generator=by))
    uniforms_h, uniforms_v = [], []
    w, chain = weights.double(), start
    for _ in range(updates):
        machine = Machine(w, b, c)
        uniforms_h.append(fair_uniforms(machine.hidden_means(chain), by))
        h = uniforms_h[-1] < machine.hidden_means(chain)
        uniforms_v.append(fair_uniforms(machine.visible_means(h), by))
        chain = (uniforms_v[-1] < machine.visible_means(h)).double()
        w = w + rate * (_product(machine, data) - _product(machine, chain))
    return (data, start, weights, b, c, torch.stack(uniforms_h), torch.stack(uniforms_v), rate), w


def _half_mended(arguments: Training) -> Iterator[tuple[str, Tensor]]:
    for restarts in (False, True):
        for turned in (False, True):
            for end, of_end in END_BUGS.items():
                hints = [CHAIN_BUGS["restarts"]] * restarts + [CHAIN_BUGS["turned"]] * turned + [of_end] * bool(end)
                if hints:
                    yield "; and ".join(hints), _as_written(*arguments, restarts=restarts, turned=turned, end=end)


def _as_written(
    data: Tensor,
    start: Tensor,
    weights: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    uniforms_h: Tensor,
    uniforms_v: Tensor,
    rate: float,
    *,
    restarts: bool = False,
    turned: bool = False,
    end: str = "",
    frozen: bool = False,
) -> Tensor:
    """The exercise's function with some of its bugs, by autograd in float64."""
    b, c, chain = visible_bias.double(), hidden_bias.double(), start.double()

    def energy(v: Tensor, w: Tensor) -> Tensor:
        return (-v @ b - F.softplus(c + v @ w).sum(-1)).mean()

    moved = False
    for u_h, u_v in zip(uniforms_h, uniforms_v, strict=True):
        w = weights.detach().double().requires_grad_()
        if not (frozen and moved):
            before = start.double() if restarts else chain.detach()
            up = torch.sigmoid(c + before @ w)
            h = ((u_h > up) if turned else (u_h < up)).double()
            down = torch.sigmoid(b + h @ w.T)
            chain, moved = {"attached": down, "means": down.detach(), "": (u_v < down).double()}[end], True
        (gradient,) = torch.autograd.grad(energy(data.double(), w) - energy(chain, w), w)
        weights = w.detach() - rate * gradient
    return weights


def _bits(rows: int, by: Generator) -> Tensor:
    return torch.randint(2, (rows, VISIBLE), generator=by).float()
