"""A small VAE of sentences and a few sentences for it, some shorter than others."""

import torch

from gmnm_lib.data.text import pad_tokens
from gmnm_lib.models.sentence_vae import SentenceVAE

BATCH = pad_tokens([[3, 4, 5, 3], [5], [4, 2]])


def small(latent: int = 2, **options) -> SentenceVAE:
    torch.manual_seed(0)
    model = SentenceVAE(6, embedding=4, hidden=5, latent=latent, **options).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return model.eval()
