"""The importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2016): a VAE's networks, trained on a tighter bound.

L_k = E[log 1/k sum_l p(x, z_l) / q(z_l|x)],    z_l ~ q(z|x),    L_1 <= L_k <= log p(x)
"""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from gmnm_lib.models.vae import VAE
from gmnm_lib.objectives import Knob, Loss, importance_weighted_bound, log_weights


class IWAE(VAE):
    """The VAE whose loss is -L_k. Shapes and options are the VAE's; all terms in nats an example."""

    def loss(  # type: ignore[override]  # its knob is k alone: there is no KL to weigh
        self, x: Float[Tensor, "batch pixels"], *, samples: Annotated[int, Knob(1, 64)] = 50
    ) -> Loss:
        """-L_k of `samples` draws (eq. 8), whose gradient weighs each draw by its share of the sum (eq. 14).

        bound: -L_1 of the same draws. effective: 1 / sum of squared shares, how many draws count (1 to k).
        """
        log_w = log_weights(self, x, samples)
        shares = log_w.detach().softmax(0)
        total = -importance_weighted_bound(log_w).mean()
        return Loss(total, bound=-log_w.detach().mean(), effective=(1 / shares.square().sum(0)).mean())
