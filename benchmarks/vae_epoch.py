"""One epoch of the 784-400-20 VAE over 60,000 images in batches of 128: our `Trainer` beside its limits and its peers.

    python -m benchmarks.vae_epoch                     all contestants on the CPU
    python -m benchmarks.vae_epoch --only bare roofline
    python -m benchmarks.vae_epoch --device cuda       the captured step beside our eager one

All run in one process, one after another in each round; a ratio is the median over the rounds of the ratio in a round.
Ours is what a reader runs: reports every 50 steps, knobs, checks for divergence, the last good state kept.
"""

import argparse
import os
import sys
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.record import speed
from benchmarks.timing import Work, paired
from gmnm_lib import hardware
from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer

PIXELS, HIDDEN, LATENT, BATCH, EXAMPLES = 784, 400, 20, 128, 60_000
STEPS = EXAMPLES // BATCH

GOALS = {  # ratio is peer over ours: above 1 we are faster
    "bare": "ratio >= 0.91 (ours <= 1.10 x the bare loop)",
    "roofline": "ratio >= 0.476 (ours <= 2.1 x its matrix products)",
    "pyro": "ratio >= 2.8, aim 4",
    "pythae": "ratio >= 2.2, aim 3",
    "pytorch_examples": "ratio >= 2.9, aim 4.5",
    "pytorch_examples_tensors": "none: the same loop without the cost of its images' decoding",
}
SAID = {
    "bare": "bare loop by hand, fused Adam",
    "roofline": "its matrix products alone",
    "pyro": "Pyro SVI, Trace_ELBO, DataLoader over float tensors (as examples/vae)",
    "pythae": "pythae BaseTrainer.train_step",
    "pytorch_examples": "pytorch/examples vae loop, DataLoader with emulated PIL images and ToTensor",
    "pytorch_examples_tensors": "pytorch/examples vae loop, DataLoader over a TensorDataset",
}


def images() -> tuple[Tensor, str]:
    """(60000, 784) in [0, 1], and what they are: MNIST's training images, or noise where there is no MNIST."""
    if not os.environ.get("GMNM_DATA"):
        generator = torch.Generator().manual_seed(0)
        return torch.rand(EXAMPLES, PIXELS, generator=generator), "seeded random grey images: GMNM_DATA is not set"
    mnist = load("mnist")
    return torch.cat([mnist.train, mnist.valid]), "MNIST's 60,000 training images"


def ours(data: Tensor, device: str = "cpu", graph: bool = True) -> Work:
    trainer = Trainer(VAE(PIXELS, HIDDEN, LATENT), data, batch_size=BATCH, device=device, graph=graph)

    def epoch() -> None:
        for _ in trainer.run(epochs=1):
            pass

    return epoch


def bare(data: Tensor) -> Work:
    """What a good engineer writes by hand in plain torch: no distributions, no reports, no knobs."""
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)

    def epoch() -> None:
        order = torch.randperm(EXAMPLES)
        total = torch.zeros(())
        for step in range(STEPS):
            x = data[order[step * BATCH : (step + 1) * BATCH]]
            mean, log_variance = encoder(x).chunk(2, dim=-1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            distortion = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
            loss = (distortion + kl) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()

    return on_best_path(epoch)


def roofline() -> Work:
    """The matrix products of an epoch, forward and backward, and nothing else."""
    encoder, decoder = pairwise((PIXELS, HIDDEN, 2 * LATENT)), pairwise((LATENT, HIDDEN, PIXELS))
    layers = [
        (torch.randn(BATCH, inputs), torch.randn(outputs, inputs), torch.randn(BATCH, outputs))
        for inputs, outputs in (*encoder, *decoder)
    ]

    def epoch() -> None:
        for _ in range(STEPS):
            for depth, (x, weight, gradient) in enumerate(layers):
                x @ weight.T
                gradient.T @ x
                if depth:  # nobody asks for the gradient of the data
                    gradient @ weight

    return on_best_path(epoch)


def on_best_path(epoch: Work) -> Work:
    path = hardware.best_matmul()

    def run() -> None:
        with hardware.matmul(path):
            epoch()

    return run


def told(taken: dict[str, list[float]]) -> None:
    """Progress, on the standard error."""
    print("  ".join(f"{name} {times[-1]:.2f} s" for name, times in taken.items()), file=sys.stderr, flush=True)


def on_cpu(rounds: int, names: list[str], dry: bool) -> list[str]:
    data, what = images()
    torch.manual_seed(0)
    contestants = {"ours": ours(data), "bare": bare(data), "roofline": roofline()}
    if peers := set(names) - set(contestants):
        contestants |= peers_of(data, peers)
    taken = paired({name: contestants[name] for name in ("ours", *names)}, rounds, after_round=told)
    return [
        speed(
            f"vae_epoch_{name}",
            ours=taken["ours"],
            peer=taken[name],
            peer_name=SAID[name],
            goal=GOALS[name],
            unit="s",
            least=taken.get("roofline", ()) if name != "roofline" else (),
            command="python -m benchmarks.vae_epoch",
            dry=dry,
            packages={"pyro": ["pyro-ppl"], "pythae": ["pythae"]}.get(name, []),
            data=what,
            threads=torch.get_num_threads(),
            matmul=hardware.best_matmul(),
        )
        for name in names
    ]


def peers_of(data: Tensor, names: set[str]) -> dict[str, Work]:
    try:
        from benchmarks import vae_peers
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed here: run `make bench`, which builds the peers' own environment"
        ) from None
    return {name: vae_peers.PEERS[name](data, BATCH, HIDDEN, LATENT) for name in sorted(names)}


def on_gpu(rounds: int, dry: bool) -> list[str]:
    hardware.device("cuda")
    data, what = images()
    taken = paired({"captured": ours(data, "cuda"), "eager": ours(data, "cuda", graph=False)}, rounds, after_round=told)
    return [
        speed(
            "vae_epoch_captured",
            ours=taken["captured"],
            peer=taken["eager"],
            peer_name="our own step, eager",
            goal="ratio >= 5",
            unit="s",
            command="python -m benchmarks.vae_epoch --device cuda",
            dry=dry,
            data=what,
            gpu=torch.cuda.get_device_name(),
        )
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="One epoch of the VAE, ours beside its limits and its peers.")
    parser.add_argument("--rounds", type=int, default=9, help="paired epochs of each (default: 9)")
    parser.add_argument("--only", nargs="+", choices=GOALS, default=list(GOALS), help="measure against these alone")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args(arguments)
    try:
        if options.device == "cuda":
            lines = on_gpu(options.rounds, options.dry)
        else:
            lines = on_cpu(options.rounds, options.only, options.dry)
    except InputError as error:
        sys.exit(f"benchmarks: {error}.")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
