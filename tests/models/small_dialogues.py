"""A small VHRED, and two dialogues for it: of three turns and of two."""

import torch

from gmnm_lib.data.text import pad_dialogues, pad_tokens
from gmnm_lib.models.vhred import VHRED

TALKS = [[[3, 4], [5], [6, 3, 3]], [[5, 6], [4]]]
BATCH = pad_dialogues(TALKS)
HISTORY = pad_tokens(TALKS[0])


def small(latent: int = 2) -> VHRED:
    torch.manual_seed(0)
    model = VHRED(7, embedding=3, hidden=5, context=4, latent=latent).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return model.eval()
