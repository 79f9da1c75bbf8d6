"""A gradient step of the sequence models beside straightforward loops over time, and a deep Markov model beside Pyro's.

    python -m benchmarks.sequences [--rounds 15] [--dry] [--only NAME ...]

Each pair has the same weights and computes the same loss: before anything is timed, loss and gradients are compared (1e-4
relative; with Pyro, which draws its own noise, the means of many losses). All run in one process, one after another in each
round. Then the memory that a step of 2000 time steps adds, and how time grows with length.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from benchmarks import timing
from benchmarks.record import record, significant, speed
from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.storn import STORN
from gmnm_lib.models.vrnn import VRNN
from gmnm_lib.networks import diagonal_normal, standard_normal
from gmnm_lib.recurrences import at_rest, cell_step, recurrent_cell

BATCH, STEPS, KEYS, HIDDEN, LATENT = 32, 60, 88, 200, 32
COMMAND = "python -m benchmarks.sequences"
SHAPE = f"{BATCH} sequences, {STEPS} steps, {KEYS} keys, h {HIDDEN}, z {LATENT}"


class Case(NamedTuple):
    """Two losses of one batch and the parameters that they share."""

    ours: Callable[[], Tensor]
    peer: Callable[[], Tensor]
    parameters: list[nn.Parameter]
    peer_name: str
    goal: str
    has_same_noise: bool = True


def scores(steps: int = STEPS) -> Sequences:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(BATCH, steps, KEYS, generator=generator) < 0.05).float()
    return Sequences(x, torch.full((BATCH,), steps))


def vrnn(cell: str) -> Case:
    torch.manual_seed(0)
    model, batch = VRNN(KEYS, HIDDEN, LATENT, cell=cell), scores()
    epsilon = torch.randn(BATCH, STEPS, LATENT)

    def straightforward() -> Tensor:
        state, total = model.start(BATCH), torch.zeros(())
        for t in range(STEPS):
            x, h = batch.x[:, t], state[0]
            x_features = model.phi_x(x)
            p, q = model.prior(h), model.encode(x_features, h)
            z_features = model.phi_z(q.mean + q.stddev * epsilon[:, t])
            total = total + (kl_divergence(q, p) - model.decode(z_features, h).log_prob(x)).sum()
            state = model.recur(x_features, z_features, state)
        return total / (BATCH * STEPS)

    return Case(
        lambda: model.loss(batch, epsilon=epsilon).total,
        straightforward,
        list(model.parameters()),
        "a plain torch loop over eqs. 5 to 11",
        "ratio >= 1.5",
    )


def storn(cell: str) -> Case:
    torch.manual_seed(0)
    model, batch = STORN(KEYS, HIDDEN, LATENT, cell=cell), scores()
    epsilon = torch.randn(BATCH, STEPS, LATENT)
    generation, recognition = as_cell(model.generation, cell), as_cell(model.recognition, cell)

    def loop_over_cells() -> Tensor:
        before, total = torch.zeros(BATCH, KEYS), torch.zeros(())
        h, r = at_rest(generation, BATCH), at_rest(recognition, BATCH)
        for t in range(STEPS):
            x = batch.x[:, t]
            r = cell_step(recognition, x, r)
            q = diagonal_normal(*model.to_posterior(r[0]).chunk(2, 1))
            z = q.mean + q.stddev * epsilon[:, t]
            h = cell_step(generation, torch.cat((before, z), 1), h)
            kl = kl_divergence(q, standard_normal(torch.zeros_like(z)))
            total = total + (kl - model.output(model.to_x(h[0])).log_prob(x)).sum()
            before = x
        return total / (BATCH * STEPS)

    return Case(
        lambda: model.loss(batch, epsilon=epsilon).total,
        loop_over_cells,
        list(model.parameters()),
        "a plain torch loop over two cells",
        "ratio >= 2.5",
    )


def as_cell(rnn: nn.RNNBase, cell: str) -> nn.RNNCellBase:
    """A cell that shares the weights of a fused network."""
    own = recurrent_cell(cell, rnn.input_size, rnn.hidden_size)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(own, name, getattr(rnn, f"{name}_l0"))
    return own


def deep_markov_model() -> Case:
    from benchmarks.deep_markov_model import DeepMarkovModel, PyroProgram

    torch.manual_seed(0)
    model, batch = DeepMarkovModel(KEYS, HIDDEN, LATENT), scores()
    program = PyroProgram(model)
    return Case(
        lambda: model.loss(batch),
        lambda: program.loss(batch),
        list(model.parameters()),
        "the same model as a Pyro program, Trace_ELBO",
        "ratio >= 2.4",
        has_same_noise=False,
    )


CASES: dict[str, Callable[[], Case]] = {
    "vrnn_gru": lambda: vrnn("gru"),
    "vrnn_lstm": lambda: vrnn("lstm"),
    "storn_tanh": lambda: storn("tanh"),
    "deep_markov_model": deep_markov_model,
}
MODELS: dict[str, Callable[[], VRNN | STORN]] = {
    "vrnn": lambda: VRNN(KEYS, HIDDEN, LATENT),
    "storn": lambda: STORN(KEYS, HIDDEN, LATENT),
}


def disagreement(case: Case) -> float:
    """The largest relative difference of a gradient; where each draws its own noise, that of the mean loss in standard errors."""
    if not case.has_same_noise:
        with torch.no_grad():
            a, b = (torch.stack([loss() for _ in range(30)]) for loss in (case.ours, case.peer))
        return float((a.mean() - b.mean()).abs() / ((a.var() + b.var()) / len(a)).sqrt())
    ours, theirs = (torch.autograd.grad(loss(), case.parameters) for loss in (case.ours, case.peer))
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs, strict=True))


def seconds(loss: Callable[[], Tensor], parameters: list[nn.Parameter]) -> float:
    for parameter in parameters:
        parameter.grad = None
    return timing.seconds(lambda: loss().backward())


def growth(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a VRNN's and a STORN's step by length: a straight line where time is linear."""
    return {
        name: {str(steps): significant(1000 * step_seconds(make(), steps, rounds)) for steps in (60, 250, 1000)}
        for name, make in MODELS.items()
    }


