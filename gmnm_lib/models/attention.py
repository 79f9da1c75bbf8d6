"""DRAW's differentiable attention: an N x N grid of Gaussian filters laid over an image (Gregor 2015, section 3.2).

The paper counts pixels and filters from 1. So an image of A x A pixels has its centre at (A + 1) / 2, the middle of pixels
1..A, and filter i of N stands at

    mu_i = g + (i - N/2 - 0.5) delta,   i = 1..N     (eqs. 19 and 20)

symmetrically about the window's centre g, delta pixels from its neighbours.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError

NUMBERS = 5  # a window takes: g~_X, g~_Y, log sigma^2, log delta~, log gamma


class Window(NamedTuple):
    """Where an N x N grid lies on each image, in pixels counted from 1, and how strongly it reads or writes."""

    centre: Float[Tensor, "batch 2"]  # g_X, g_Y
    stride: Float[Tensor, "batch 1"]  # delta
    log_variance: Float[Tensor, "batch 1"]  # log sigma^2
    intensity: Float[Tensor, "batch 1"]  # gamma


def window(numbers: Float[Tensor, "batch 5"], side: int, n: int) -> Window:
    """The window that five free numbers stand for (eqs. 21 to 24), on images of side x side pixels.

    All zeros: the middle of the image, filters spread from its first pixel to its last, sigma and gamma 1.
    """
    centre, log_variance, log_scales = numbers.split((2, 1, 2), -1)
    stride, intensity = log_scales.exp().split(1, -1)
    return Window((centre + 1) * ((side + 1) / 2), stride * ((side - 1) / max(n - 1, 1)), log_variance, intensity)


def mosaic(side: int, n: int, *, writes: bool = False) -> Float[Tensor, "5"]:
    """The free numbers of N x N filters that cover the image evenly: delta = side / N, sigma = delta / 2. Where to begin.

    A filter averages over about delta^2 pixels: `writes` sets gamma = 1 / delta^2, so that the patch is written at full strength.
    From all zeros learning hardly begins: 2 x 2 filters of sigma 1 then look at the image's corners, where there is no ink.
    InputError for an n that fits no image.
    """
    if not 1 <= n <= side:
        raise InputError(f"n is {n}: a grid of filters on {side} x {side} pixels takes n from 1 to {side}")
    stride = side / n
    relative = stride / ((side - 1) / (n - 1)) if n > 1 else 1.0
    log_intensity = -2 * math.log(stride) if writes else 0.0
    return torch.tensor([0.0, 0.0, 2 * math.log(stride / 2), math.log(relative), log_intensity])


def grid(place: Window, n: int) -> Float[Tensor, "batch 2 n"]:
    """mu_X and mu_Y, the filters' centres (eqs. 19 and 20)."""
    first = (1 - n) / 2  # i - n/2 - 0.5 at i = 1
    offsets = torch.arange(n, device=place.stride.device, dtype=place.stride.dtype) + first
    return place.centre.unsqueeze(-1) + (place.stride * offsets).unsqueeze(-2)


def filter_bank(
    place: Window, side: int, n: int
) -> tuple[Float[Tensor, "batch n side"], Float[Tensor, "batch n side"]]:
    """F_X and F_Y, whose row i is a Gaussian about mu_i over pixels 1..side, with sum 1 (eqs. 25 and 26)."""
    filter_x, filter_y = _Gaussians.apply(grid(place, n), place.log_variance, side).unbind(1)
    return filter_x, filter_y


class _Gaussians(torch.autograd.Function):
    """exp(-(a - mu)^2 / 2 sigma^2) over a = 1..side, divided by the sum Z: (batch, 2, n, side).

    Computed as a softmax, it divides by no Z that vanishes, however far outside the image a filter stands. Weights whose fourth
    power would vanish are zero: a CPU computes many times slower on numbers under 1.2e-38, and a Gaussian's tail is full of them.
    """

    @staticmethod
    def forward(ctx: Any, centres: Tensor, log_variance: Tensor, side: int) -> Tensor:
        pixels = torch.arange(1, side + 1, device=centres.device, dtype=centres.dtype)
        slope = (-log_variance).exp().mul_(-0.5).reshape(-1, 1, 1, 1)
        distance = pixels - centres.unsqueeze(-1)
        exponent = slope * (distance * distance)
        smallest = 0.25 * math.log(torch.finfo(centres.dtype).tiny)
        exponent = F.threshold(exponent - exponent.amax(-1, keepdim=True), smallest, 2 * smallest)
        weights = exponent.exp_()
        weights = F.hardshrink(weights.div_(weights.sum(-1, keepdim=True)), math.exp(smallest) / side)
        ctx.save_for_backward(weights, slope, distance)
        return weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, slope, distance = ctx.saved_tensors
        pulled = weights * gradient
        of_exponent = torch.addcmul(pulled, weights, pulled.sum(-1, keepdim=True), value=-1)
        moment = of_exponent * distance
        of_slope = (moment * distance).sum((1, 2, 3)).unsqueeze(-1)
        slope = slope.reshape(-1, 1)
        return moment.sum(-1) * (-2 * slope).unsqueeze(-1), -slope * of_slope, None


def read(images: Float[Tensor, "batch images side side"], place: Window, n: int) -> Float[Tensor, "batch images n n"]:
    """gamma F_Y x F_X' of each image x of an example (eq. 27): rows from above, columns from the left."""
    filter_x, filter_y = filter_bank(place, images.shape[-1], n)
    return place.intensity.reshape(-1, 1, 1, 1) * (filter_y.unsqueeze(1) @ images @ filter_x.mT.unsqueeze(1))


def write(
    patch: Float[Tensor, "batch n n"], place: Window, side: int, on: Float[Tensor, "batch side side"] | None = None
) -> Float[Tensor, "batch side side"]:
    """F_Y' w F_X / gamma: the patch w laid onto an empty image (eq. 29), or onto the images `on`."""
    filter_x, filter_y = filter_bank(place, side, patch.shape[-1])
    rows = filter_y.mT @ (patch / place.intensity.unsqueeze(-1))
    return rows @ filter_x if on is None else torch.baddbmm(on, rows, filter_x)
