"""The checks of exercise 05. Each oracle walks over sequences and steps one by one, in float64, without the library.

Sizes in the draws are all different: 7 sequences of up to 5 steps, 3 latent dimensions, 4 hidden units, 6 features, 9 particles.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence

from gmnm_lib.course.checks import CheckFailed, answer_of, close, compare, generators, passed

BATCH, TIME, LATENT, HIDDEN, FEATURES, PARTICLES = 7, 5, 3, 4, 6, 9


def _draw(*shape: int, by: Generator, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=by)


def _lengths(by: Generator) -> Tensor:
    """From 1 to TIME; one sequence is as long as can be, another as short, and their mean is not TIME."""
    lengths = torch.randint(1, TIME + 1, (BATCH,), generator=by)
    lengths[:2] = torch.tensor([TIME, 1])
    return lengths


def prior_kl(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 1, KL(q || p) between diagonal Gaussians at each step: (batch, time) from four (batch, time, latent)."""
    answer = answer_of(function, "prior_kl")
    for by in generators(seed, draws):
        given = [_draw(BATCH, TIME, LATENT, by=by) for _ in range(4)]
        q_mean, q_log, p_mean, p_log = (part.double() for part in given)
        q, p = Normal(q_mean, (q_log / 2).exp()), Normal(p_mean, (p_log / 2).exp())
        terms = kl_divergence(q, p)
        exact = terms.sum(-1)
        distance = (q_mean - p_mean) ** 2
        standard = Normal(torch.zeros_like(p_mean), torch.ones_like(p_mean))
        mistakes = {
            "the sign is flipped: a KL divergence is never negative": -exact,
            "this is KL(p || q): the expectation is under q": kl_divergence(p, q).sum(-1),
            "this is the KL from N(0, I): the prior of a VRNN is learned, it has a mean and a variance": kl_divergence(
                q, standard
            ).sum(-1),
            "the factor 1/2 is missing": 2 * exact,
            "the -1 is missing: the KL of a distribution from itself is 0": exact + LATENT / 2,
            "averaged over the latent dimensions: the KL of independent dimensions is their sum": terms.mean(-1),
            "the squared distance of the means is not divided by the prior's variance": exact
            + (distance * (1 - (-p_log).exp()) / 2).sum(-1),
            "the distance of the means is divided by q's variance: it is measured in the prior's": exact
            + (distance * ((-q_log).exp() - (-p_log).exp()) / 2).sum(-1),
            "the means are not used": exact - (distance * (-p_log).exp() / 2).sum(-1),
            "the log variances were taken as log sigma": kl_divergence(
                Normal(q_mean, q_log.exp()), Normal(p_mean, p_log.exp())
            ).sum(-1),
            "in bits: use the natural logarithm": exact / math.log(2),
            "summed over time: each step has its own": exact.sum(1),
            "summed over the batch: each sequence has its own": exact.sum(0),
        }
        shapes = {
            (BATCH, TIME, LATENT): "sum over the latent dimensions, the last",
            (): "one number for everything: each step of each sequence has its own",
            (BATCH, TIME, 1): "drop the summed dimension: `keepdim` is not needed",
            (BATCH, LATENT): "sum over the latent dimensions, not over time",
        }
        compare(answer.name, answer(*given), exact, layout="(batch, time)", mistakes=mistakes, shapes=shapes)
    still = torch.zeros(1, 1, 1)
    for far in (-60.0, 60.0):
        exact = torch.tensor([[(1 + far - 1) / 2 + math.exp(-far) / 2 - 0.5]]).double()
        if not close(answer(still, still, still, still + far), exact):
            raise CheckFailed(
                f"{answer.name}: wrong at a prior's log variance of {far:.0f}: subtract log variances, and clamp nothing"
            )
    passed(answer.name, f"on {draws} random draws and at extreme variances")


