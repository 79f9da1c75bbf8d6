"""Ways from one code to another, z1 at t = 0 and z2 at t = 1: codes (..., latent)."""

import torch
from torch import Tensor


def linear_homotopy(z1: Tensor, z2: Tensor, t: float) -> Tensor:
    """(1 - t) z1 + t z2 (Bowman 2015, section 6.3): a straight line."""
    return z1 + t * (z2 - z1)


def spherical_homotopy(z1: Tensor, z2: Tensor, t: float) -> Tensor:
    """The arc from z1 to z2 (Shoemake 1985): its points are as far from 0 as a draw of the prior, where a line cuts inside.

    sin((1 - t) w) / sin(w) z1 + sin(t w) / sin(w) z2, w the angle between them; the line itself where they are parallel.
    """
    cosine = torch.cosine_similarity(z1, z2, dim=-1).clamp(-1, 1).unsqueeze(-1)
    angle = cosine.arccos()
    sine = angle.sin()
    arc = (((1 - t) * angle).sin() * z1 + (t * angle).sin() * z2) / sine.clamp_min(1e-12)
    return torch.where(sine > 1e-4, arc, linear_homotopy(z1, z2, t))
