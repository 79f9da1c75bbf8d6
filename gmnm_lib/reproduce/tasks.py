"""What several reproductions share: the words for their task, and the optimiser of the Boltzmann machines."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

FIXED_BITS = "MNIST in one fixed binarisation (ours, not Larochelle's bits), 50,000 training and 10,000 test images"


def descent(parameters: Iterable[nn.Parameter], lr: Any) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, as the Boltzmann machines' papers have it."""
    return torch.optim.SGD(parameters, lr=lr, fused=True)
