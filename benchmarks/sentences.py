"""A training step of the sentence VAE beside a straightforward one at equal sizes: time a token.

    python -m benchmarks.sentences [--rounds 7] [--batches 50] [--dry]

The straightforward step is written here in the way of public implementations (packed sequences in the order of their lengths, a
softmax of every padded place, a masked sum). Both have the same weights and are given the same noise: before anything is timed,
loss and gradients of one batch are compared (1e-4 relative). Then each trains, with its own batches: ours takes those of
similar lengths and the products that a trainer would choose, theirs a random permutation and torch's own products. Lengths are
those of a treebank: 21 words a sentence, up to 60.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.record import speed
from benchmarks.timing import paired
from gmnm_lib import hardware
from gmnm_lib.data.text import START, Tokens, by_length
from gmnm_lib.models.sentence_vae import SentenceVAE
from gmnm_lib.trainer import MakeOptimizer, adam

WORDS, EMBEDDING, HIDDEN, LATENT, BATCH, LONGEST = 9877, 300, 256, 16, 32, 60
GOAL = "ratio >= 2"
COMMAND = "python -m benchmarks.sentences"
SHAPE = f"{BATCH} sentences, {WORDS} words, embedding {EMBEDDING}, h {HIDDEN}, z {LATENT}, GRU"


def model() -> SentenceVAE:
    torch.manual_seed(0)
    return SentenceVAE(WORDS, embedding=EMBEDDING, hidden=HIDDEN, latent=LATENT, cell="gru")


def sentences(n: int) -> Tokens:
    generator = torch.Generator().manual_seed(0)
    lengths = (21 + 10 * torch.randn(n, generator=generator)).round().long().clamp(2, LONGEST)
    tokens = torch.randint(3, WORDS, (n, LONGEST), generator=generator)
    batch = Tokens(tokens, lengths)
    return Tokens(torch.where(batch.mask, tokens, 0), lengths)


def straightforward(vae: SentenceVAE, batch: Tokens, epsilon: Tensor) -> Tensor:
    """The negative bound by packed sequences and a softmax of all places up to the longest."""
    lengths, order = batch.lengths.sort(descending=True)
    tokens, epsilon = batch.tokens[order][:, : int(lengths[0])], epsilon[order]
    packed = pack_padded_sequence(vae.decoder.embed(tokens), lengths.cpu(), batch_first=True)
    last = vae.encoder(packed)[1][-1]
    mean, log_variance = vae.to_posterior(last).chunk(2, 1)
    z = mean + (0.5 * log_variance).exp() * epsilon
    before, after = F.pad(tokens, (1, 0), value=START), F.pad(tokens, (0, 1))
    x = vae.decoder.embed(before)
    x = torch.cat((x, z.unsqueeze(1).expand(-1, x.shape[1], -1)), 2)
    packed = pack_padded_sequence(x, (lengths + 1).cpu(), batch_first=True)
    start = torch.tanh(vae.decoder.to_start(z)).unsqueeze(0)  # type: ignore[misc]
    h = pad_packed_sequence(vae.decoder.recurrence(packed, start)[0], batch_first=True)[0]
    log_p = F.log_softmax(vae.decoder.to_words(h), 2)
    mask = torch.arange(after.shape[1]) <= lengths.unsqueeze(1)
    after = torch.where(mask, after, -100)
    nll = F.nll_loss(log_p.flatten(0, 1), after.flatten(), reduction="sum", ignore_index=-100)
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    return (nll + kl) / len(tokens)


def disagreement() -> float:
    """The largest relative difference of the two losses and of their gradients."""
    vae, batch = model(), sentences(BATCH)
    epsilon = torch.randn(BATCH, LATENT)
    found = []
    for loss in (vae.loss(batch, epsilon=epsilon).total, straightforward(vae, batch, epsilon)):
        vae.zero_grad()
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in vae.parameters() if p.grad is not None)])
    return max(float((a - b).norm() / b.norm()) for a, b in zip(*found, strict=True))


def one_pass(
    loss: Callable[[SentenceVAE, Tokens], Tensor],
    order: Tensor,
    data: Tokens,
    optimizer: MakeOptimizer,
    path: hardware.Matmul = "default",
) -> Callable[[], float]:
    """A function that trains on all batches of `order`, and gives the microseconds a token of it took. path: of its products."""
    vae = model()
    descent = optimizer(vae.parameters(), 1e-3)

    def run() -> float:
        start, tokens = time.perf_counter(), 0
        for rows in order.split(BATCH):
            batch = data.select(rows)
            descent.zero_grad()
            with hardware.matmul(path):
                loss(vae, batch).backward()
            descent.step()
            tokens += int(batch.lengths.sum()) + len(rows)
        return 1e6 * (time.perf_counter() - start) / tokens

    return run


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A training step of the sentence VAE beside a straightforward one.")
    parser.add_argument("--rounds", type=int, default=7, help="paired passes (default: 7)")
    parser.add_argument("--batches", type=int, default=50, help="batches a pass (default: 50)")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not (off := disagreement()) <= 1e-4:
        sys.exit(f"ours and the straightforward step do not compute the same ({off:.2g} apart)")
    data = sentences(BATCH * options.batches)
    shuffled = torch.randperm(len(data.lengths), generator=torch.Generator().manual_seed(1))
    similar = by_length(data.lengths, BATCH, torch.Generator().manual_seed(1))
    path = hardware.best_matmul()  # as a trainer does
    ours = one_pass(lambda vae, batch: vae.loss(batch).total, similar, data, adam, path)
    peer = one_pass(
        lambda vae, batch: straightforward(vae, batch, torch.randn(BATCH, LATENT)), shuffled, data, torch.optim.Adam
    )
    taken = paired({"ours": ours, "peer": peer}, options.rounds, measure=lambda one: one())
    line = speed(
        "sentence_vae_step",
        **taken,
        peer_name="packed sequences, softmax of all places",
        goal=GOAL,
        unit="us a token",
        command=COMMAND,
        dry=options.dry,
        data=SHAPE,
        threads=1,
        matmul=path,
    )
    print(f"{line}; agrees to {off:.1g}")


if __name__ == "__main__":
    main()
