"""From a key press on a slider to the changed picture on the screen, in the real JupyterLab; `interact` with pyplot beside it.

A third slider sets the value of a plain Image widget in its own callback: what JupyterLab, its server and the browser take by
themselves on this machine, and the least that any slider can take.

A press counts until the page has the new picture (`img.src` changes); the time until it is decoded for the frame that shows
it is recorded too. The three take turns, ten presses each, back and forth by a step, with a pause in which the page settles;
once with training paused, once while the panel's training runs.

python -m benchmarks.slider_latency
"""

import tempfile
from pathlib import Path

import nbformat

from benchmarks.record import percentile, significant, speed
from tests.browser.lab import Notebook, lab

BLOCKS, PRESSES = 8, 10
CELLS = [
    """
import matplotlib.pyplot as plt
import torch
from ipywidgets import FloatSlider, interact

from gmnm_lib.data import load
from gmnm_lib.figures import digit, digit_grid
from gmnm_lib.live import Slider, explore, live_train
from gmnm_lib.models.vae import VAE
from gmnm_lib.trainer import Trainer

model = VAE(latent=2)
trainer = Trainer(model, load("mnist-5k").train, seed=0)
panel = live_train(trainer, preview=lambda model: digit_grid(model.sample(64)), epochs=1_000_000)
panel.finish(5)
panel
""",
    "explore(lambda z1, z2: digit(model.decode(torch.tensor([z1, z2])).mean), z1=Slider(-3, 3), z2=Slider(-3, 3))",
    """
@interact(y1=FloatSlider(min=-3, max=3, step=0.05), y2=FloatSlider(min=-3, max=3, step=0.05))
def show(y1, y2):
    with torch.no_grad():
        pixels = model.decode(torch.tensor([y1, y2])).mean
    figure, axes = plt.subplots(figsize=(2.5, 2.5))
    axes.imshow(pixels.reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    plt.show()
""",
    """
from ipywidgets import Image, VBox

from gmnm_lib.figures import to_png

slider, image = FloatSlider(min=-3, max=3, step=0.05, description="w1"), Image(format="png", width="250")


def answer(change):
    with torch.no_grad():
        image.value = to_png(digit(model.decode(torch.tensor([change["new"], 0.0])).mean))


answer({"new": 0.0})
slider.observe(answer, "value")
VBox([slider, image])
""",
]


def measure() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "latency.ipynb")
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
        with lab(path) as notebook:
            if errors := notebook.run_all_cells():
                raise RuntimeError(f"the notebook failed: {errors[0]}")
            lines = [in_state(notebook, "paused", "median <= 30 ms, 95th percentile <= 120 ms")]
            notebook.click("Start")
            lines.append(in_state(notebook, "training", "median <= 60 ms, 95th percentile <= 120 ms"))
            steps = int(notebook.run_code("print(trainer.step)"))
            notebook.page.wait_for_timeout(2000)
            rate = (int(notebook.run_code("print(trainer.step)")) - steps) / 2
            if rate == 0:
                raise RuntimeError("training stood still while it was measured")
            return [*lines, f"training went on at {rate:.0f} steps/s"]


def in_state(notebook: Notebook, state: str, goal: str) -> str:
    taken: dict[str, list[tuple[float, float]]] = {"z₁": [], "y1": [], "w1": []}  # ours, interact, the plain widget
    for _ in range(BLOCKS):
        for label, latencies in taken.items():
            for press in range(PRESSES + 2):
                latency = notebook.latency(label, "ArrowRight" if press % 2 == 0 else "ArrowLeft")
                notebook.page.wait_for_timeout(100)
                if press >= 2:  # the first ones scroll to the slider and select its cell
                    latencies.append(latency)
    (ours, ours_shown), (peer, peer_shown), (plain, plain_shown) = (
        list(map(list, zip(*latencies, strict=True))) for latencies in taken.values()
    )
    more = {
        "ours_95th_percentile": percentile(ours, 95),
        "peer_95th_percentile": percentile(peer, 95),
        "plain_image_widget": percentile(plain, 50),
        "ours_decoded": percentile(ours_shown, 50),
        "peer_decoded": percentile(peer_shown, 50),
        "plain_image_widget_decoded": percentile(plain_shown, 50),
    }
    return speed(
        f"slider_latency_{state}",
        ours=ours,
        peer=peer,
        peer_name="interact with pyplot",
        goal=goal,
        unit="ms",
        command="python -m benchmarks.slider_latency",
        packages=["jupyterlab", "ipykernel", "ipywidgets", "matplotlib", "pillow"],
        **{name: significant(value) for name, value in more.items()},
    )


if __name__ == "__main__":
    print("\n".join(measure()))
