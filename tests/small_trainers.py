"""Trainers small enough to follow by hand."""

from typing import Annotated

import torch
from torch import Tensor, nn

from gmnm_lib.models.vae import VAE
from gmnm_lib.objectives import Knob, Loss
from gmnm_lib.trainer import Trainer

DATA = torch.rand(210, 16, generator=torch.Generator().manual_seed(0))


def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(pixels=16, hidden=8, latent=2)


def trainer(**options) -> Trainer:
    return Trainer(vae(), DATA, **{"batch_size": 20, "seed": 1, "report_every": 4, "device": "cpu"} | options)


def parameters(trained: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in trained.model.parameters()])


class Drift(nn.Module):
    """Its loss is `speed` times its one parameter, which plain descent moves by lr * speed a step."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []

    def loss(
        self, batch: Tensor, *, speed: Annotated[float, Knob(0, 10)] = 1.0, copies: Annotated[int, Knob(1, 3)] = 1
    ) -> Loss:
        self.seen.append(float(speed))
        assert isinstance(copies, int)
        return Loss(copies * speed * self.place, place=self.place)


def plain_descent(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr)


def drift(**options) -> Trainer:
    return Trainer(
        Drift(),
        torch.zeros(10, 1),
        **{"batch_size": 5, "lr": 0.1, "optimizer": plain_descent, "device": "cpu"} | options,
    )
