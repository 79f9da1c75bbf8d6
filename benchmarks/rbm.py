"""Training and sampling a 784-500 RBM beside scikit-learn's BernoulliRBM and a plain torch loop.

    python -m benchmarks.rbm [--rounds 9] [--examples 10000]

All run in one process, one after another in each round. scikit-learn's `fit` is stochastic maximum likelihood, which is
persistent contrastive divergence with one step a batch; ours, CD-1 from the data, does the same products of the same sizes,
with reports, knobs and checks for divergence. Both descend plainly (no momentum) from the same learning rate.
"""

import argparse
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.neural_network import BernoulliRBM
from torch import Tensor, nn

from benchmarks.record import speed
from benchmarks.timing import Work, paired
from gmnm_lib import hardware
from gmnm_lib.data import load
from gmnm_lib.models.rbm import RBM
from gmnm_lib.randomness import uniform_like
from gmnm_lib.trainer import Trainer

VISIBLE, HIDDEN, BATCH, RATE = 784, 500, 100, 0.01
CHAINS, SWEEPS, PERSISTENT_STEPS = 100, 200, 15
COMMAND = "python -m benchmarks.rbm"


def digits(examples: int) -> Tensor:
    """(examples, 784) bits: MNIST's bundled digits, cut at a half and repeated up to that number."""
    bundled = load("mnist-5k").train
    return (bundled.repeat(-(-examples // len(bundled)), 1)[:examples] > 0.5).float()


def descent(parameters: Iterable[nn.Parameter], lr: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, fused=True)


def ours(data: Tensor, **options: Any) -> Work:
    knobs = {"k": options.pop("k", 1)}
    torch.manual_seed(0)
    rbm = RBM(VISIBLE, HIDDEN, **options)
    trainer = Trainer(rbm, data, batch_size=BATCH, lr=RATE, knobs=knobs, device="cpu", optimizer=descent)
    return lambda: list(trainer.run(epochs=1))


def sklearn_epoch(data: Tensor, dtype: torch.dtype) -> Work:
    x = data.to(dtype).numpy()
    machine = BernoulliRBM(HIDDEN, learning_rate=RATE, batch_size=BATCH, n_iter=1, random_state=0)
    return lambda: machine.fit(x)


def plain_loop(data: Tensor, steps: int) -> Work:
    """Persistent contrastive divergence as tutorials write it: linear, sigmoid, bernoulli, the gradient by autograd."""
    torch.manual_seed(0)
    weights = nn.Parameter(0.01 * torch.randn(HIDDEN, VISIBLE))
    visible_bias, hidden_bias = nn.Parameter(torch.zeros(VISIBLE)), nn.Parameter(torch.zeros(HIDDEN))
    optimizer = torch.optim.SGD([weights, visible_bias, hidden_bias], lr=RATE)
    chain = torch.bernoulli(torch.full((BATCH, VISIBLE), 0.5))

    def free_energy(v: Tensor) -> Tensor:
        return -v.mv(visible_bias) - F.softplus(F.linear(v, weights, hidden_bias)).sum(1)

    def epoch() -> None:
        nonlocal chain
        for v in data[torch.randperm(len(data))].split(BATCH):
            for _ in range(steps):
                h = torch.bernoulli(torch.sigmoid(F.linear(chain, weights, hidden_bias)))
                chain = torch.bernoulli(torch.sigmoid(F.linear(h, weights.t(), visible_bias)))
            chain = chain.detach()
            loss = free_energy(v).mean() - free_energy(chain).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def our_sampling(data: Tensor) -> Work:
    rbm, start = RBM(VISIBLE, HIDDEN, base=data.mean(0)), data[:CHAINS]

    @torch.no_grad()
    def sweeps() -> None:
        v = start
        with hardware.matmul(hardware.best_matmul()):
            for _ in range(SWEEPS):
                v = rbm.gibbs_step(v)

    return sweeps


def sklearn_sampling(data: Tensor) -> Work:
    machine = BernoulliRBM(HIDDEN, n_iter=1, batch_size=BATCH, random_state=0).fit(data[:BATCH].numpy())
    start = data[:CHAINS].numpy()

    def sweeps() -> None:
        v = start
        for _ in range(SWEEPS):
            v = machine.gibbs(v)

    return sweeps


def least(up: int, down: int, gradients: int, times: int) -> Work:
    """The matrix products, `times` over, v W `up` times, h W' `down` times and v'h of so many gradients, and random numbers.

    One for each unit of each h that is drawn and of the v that is drawn from it, as the library draws them.
    """
    v, w, h = torch.randn(BATCH, VISIBLE), torch.randn(VISIBLE, HIDDEN), torch.randn(BATCH, HIDDEN)
    of_w = torch.zeros(VISIBLE, HIDDEN)

    def work() -> None:
        with hardware.matmul(hardware.best_matmul()):
            for _ in range(times):
                for _ in range(up):
                    v @ w
                for _ in range(down):
                    uniform_like(h), h @ w.T, uniform_like(v)
                for _ in range(gradients):
                    torch.mm(v.T, h, out=of_w)

    return work


def cases(data: Tensor) -> dict[str, tuple[dict[str, Work], str, str]]:
    """Contestants, the peer's name, the goal. A batch's gradient has two products, that of the data and that of the chain."""
    fewer = data[: max(BATCH, len(data) // 10 // BATCH * BATCH)]  # fifteen steps a batch: a tenth of an epoch tells
    batches, fewer_batches = len(data) // BATCH, len(fewer) // BATCH
    found = {}
    for name, dtype, said, goal in (
        ("cd1_float32", torch.float32, "float32", "ratio >= 2.4"),
        ("cd1_float64", torch.float64, "its default float64", "ratio >= 4"),
    ):
        contestants = {"ours": ours(data), "peer": sklearn_epoch(data, dtype), "least": least(2, 1, 2, batches)}
        peer_name = f"scikit-learn BernoulliRBM.fit, one step of persistent chains a batch, {said}"
        found[name] = contestants, peer_name, goal
    contestants = {
        "ours": ours(fewer, particles=BATCH, k=PERSISTENT_STEPS),
        "peer": plain_loop(fewer, PERSISTENT_STEPS),
        "least": least(PERSISTENT_STEPS + 2, PERSISTENT_STEPS, 2, fewer_batches),
    }
    found["pcd15"] = contestants, "a plain torch loop of linear, sigmoid, bernoulli", "ratio >= 2.5"
    contestants = {"ours": our_sampling(data), "peer": sklearn_sampling(data), "least": least(1, 1, 0, SWEEPS)}
    found["gibbs_100_chains"] = contestants, f"scikit-learn BernoulliRBM.gibbs, {SWEEPS} steps", "ratio >= 2.3"
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="An RBM's training and sampling beside scikit-learn and plain torch.")
    parser.add_argument("--rounds", type=int, default=9, help="paired runs of each (default: 9)")
    parser.add_argument("--examples", type=int, default=10_000, help="rows of an epoch (default: 10000)")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args(arguments)
    for name, (contestants, peer_name, goal) in cases(digits(options.examples)).items():
        line = speed(
            f"rbm_{name}",
            **paired(contestants, options.rounds),
            peer_name=peer_name,
            goal=goal,
            unit="s",
            command=COMMAND,
            packages=[] if name == "pcd15" else ["scikit-learn"],
            dry=options.dry,
            data=f"{options.examples} of MNIST's digits as bits",
            threads=torch.get_num_threads(),
            matmul=hardware.best_matmul(),
        )
        print(line, flush=True)


if __name__ == "__main__":
    main()
