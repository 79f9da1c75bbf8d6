"""A gradient step of DRAW beside a straightforward eager implementation of the same equations.

    python -m benchmarks.draw [--rounds 9] [--dry]
    python -m benchmarks.draw --device cuda            the captured step beside our eager one, T = 64

T = 10, LSTMs of 256 units, 100 latent numbers a step, 5 x 5 filters, 100 images: what the reproduction's CPU profile trains.
The peer follows the paper line by line, as public implementations do: two filter banks and two reads a step, one linear layer
a quantity. Both start from the same parameters; loss and gradients are compared before anything is timed.
"""

import argparse
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.record import speed
from benchmarks.timing import Work, paired, seconds
from gmnm_lib import hardware
from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.models.draw import DRAW
from gmnm_lib.trainer import Trainer

BATCH, STEPS, HIDDEN, LATENT, FILTERS = 100, 10, 256, 100, 5
COMMAND = "python -m benchmarks.draw"


def bank(numbers: Tensor, side: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """F_X, F_Y and gamma by eqs. 19 to 26, each written out."""
    g_x, g_y, log_variance, log_stride, log_intensity = numbers.chunk(5, 1)
    g_x, g_y = (side + 1) / 2 * (g_x + 1), (side + 1) / 2 * (g_y + 1)
    stride = (side - 1) / max(n - 1, 1) * log_stride.exp()
    i = torch.arange(1, n + 1, dtype=numbers.dtype)
    mu_x, mu_y = (g + (i - n / 2 - 0.5) * stride for g in (g_x, g_y))  # (batch, n)
    a = torch.arange(1, side + 1, dtype=numbers.dtype)
    filters = []
    for mu in (mu_x, mu_y):
        unnormalised = torch.exp(-((a - mu.unsqueeze(2)) ** 2) / (2 * log_variance.exp().unsqueeze(2)))
        filters.append(unnormalised / unnormalised.sum(2, keepdim=True))
    return filters[0], filters[1], log_intensity.exp().unsqueeze(2)


def straightforward(model: DRAW, x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """(reconstruction, KL), eqs. 3 to 12 in the paper's order, with the model's parameters. epsilon: (steps, batch, latent)."""
    n, side = len(x), model.side
    h_encoder, c_encoder, h_decoder, c_decoder = (part.expand(n, -1) for part in model.start)
    canvas, kl = model.blank.expand(n, -1), x.new_zeros(n)
    image = x.reshape(n, side, side)
    for t in range(model.steps):
        error = x - torch.sigmoid(canvas)
        if model.read_head is None:
            seen = torch.cat((x, error), 1)
        else:
            f_x, f_y, gamma = bank(model.read_head(h_decoder), side, model.read)
            first = gamma * torch.bmm(torch.bmm(f_y, image), f_x.transpose(1, 2))
            second = gamma * torch.bmm(torch.bmm(f_y, error.reshape(n, side, side)), f_x.transpose(1, 2))
            seen = torch.cat((first.reshape(n, -1), second.reshape(n, -1)), 1)
        h_encoder, c_encoder = model.encoder(torch.cat((seen, h_decoder), 1), (h_encoder, c_encoder))
        mean, log_variance = model.posterior_head(h_encoder).chunk(2, 1)
        sigma = torch.exp(0.5 * log_variance)
        z = mean + sigma * epsilon[t]
        kl = kl + 0.5 * (mean**2 + sigma**2 - torch.log(sigma**2) - 1).sum(1)
        h_decoder, c_decoder = model.decoder(z, (h_decoder, c_decoder))
        if model.write_head is None:
            canvas = canvas + model.patch_head(h_decoder)
        else:
            f_x, f_y, gamma = bank(model.write_head(h_decoder), side, model.write)
            patch = model.patch_head(h_decoder).reshape(n, model.write, model.write)
            canvas = canvas + (torch.bmm(torch.bmm(f_y.transpose(1, 2), patch), f_x) / gamma).reshape(n, -1)
    reconstruction = F.binary_cross_entropy_with_logits(canvas, x, reduction="none").sum(1)
    return reconstruction.mean(), kl.mean()


def cases() -> dict[str, tuple[DRAW, str]]:
    """Windows as they begin, and of one pixel's width: there the peer's Gaussians end in numbers that slow a CPU down."""
    torch.manual_seed(0)
    mean = load("mnist-5k").train.mean(0)
    begun, narrow = (DRAW(28, HIDDEN, LATENT, STEPS, read=FILTERS, write=FILTERS, mean=mean) for _ in range(2))
    for head in (narrow.read_head, narrow.write_head):
        assert head is not None
        torch.nn.init.zeros_(head.bias)  # sigma 1
    plain = DRAW(28, HIDDEN, LATENT, STEPS, read=None, write=None, mean=mean)
    goal = "ratio >= 1.4, aim 2"
    return {"attention": (begun, goal), "narrow_attention": (narrow, goal), "no_attention": (plain, "none")}


def steps(model: DRAW, x: Tensor, epsilon: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """A gradient step of ours and of the peer's, each giving its loss. InputError where loss or gradients are not equal."""

    def ours() -> Tensor:
        model.zero_grad()
        with hardware.matmul(hardware.best_matmul()):
            total = model.loss(x, epsilon=epsilon).total
            total.backward()
        return total.detach()

    def peer() -> Tensor:
        model.zero_grad()
        total = sum(straightforward(model, x, epsilon), torch.zeros(()))
        total.backward()
        return total.detach()

    def gradients() -> Tensor:
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])

    mine, of_mine = ours(), gradients()
    theirs, of_theirs = peer(), gradients()
    error = float((of_mine - of_theirs).norm() / of_theirs.norm())
    if error > 1e-4 or abs(float(mine - theirs)) > 1e-4 * float(theirs):
        raise InputError(f"gradients differ by {error:.1e} of their norm: mend the model before it is timed")
    return ours, peer


def products(model: DRAW) -> Work:
    """The products of its linear maps alone, forward and backward, the weights' gradients each in one for all steps."""
    images = 2 if model.read else 1  # the image and what the canvas lacks; without attention the image's share is known
    seen = images * (model.read**2 if model.read else model.pixels)
    heads = sum(head.out_features for head in (model.patch_head, model.write_head, model.read_head) if head is not None)
    widths = ((seen + 2 * HIDDEN, 4 * HIDDEN), (HIDDEN, 2 * LATENT), (LATENT + HIDDEN, 4 * HIDDEN), (HIDDEN, heads))
    maps = [
        (torch.randn(STEPS, BATCH, inputs), torch.randn(outputs, inputs), torch.randn(STEPS, BATCH, outputs))
        for inputs, outputs in widths
    ]

    def work() -> None:
        with hardware.matmul(hardware.best_matmul()):
            for t in range(STEPS):
                for v, weight, of_y in maps:
                    v[t] @ weight.T, of_y[t] @ weight
            for v, _, of_y in maps:
                of_y.flatten(0, 1).T @ v.flatten(0, 1)

    return work


def on_gpu(rounds: int, dry: bool) -> str:
    """A pass over 5,000 images with the paper's 64 steps through our `Trainer`: its captured step beside its eager one."""
    hardware.device("cuda")
    x = (load("mnist-5k").train > 0.5).float()

    def trained(graph: bool) -> Work:
        torch.manual_seed(0)
        model = DRAW(28, HIDDEN, LATENT, 64, read=2, write=FILTERS, mean=x.mean(0))
        trainer = Trainer(model, x, batch_size=BATCH, device="cuda", graph=graph)
        return lambda: list(trainer.run(epochs=1))

    taken = paired({"ours": trained(True), "peer": trained(False)}, rounds)
    return speed(
        "draw_captured",
        **taken,
        peer_name="our own step, eager",
        goal="none",
        unit="s",
        command=f"{COMMAND} --device cuda",
        dry=dry,
        data=f"{len(x)} of MNIST's digits as bits, T = 64, batches of {BATCH}",
        gpu=torch.cuda.get_device_name(),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="A gradient step of DRAW beside a straightforward eager implementation."
    )
    parser.add_argument("--rounds", type=int, default=9, help="paired runs of each (default: 9)")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args(arguments)
    if options.device == "cuda":
        try:
            print(on_gpu(options.rounds, options.dry))
        except InputError as error:
            sys.exit(f"benchmarks: {error}.")
        return
    x = (load("mnist-5k").train[:BATCH] > 0.5).float()
    epsilon = torch.randn(STEPS, BATCH, LATENT, generator=torch.Generator().manual_seed(0))
    for name, (model, goal) in cases().items():
        ours, peer = steps(model, x, epsilon)
        taken = paired(
            {"ours": ours, "peer": peer, "least": products(model)},
            options.rounds,
            measure=lambda work: 1e3 * seconds(work, 5),
        )
        line = speed(
            f"draw_{name}",
            **taken,
            peer_name="a straightforward eager implementation with equal gradients",
            goal=goal,
            unit="ms",
            command=COMMAND,
            dry=options.dry,
            packages=[],
            data=f"{BATCH} of MNIST's digits as bits, T = {STEPS}",
            threads=torch.get_num_threads(),
            matmul=hardware.best_matmul(),
        )
        print(line, flush=True)


if __name__ == "__main__":
    main()
