"""How well sentences are predicted, and how much z has to say about them."""

import math
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from gmnm_lib.data.text import Tokens
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate.bounds import Estimate, estimate_iwae
from gmnm_lib.models.sentence_vae import RNNLanguageModel, SentenceVAE, kl_by_dimension


class SentenceScore(NamedTuple):
    """nll: -log p(x) or an upper bound of it, an `Estimate` in nats a sentence. kl: of q to the prior, 0 without z.

    perplexity: exp of nats a word, </s> in the nats and not in the words, as papers on the Penn Treebank count.
    """

    nll: Estimate
    kl: float
    perplexity: float

    def __str__(self) -> str:
        return f"{self.nll.mean:.2f} ({self.kl:.2f}) / {self.perplexity:.1f}"


@torch.no_grad()
def score_sentences(
    model: SentenceVAE | RNNLanguageModel, batch: Tokens, *, k: int = 1, repeats: int = 4, chunk: int = 2**23
) -> SentenceScore:
    """The paper's figures, NLL (KL) / PPL: with k = 1 by the bound, above by the importance-weighted one (Burda 2016, eq. 8).

    chunk: logits that are held at a time.
    """
    if k < 1:
        raise InputError(f"k is {k}: the importance-weighted bound needs 1 draw or more")
    model.check_data(batch)
    words = float(batch.lengths.sum()) / len(batch.tokens)
    order = batch.lengths.argsort()  # sentences of a length together have no padding
    sorted_batch = batch.select(order)
    logits = batch.tokens.shape[1] * model.vocabulary
    if isinstance(model, RNNLanguageModel):
        size = max(1, chunk // logits)
        parts = [Tokens(*part).trimmed() for part in zip(*(p.split(size) for p in sorted_batch), strict=True)]
        values = torch.cat([-model.log_prob(part) for part in parts])
        nll, kl = Estimate(float(values.double().mean()), 0.0, values.double()[order.argsort()]), 0.0
    else:
        # the protocol's tensors carry no lengths: sentences end at </s>, which pads them
        tokens = torch.where(sorted_batch.mask, sorted_batch.tokens, 0)
        together = max(1, chunk // model.vocabulary)
        bound = estimate_iwae(model, tokens, k=k, repeats=repeats, chunk=together)
        nll = Estimate(-bound.mean, bound.standard_error, -bound.per_example[order.argsort()])
        kl = float(torch.cat([kl_by_dimension(model.encode(part)).sum(1) for part in tokens.split(500)]).mean())
    return SentenceScore(nll, kl, math.exp(nll.mean / words))


class LatentUse(NamedTuple):
    """kl, mutual_information: nats a sentence. active: the dimensions of z whose mean moves with x."""

    kl: float
    mutual_information: float
    active: int


@torch.no_grad()
def latent_use(model: SentenceVAE, batch: Tokens, *, threshold: float = 0.01, seed: int = 0) -> LatentUse:
    """How much q(z|x) tells of x.

    mutual_information: I(x; z) under q = E log q(z|x) - log q(z), q(z) the mean of q(z|x) over the batch (Hoffman & Johnson
    2016); at most log n for n sentences. active: dimensions where the variance of E[z_j|x] over x exceeds `threshold`
    (Burda 2016, section 5.2).
    """
    if len(batch.tokens) < 2:
        raise InputError("one sentence shares nothing: measure with 2 or more")
    model.check_data(batch)
    q = model.encode(batch)
    noise = torch.randn(q.mean.shape, generator=torch.Generator().manual_seed(seed)).to(q.mean)
    z = q.mean + q.stddev * noise
    return LatentUse(
        float(kl_by_dimension(q).sum(1).mean()),
        mutual_information(q.mean, q.stddev, z),
        int((q.mean.var(0) > threshold).sum()),
    )


def mutual_information(mean: Tensor, stddev: Tensor, z: Float[Tensor, "n latent"]) -> float:
    """E log q(z_i|x_i) - log (1/n) sum_j q(z_i|x_j), for one draw z_i of each q(z|x_i) = N(mean_i, diag stddev_i^2)."""
    pairs = torch.cat(
        [
            torch.distributions.Normal(mean, stddev).log_prob(some.unsqueeze(1)).sum(-1)
            for some in cast("tuple[Tensor, ...]", z.split(256))
        ]
    )  # (n draws, n sentences)
    return float((pairs.diagonal() - pairs.logsumexp(1) + math.log(len(z))).mean())
