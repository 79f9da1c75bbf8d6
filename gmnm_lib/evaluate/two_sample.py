"""Are two sets of points draws from one distribution? The kernel two-sample test (Gretton et al. 2012).

    MMD^2(p, q) = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = mean over s of exp(-|x - y|^2 / 2 s^2)

It needs samples alone: no density, no bound. What it can see depends on its widths, on the number of points, and in
many dimensions on luck; it ranks models, and proves none right.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.errors import InputError

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median distance


class TwoSample(NamedTuple):
    """mmd2: the unbiased estimate of MMD^2, which where p = q is below 0 more often than not, being skewed about its mean
    of 0. p_value: the share of random divisions of all points that give as much. threshold: what 5 % of those exceed."""

    mmd2: float
    p_value: float
    threshold: float

    def __str__(self) -> str:
        return f"MMD^2 {self.mmd2:.4f} (p = {self.p_value:.3f}, 5 % threshold {self.threshold:.4f})"


@torch.no_grad()
def two_sample_test(
    x: Float[Tensor, "n dimensions"],
    y: Float[Tensor, "m dimensions"],
    *,
    widths: Tensor | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> TwoSample:
    """MMD^2 between x and y with its permutation test. Memory grows with (n + m)^2.

    widths: the s of the kernel; by default a quarter to four times the median distance between all points.
    InputError for fewer than two points a side, for other dimensions, or for widths that are not above 0.
    """
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(
            f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}: give two or more points each, of the same dimensions"
        )
    if permutations < 1:
        raise InputError(f"permutations is {permutations}: a p-value needs 1 or more")
    points = torch.cat([x, y]).double()
    squares = torch.cdist(points, points).square()
    if widths is None:
        apart = squares[~torch.eye(len(points), dtype=torch.bool)]
        middle = apart.median().sqrt()
        widths = torch.tensor(SCALES, dtype=torch.float64) * (middle if middle > 0 else 1.0)
    if not bool((widths > 0).all()):
        raise InputError(f"widths reach down to {float(widths.min()):g}: give distances above 0")
    kernel = sum((-squares / (2 * s**2)).exp() for s in widths.double()) / len(widths)
    kernel.fill_diagonal_(0)  # no point is compared with itself: the estimate is unbiased
    n = len(x)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.arange(len(points))] + [
        torch.randperm(len(points), generator=generator) for _ in range(permutations)
    ]
    chosen = kernel.new_zeros(len(points), len(orders))
    chosen.scatter_(0, torch.stack(orders, 1)[:n], 1.0)
    observed, *others = _mmd2(kernel, chosen)
    null = torch.stack(others)
    p_value = (1 + float((null >= observed).sum())) / (1 + permutations)
    return TwoSample(float(observed), p_value, float(null.quantile(0.95)))


def _mmd2(kernel: Tensor, of_x: Float[Tensor, "points divisions"]) -> Float[Tensor, " divisions"]:
    """The unbiased MMD^2 of the points marked 1 against the rest, a column for each division; the kernel's diagonal is 0."""
    a, b = of_x, 1 - of_x
    n, m = a.sum(0), b.sum(0)
    along_a = kernel @ a
    along_b = kernel.sum(1, keepdim=True) - along_a
    return (
        (a * along_a).sum(0) / (n * (n - 1)) + (b * along_b).sum(0) / (m * (m - 1)) - 2 * (a * along_b).sum(0) / (n * m)
    )