def masked_bound(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 2, the bound in nats a step by both averages: (2,) from reconstruction and kl (batch, time), and lengths (batch,)."""
    answer = answer_of(function, "masked_bound")
    for by in generators(seed, draws):
        reconstruction, kl = 3 + _draw(BATCH, TIME, by=by), 1 + _draw(BATCH, TIME, by=by) ** 2
        lengths = _lengths(by)
        sums = [
            math.fsum((-(r + k)).double().tolist()[:n])
            for r, k, n in zip(reconstruction, kl, lengths.tolist(), strict=True)
        ]
        exact = _averages(sums, lengths.tolist())
        total = -(reconstruction + kl).double()
        only = -torch.where(torch.arange(TIME) < lengths[:, None], reconstruction, 0.0).double()
        padded = total.sum(1).tolist()
        mistakes = {
            "the two are exchanged: first over all steps, then over sequences": exact.flip(0),
            "the sign is flipped: the bound is what is maximised": -exact,
            "the padding is counted, and so is its number of steps": total.mean().expand(2),
            "the padding is summed: only the first `lengths` steps belong to a sequence": _averages(
                padded, lengths.tolist()
            ),
            "divided by the padded time: divide by the number of steps that there are": _averages(sums, [TIME] * BATCH),
            "both are the average over all steps: in the second each sequence counts alike": exact[0].expand(2),
            "both are the average over sequences: in the first each step counts alike": exact[1].expand(2),
            "the KL is missing": _averages(only.sum(1).tolist(), lengths.tolist()),
            "the KL enters with the wrong sign: the bound loses it": _averages(
                (torch.where(torch.arange(TIME) < lengths[:, None], kl - reconstruction, 0.0).double().sum(1)).tolist(),
                lengths.tolist(),
            ),
            "not divided by the steps: nats a step are asked for": torch.tensor(
                [math.fsum(sums), math.fsum(sums) / BATCH]
            ).double(),
        }
        shapes = {
            (): "two numbers: the average over all steps, and that over sequences",
            (BATCH,): "average over the batch",
            (BATCH, 2): "average over the batch",
            (2, 1): "two numbers without a further dimension",
        }
        found = answer(reconstruction, kl, lengths)
        compare(answer.name, found, exact, layout="(2,)", mistakes=mistakes, shapes=shapes)
        mask = torch.arange(TIME) < lengths[:, None]
        hint = "nan in the padding reaches the answer: 0 * nan is nan, so choose with `torch.where`, do not multiply"
        noisy = answer(*(terms.where(mask, torch.nan) for terms in (reconstruction, kl)), lengths)
        compare(answer.name, noisy, exact, layout="(2,)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random batches, and with nan in the padding")


def _averages(sums: list[float], lengths: list[int]) -> Tensor:
    each = [total / length for total, length in zip(sums, lengths, strict=True)]
    return torch.tensor([math.fsum(sums) / sum(lengths), math.fsum(each) / len(each)]).double()


def recognise(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 3, STORN's recognition: z (batch, time, latent) from x (batch, time, features), epsilon, and six weights."""
    answer = answer_of(function, "recognise")
    for by in generators(seed, draws):
        x, epsilon = _draw(BATCH, TIME, FEATURES, by=by), _draw(BATCH, TIME, LATENT, by=by)
        weights = (
            _draw(HIDDEN, FEATURES, by=by, scale=0.5),
            _draw(HIDDEN, HIDDEN, by=by, scale=0.5),
            _draw(HIDDEN, by=by, scale=0.5),
            _draw(2 * LATENT, HIDDEN, by=by),
            _draw(2 * LATENT, by=by),
        )
        exact = _recognised(x, epsilon, *weights)
        mistakes = {
            "z_t comes from x before t: recognition reads x_t as well": _recognised(x, epsilon, *weights, late=True),
            "the network forgets: h_t must be computed from h_{t-1}": _recognised(x, epsilon, *weights, memory=0.0),
            "tanh is missing": _recognised(x, epsilon, *weights, bend=False),
            "the sequence is read backwards": _recognised(x.flip(1), epsilon.flip(1), *weights).flip(1),
            "the log variance was taken as sigma: sigma = exp(log variance / 2)": _recognised(
                x, epsilon, *weights, sigma="log"
            ),
            "the variance was taken as sigma: sigma = exp(log variance / 2)": _recognised(
                x, epsilon, *weights, sigma="variance"
            ),
            "mean and log variance are exchanged: the first half is the mean": _recognised(
                x, epsilon, *weights, exchanged=True
            ),
            "epsilon is not used: this is q's mean": _recognised(x, 0 * epsilon, *weights),
            "one epsilon for all steps: each has its own": _recognised(
                x, epsilon[:, :1].expand(-1, TIME, -1), *weights
            ),
            "the last bias is missing": _recognised(x, epsilon, *weights[:4], 0 * weights[4]),
            "the recurrent bias is missing": _recognised(x, epsilon, *weights[:2], 0 * weights[2], *weights[3:]),
        }
        shapes = {
            (BATCH, LATENT): "a z for every step: keep them all, and stack them on dimension 1",
            (TIME, BATCH, LATENT): "the batch comes first: stack the steps on dimension 1",
            (BATCH, TIME, 2 * LATENT): "these are mean and log variance: draw z",
            (BATCH, TIME, HIDDEN): "these are the states: the linear layer and the draw are missing",
        }
        found = answer(x, epsilon, *weights)
        compare(answer.name, found, exact, layout="(batch, time, latent)", mistakes=mistakes, shapes=shapes)
    passed(answer.name, f"on {draws} random networks")


def _recognised(
    x: Tensor,
    epsilon: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    b: Tensor,
    w_out: Tensor,
    b_out: Tensor,
    *,
    late: bool = False,
    memory: float = 1.0,
    bend: bool = True,
    sigma: str = "right",
    exchanged: bool = False,
) -> Tensor:
    """Each number by itself from lists, as a desk calculator would."""
    rows = []
    for sequence, noise in zip(x.tolist(), epsilon.tolist(), strict=True):
        h, path = [0.0] * HIDDEN, []
        heard = [[0.0] * FEATURES, *sequence[:-1]] if late else sequence
        for x_t, e_t in zip(heard, noise, strict=True):
            old = [memory * value for value in h]
            total = [a + c + d for a, c, d in zip(_times(w_x, x_t), _times(w_h, old), b.tolist(), strict=True)]
            h = [math.tanh(value) for value in total] if bend else total
            numbers = [a + c for a, c in zip(_times(w_out, h), b_out.tolist(), strict=True)]
            mean, log_variance = numbers[:LATENT], numbers[LATENT:]
            if exchanged:
                mean, log_variance = log_variance, mean
            scale = {"right": [math.exp(v / 2) for v in log_variance], "log": log_variance}.get(
                sigma, [math.exp(v) for v in log_variance]
            )
            path.append([m + s * e for m, s, e in zip(mean, scale, e_t, strict=True)])
        rows.append(path)
    return torch.tensor(rows).double()


def _times(matrix: Tensor, vector: list[float]) -> list[float]:
    return [math.fsum(a * v for a, v in zip(row, vector, strict=True)) for row in matrix.tolist()]


def particle_step(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 4, one step of a particle filter: (2, batch) log p(x_t | past) and effective number, from four (particles, batch)."""
    answer = answer_of(function, "particle_step")
    for by in generators(seed, draws):
        before, likelihood, prior, proposal = (_draw(PARTICLES, BATCH, by=by, scale=1.5) for _ in range(4))
        exact = _filtered(before, likelihood, prior, proposal)
        evidence, number = exact
        flat = _filtered(0 * before, likelihood, prior, proposal)
        mistakes = {
            "q is missing: particles drawn from q are weighted by p / q": _filtered(
                before, likelihood, prior, 0 * proposal
            ),
            "the prior is missing: the weight is p(x_t | .) p(z_t | .) / q(z_t | .)": _filtered(
                before, likelihood, 0 * prior, proposal
            ),
            "prior and proposal are exchanged": _filtered(before, likelihood, proposal, prior),
            "the weights from before are forgotten": flat,
            "the evidence is that of all steps so far: normalise the weights from before": torch.stack(
                [evidence + before.double().logsumexp(0) - math.log(PARTICLES), number]
            ),
            "the evidence lacks the normalisation of the weights from before": torch.stack(
                [evidence + before.double().logsumexp(0), number]
            ),
            "this is the mean of the log weights: the logarithm stands outside of the mean": torch.stack(
                [
                    (before.double().softmax(0) * (likelihood + prior - proposal).double()).sum(0),
                    number,
                ]
            ),
            "the effective number is upside down: 1 over the sum of squares": torch.stack([evidence, 1 / number]),
            "the effective number is a share: do not divide by the number of particles": torch.stack(
                [evidence, number / PARTICLES]
            ),
            "the evidence is no logarithm": torch.stack([evidence.exp(), number]),
            "the rows are exchanged: the evidence comes first": exact.flip(0),
        }
        shapes = {
            (BATCH,): "two rows: the evidence, and the effective number",
            (2, PARTICLES): "sum over the particles, the first dimension",
            (BATCH, 2): "transposed: one column for each sequence",
            (): "one number for all: each sequence has its own",
            (2,): "each sequence has its own two numbers",
        }
        given = (before, likelihood, prior, proposal)
        compare(answer.name, answer(*given), exact, layout="(2, batch)", mistakes=mistakes, shapes=shapes)
        for far in (-2000.0, 2000.0):
            hint = f"exp leaves the computer's range at log weights near {far:.0f}: `torch.logsumexp` and `softmax`"
            shifted = torch.stack([evidence + far, number])
            found = answer(before, likelihood + far, prior, proposal)
            compare(answer.name, found, shifted, layout="(2, batch)", mistakes={}, otherwise=hint)
    passed(answer.name, f"on {draws} random draws, and far from 0")


def _filtered(before: Tensor, likelihood: Tensor, prior: Tensor, proposal: Tensor) -> Tensor:
    rows = []
    for column in zip(before.T.tolist(), likelihood.T.tolist(), prior.T.tolist(), proposal.T.tolist(), strict=True):
        old = [math.exp(value) for value in column[0]]
        steps = zip(*column[1:], strict=True)
        new = [w * math.exp(a + b - c) for w, (a, b, c) in zip(old, steps, strict=True)]
        evidence = math.log(math.fsum(new) / math.fsum(old))
        rows.append((evidence, math.fsum(new) ** 2 / math.fsum(w * w for w in new)))
    return torch.tensor(rows).double().T


BUGS = {
    "own": "x_t itself is fed in with z_t: what is to be predicted is given away, the generator hears x_{t-1}",
    "still": "one z is used at every step: each has its own z_t",
    "mean": "averaged over the features: their log-likelihoods add up",
}


def mended_generator(function: object, *, seed: int | None = 0, draws: int = 5) -> None:
    """Task 5, the bug hunt: log p(x_t | x_{<t}, z_{<=t}), (batch, time), of STORN's generator."""
    answer = answer_of(function, "mended_generator")
    for by in generators(seed, draws):
        x = (torch.rand(BATCH, TIME, FEATURES, generator=by) < 0.4).float()
        z = _draw(BATCH, TIME, LATENT, by=by)
        weights = (
            _draw(HIDDEN, FEATURES, by=by, scale=0.7),
            _draw(HIDDEN, LATENT, by=by, scale=0.7),
            _draw(HIDDEN, HIDDEN, by=by, scale=0.7),
            _draw(FEATURES, HIDDEN, by=by),
        )
        exact = _generated(x, z, *weights)
        mistakes = {}
        for count in (3, 2, 1):  # all that is left is named
            for own in (False, True):
                for still in (False, True):
                    for mean in (False, True):
                        if own + still + mean == count:
                            left = [BUGS[name] for name, there in zip(BUGS, (own, still, mean), strict=True) if there]
                            wrong = _generated(x, z, *weights, own=own, still=still)
                            mistakes["; and ".join(left)] = wrong / FEATURES if mean else wrong
        mistakes |= {
            "the network no longer remembers: h_t is computed from h_{t-1}": _generated(
                x, z, *weights[:2], 0 * weights[2], weights[3]
            ),
            "the generator no longer hears x_{t-1}: that was right": _generated(x, z, 0 * weights[0], *weights[1:]),
            "z_{t-1} is fed in: the code of this step has a say in it": _generated(
                x, torch.nn.functional.pad(z[:, :-1], (0, 0, 1, 0)), *weights
            ),
            "the sign is flipped: log p is asked for": -exact,
            "these are probabilities: return their logarithms": exact.exp(),
        }
        shapes = {
            (BATCH, TIME, FEATURES): "sum over the features",
            (BATCH,): "keep the steps: each has its own",
            (TIME, BATCH): "the batch comes first: stack the steps on dimension 1",
        }
        compare(answer.name, answer(x, z, *weights), exact, layout="(batch, time)", mistakes=mistakes, shapes=shapes)
    far = (torch.zeros(1, 1, 1), torch.full((1, 1, 1), 50.0), *(torch.ones(1, 1) for _ in range(3)))
    found = answer(*far, torch.tensor([[200.0]]))
    hint = "at logits of 200 log(1 - sigmoid) is -inf: `binary_cross_entropy_with_logits` is not"
    exact = torch.tensor([[-200.0]]).double()
    compare(answer.name, found, exact, layout="(batch, time)", mistakes={}, otherwise=hint)
    passed(answer.name, f"all three bugs are gone, on {draws} random networks and at extreme logits")


def _generated(
    x: Tensor,
    z: Tensor,
    w_x: Tensor,
    w_z: Tensor,
    w_h: Tensor,
    w_out: Tensor,
    *,
    own: bool = False,
    still: bool = False,
) -> Tensor:
    rows = []
    for sequence, codes in zip(x.tolist(), z.tolist(), strict=True):
        h, before, row = [0.0] * HIDDEN, [0.0] * FEATURES, []
        for x_t, z_t in zip(sequence, codes, strict=True):
            heard = _times(w_x, x_t if own else before)
            said = _times(w_z, codes[0] if still else z_t)
            h = [math.tanh(a + b + c) for a, b, c in zip(heard, said, _times(w_h, h), strict=True)]
            row.append(
                math.fsum(-math.log1p(math.exp(-a if bit else a)) for bit, a in zip(x_t, _times(w_out, h), strict=True))
            )
            before = x_t
        rows.append(row)
    return torch.tensor(rows).double()
