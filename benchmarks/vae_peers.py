"""The same VAE as users of other libraries train it, through their public interfaces.

Each function takes (data, batch size, hidden, latent) and returns one epoch of training. What differs from library to
library is theirs: how the loss is put together, how batches are made, which optimiser is the default.
"""

import logging
import tempfile
from contextlib import redirect_stderr
from io import StringIO

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from PIL import Image
from pyro.infer import SVI, Trace_ELBO
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.timing import Work

PIXELS = 784


class Recognition(nn.Module):
    """Two heads on one hidden layer, as all three write it."""

    def __init__(self, hidden: int, latent: int):
        super().__init__()
        self.hidden = nn.Linear(PIXELS, hidden)
        self.mean, self.log_scale = nn.Linear(hidden, latent), nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = F.relu(self.hidden(x))
        return self.mean(features), self.log_scale(features)


class Generator(nn.Module):
    """Pixel means, not logits, as all three write it."""

    def __init__(self, hidden: int, latent: int):
        super().__init__()
        self.hidden, self.pixels = nn.Linear(latent, hidden), nn.Linear(hidden, PIXELS)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.pixels(F.relu(self.hidden(z))))


def pyro_svi(data: Tensor, batch: int, hidden: int, latent: int) -> Work:
    """Model and guide with a plate; images scaled to floats once, then a DataLoader in this process."""
    recognition, generator = Recognition(hidden, latent), Generator(hidden, latent)

    def model(x: Tensor) -> None:
        pyro.module("generator", generator)
        with pyro.plate("data", len(x)):
            zero, one = x.new_zeros(len(x), latent), x.new_ones(len(x), latent)
            z = pyro.sample("z", dist.Normal(zero, one).to_event(1))
            pyro.sample("x", dist.Bernoulli(generator(z), validate_args=False).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("recognition", recognition)
        with pyro.plate("data", len(x)):
            mean, log_scale = recognition(x)
            pyro.sample("z", dist.Normal(mean, log_scale.exp()).to_event(1))

    pyro.clear_param_store()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=Trace_ELBO())
    loader = DataLoader(TensorDataset(data, torch.zeros(len(data))), batch_size=batch, shuffle=True)

    def epoch() -> None:
        total = 0.0
        for x, _ in loader:
            total += svi.step(x)

    return epoch


class PythaeEncoder(BaseEncoder):
    def __init__(self, hidden: int, latent: int):
        super().__init__()
        self.network = Recognition(hidden, latent)

    def forward(self, x: Tensor) -> ModelOutput:
        mean, log_variance = self.network(x)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class PythaeDecoder(BaseDecoder):
    def __init__(self, hidden: int, latent: int):
        super().__init__()
        self.network = Generator(hidden, latent)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.network(z))


def pythae(data: Tensor, batch: int, hidden: int, latent: int) -> Work:
    """Its trainer's training step, which is an epoch; not what its `train` adds: copies of the best model and files."""
    model = VAE(
        VAEConfig(input_dim=(PIXELS,), latent_dim=latent, reconstruction_loss="bce"),
        encoder=PythaeEncoder(hidden, latent),
        decoder=PythaeDecoder(hidden, latent),
    )
    logging.getLogger(BaseTrainer.__module__).setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:  # it wants one, but a training step writes nothing
        config = BaseTrainerConfig(folder, per_device_train_batch_size=batch, learning_rate=1e-3, no_cuda=True)
        trainer = BaseTrainer(model, BaseDataset(data, torch.zeros(len(data))), training_config=config)
        trainer.prepare_training()
    number = 0

    def epoch() -> None:
        nonlocal number
        number += 1
        with redirect_stderr(StringIO()):  # its progress bar
            trainer.train_step(number)

    return epoch


class PictureFiles(Dataset):
    """torchvision's MNIST with ToTensor, step by step: a PIL image is made of each row, then a float tensor of that."""

    def __init__(self, data: Tensor):
        self.pictures = (data * 255).round().to(torch.uint8).reshape(-1, 28, 28)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.pictures[index].numpy())
        array = torch.from_numpy(np.array(picture, copy=True)).view(picture.size[1], picture.size[0], 1)
        return array.permute(2, 0, 1).contiguous().to(torch.float32).div(255), 0


def plain_loop(loader: DataLoader, hidden: int, latent: int) -> Work:
    """Sigmoid, then binary cross-entropy, both summed with the KL; Adam as it comes; the loss is read at each step."""
    recognition, generator = Recognition(hidden, latent), Generator(hidden, latent)
    optimizer = torch.optim.Adam([*recognition.parameters(), *generator.parameters()], lr=1e-3)

    def epoch() -> None:
        total = 0.0
        for x, _ in loader:
            optimizer.zero_grad()
            mean, log_variance = recognition(x.view(-1, PIXELS))
            deviation = torch.exp(0.5 * log_variance)
            means = generator(mean + torch.randn_like(deviation) * deviation)
            distortion = F.binary_cross_entropy(means, x.view(-1, PIXELS), reduction="sum")
            loss = distortion - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss.backward()
            total += loss.item()
            optimizer.step()

    return epoch


def pytorch_examples(data: Tensor, batch: int, hidden: int, latent: int) -> Work:
    return plain_loop(DataLoader(PictureFiles(data), batch_size=batch, shuffle=True), hidden, latent)


def pytorch_examples_tensors(data: Tensor, batch: int, hidden: int, latent: int) -> Work:
    dataset = TensorDataset(data, torch.zeros(len(data)))
    return plain_loop(DataLoader(dataset, batch_size=batch, shuffle=True), hidden, latent)


PEERS = {
    "pyro": pyro_svi,
    "pythae": pythae,
    "pytorch_examples": pytorch_examples,
    "pytorch_examples_tensors": pytorch_examples_tensors,
}
