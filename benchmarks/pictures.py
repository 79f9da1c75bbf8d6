"""One digit decoded and encoded to a picture, and a 10 x 10 grid, beside a matplotlib figure of the same pixels.

python -m benchmarks.pictures
"""

import io

import torch
from matplotlib.figure import Figure

from benchmarks.record import speed
from benchmarks.timing import seconds
from gmnm_lib.data import load
from gmnm_lib.figures import digit, digit_grid, to_png
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer

RUNS = 150


def with_matplotlib(pixels: torch.Tensor) -> bytes:
    """A figure that shows the same numbers, drawn anew as `plt.imshow` does."""
    figure = Figure(figsize=(2.5, 2.5))
    axes = figure.subplots()
    axes.imshow(pixels.numpy(), cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def measure() -> list[str]:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # as in the live panels
    model = VAE(latent=2)
    for _ in Trainer(model, load("mnist-5k").train, device="cpu").run(epochs=5):
        pass
    with torch.no_grad():
        return compare(model)


def compare(model: VAE) -> list[str]:
    one, many = torch.tensor([0.5, -0.5]), torch.randn(100, 2)
    images = model.decode(many).mean
    cases = {
        "picture_of_one_digit": (
            lambda: to_png(digit(model.decode(one).mean)),
            20,
            images[0].reshape(28, 28),
            "<= 0.1 ms",
        ),
        "picture_of_a_grid": (
            lambda: to_png(digit_grid(model.decode(many).mean)),
            2,
            images.reshape(2800, 28),
            "<= 2 ms",
        ),
    }
    lines = []
    for name, (draw, repeats, pixels, goal) in cases.items():
        draw(), with_matplotlib(pixels)
        pairs = [
            (1e3 * seconds(draw, repeats), 1e3 * seconds(lambda p=pixels: with_matplotlib(p))) for _ in range(RUNS)
        ]
        ours, peer = zip(*pairs, strict=True)
        packages = ["matplotlib", "pillow", "numpy"]
        settings = {"goal": goal, "unit": "ms", "packages": packages, "command": "python -m benchmarks.pictures"}
        lines.append(speed(name, ours=ours, peer=peer, peer_name="matplotlib figure, drawn anew", **settings))
    return lines


if __name__ == "__main__":
    print("\n".join(measure()))