def step_seconds(model: VRNN | STORN, steps: int, rounds: int) -> float:
    """The median of a gradient step's, after one to warm up."""
    batch, parameters = scores(steps), list(model.parameters())
    taken = [seconds(lambda: model.loss(batch).total, parameters) for _ in range(rounds + 1)]
    return statistics.median(taken[1:])


def peak_memory(name: str, steps: int) -> float:
    """MiB that a gradient step of that length adds to a process at its peak; in a process of its own."""
    code = f"from benchmarks.sequences import added_memory; print(added_memory({name!r}, {steps}))"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def added_memory(name: str, steps: int) -> float:
    model, batch = MODELS[name](), scores(steps)
    model.loss(scores(2)).total.backward()  # libraries are loaded by now
    before = kibibytes("VmRSS")
    model.loss(batch).total.backward()
    return (kibibytes("VmHWM") - before) / 1024


def kibibytes(field: str) -> int:
    """Of this process, by Linux's account: VmRSS is what it holds, VmHWM the most that it held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Sequence models beside plain loops and Pyro.")
    parser.add_argument("--rounds", type=int, default=15, help="paired runs of each (default: 15)")
    parser.add_argument("--only", nargs="*", choices=[*CASES, "growth"], help="these alone (default: all)")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args(arguments)
    for name in [name for name in CASES if name in (options.only or CASES)]:
        case = CASES[name]()
        off, allowed = disagreement(case), 1e-4 if case.has_same_noise else 4.0
        if not off <= allowed:
            sys.exit(f"{name}: ours and its peer do not compute the same ({off:.2g}, {allowed:g} allowed)")
        taken = timing.paired(
            {"ours": case.ours, "peer": case.peer},
            options.rounds,
            measure=lambda loss, of=case.parameters: seconds(loss, of),
        )
        line = speed(
            f"sequences_{name}",
            **taken,
            peer_name=case.peer_name,
            goal=case.goal,
            unit="s",
            command=COMMAND,
            dry=options.dry,
            packages=["pyro-ppl"] if name == "deep_markov_model" else [],
            data=SHAPE,
            threads=torch.get_num_threads(),
        )
        print(f"{line}; agrees to {off:.1g}", flush=True)
    if not options.only or "growth" in options.only:
        grown = growth(3)
        memory = {name: round(peak_memory(name, 2000)) for name in MODELS}
        print(grown, memory)
        if not options.dry:
            record("sequences_growth", kind="growth", milliseconds=grown, mib_at_2000_steps=memory, command=COMMAND)


if __name__ == "__main__":
    main()
