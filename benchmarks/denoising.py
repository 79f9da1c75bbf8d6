"""Chains of denoisers: a 784-1500-1500 GSN and Langevin dynamics in the plane, beside plain torch.

    python -m benchmarks.denoising [--rounds 9] [--steps 40]

The GSN's peer updates layers in the order of its authors' program (odd ones, then even ones) with the draws that torch offers.
Both do the same four products a step, most of either's time.
Langevin's peer takes the score by autograd from torch's own mixture, and a new tensor for each operation.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from benchmarks.record import speed
from benchmarks.timing import Work, paired, seconds
from gmnm_lib import hardware
from gmnm_lib.data import load
from gmnm_lib.densities import GaussianMixture
from gmnm_lib.models.dae import DenoisingMLP
from gmnm_lib.models.gsn import GSN
from gmnm_lib.randomness import uniform_like
from gmnm_lib.samplers import langevin_step

CHAINS, WALKERS, STEP_SIZE = 100, 10_000, 0.01
COMMAND = "python -m benchmarks.denoising"


def our_gsn(model: GSN, start: Tensor, steps: int) -> Work:
    def walk() -> None:
        step, state = model.chain_step(), model.start(start)
        with hardware.matmul(hardware.best_matmul()):
            for _ in range(steps):
                state = step(state)

    return walk


def plain_gsn(model: GSN, start: Tensor, steps: int) -> Work:
    """A function a layer, a draw a decision, a new tensor an operation."""
    weights, biases = [w.detach() for w in model.weights], [b.detach() for b in model.biases]
    top = len(weights)

    def noisy(x: Tensor, sigma: float = 2.0) -> Tensor:
        return x + sigma * torch.randn_like(x)

    def salt_and_pepper(x: Tensor, p: float = 0.4) -> Tensor:
        kept = torch.bernoulli(torch.full_like(x, 1 - p))
        coin = torch.bernoulli(torch.full_like(x, 0.5))
        return x * kept + coin * (1 - kept)

    def update(h: list[Tensor], i: int) -> Tensor:
        if i == 0:
            p = torch.sigmoid(h[1] @ weights[0].T + biases[0])
            return salt_and_pepper(torch.bernoulli(p))
        a = h[i - 1] @ weights[i - 1] + biases[i]
        if i < top:
            a = a + h[i + 1] @ weights[i].T
        return torch.tanh(a) if i == 1 else noisy(torch.tanh(noisy(a)))

    @torch.no_grad()
    def walk() -> None:
        h = [salt_and_pepper(start), *(start.new_zeros(len(start), w.shape[1]) for w in weights)]
        for _ in range(steps):
            for i in (*range(1, top + 1, 2), *range(0, top + 1, 2)):
                h[i] = update(h, i)

    return walk


def least(model: GSN, start: Tensor, steps: int) -> Work:
    """The step's four matrix products and its random numbers: two normals a unit of h_2, one coin a pixel."""
    first, second = (w.detach() for w in model.weights)
    h, pixels = torch.zeros(len(start), second.shape[0]), torch.zeros_like(start)

    def walk() -> None:
        with hardware.matmul(hardware.best_matmul()):
            for _ in range(steps):
                up = torch.mm(start, first).addmm_(h, second.T)
                up @ second, up @ first.T
                torch.randn_like(h), torch.randn_like(h)
                uniform_like(pixels)

    return walk


def our_langevin(score: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Work:
    step = langevin_step(score, STEP_SIZE, steps)
    return lambda: step(start)


def plain_langevin(density: Any, start: Tensor, steps: int) -> Work:
    def walk() -> None:
        x = start
        for _ in range(steps):
            x = x.detach().requires_grad_()
            (score,) = torch.autograd.grad(density.log_prob(x).sum(), x)
            x = x + STEP_SIZE * score + math.sqrt(2 * STEP_SIZE) * torch.randn_like(x)

    return walk


def plain_network(model: DenoisingMLP, start: Tensor, steps: int) -> Work:
    @torch.no_grad()
    def walk() -> None:
        x = start
        for _ in range(steps):
            x = x + STEP_SIZE * model.score(x, 0.3) + math.sqrt(2 * STEP_SIZE) * torch.randn_like(x)

    return walk


def cases(steps: int) -> dict[str, tuple[dict[str, Work], str, str, float]]:
    """Contestants, the peer's name, the goal, and by what seconds are divided: steps, or millions of chain-steps."""
    torch.manual_seed(0)
    gsn, digits = GSN(), load("mnist-5k").train[:CHAINS]
    means, walkers = 2 * torch.randn(4, 2), torch.randn(WALKERS, 2)
    deviations = torch.full((4, 2), 0.5)
    plain = MixtureSameFamily(
        Categorical(torch.ones(4)), Independent(Normal(means, deviations), 1), validate_args=False
    )
    mixture, network = GaussianMixture(torch.ones(4), means, 0.25), DenoisingMLP(2, (64,))
    millions = WALKERS * steps / 1e6
    quick = "ours <= 0.25 s a million chain-steps"
    return {
        "gsn": (
            {
                "ours": our_gsn(gsn, digits, steps),
                "peer": plain_gsn(gsn, digits, steps),
                "least": least(gsn, digits, steps),
            },
            "plain torch in the order of its authors' program",
            "ratio >= 1.6",
            steps,
        ),
        "langevin_mixture": (
            {
                "ours": our_langevin(mixture.score, walkers, steps),
                "peer": plain_langevin(plain, walkers, steps),
            },
            "torch's mixture and autograd",
            quick,
            millions,
        ),
        "langevin_network": (
            {
                "ours": our_langevin(lambda x: network.score(x, 0.3), walkers, steps),
                "peer": plain_network(network, walkers, steps),
            },
            "the same 2-64-2 network, a new tensor an operation",
            quick,
            millions,
        ),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A GSN's chain and Langevin dynamics beside plain torch.")
    parser.add_argument("--rounds", type=int, default=9, help="paired runs of each (default: 9)")
    parser.add_argument("--steps", type=int, default=40, help="steps of a chain in each run (default: 40)")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args(arguments)
    for name, (contestants, peer_name, goal, divisor) in cases(options.steps).items():
        taken = paired(contestants, options.rounds, measure=lambda work, by=divisor: seconds(work) / by)
        unit = "s a step" if name.startswith("gsn") else "s a million chain-steps"
        line = speed(
            f"denoising_{name}",
            **taken,
            peer_name=peer_name,
            goal=goal,
            unit=unit,
            command=COMMAND,
            dry=options.dry,
            threads=torch.get_num_threads(),
            matmul=hardware.best_matmul(),
        )
        print(line, flush=True)


if __name__ == "__main__":
    main()
