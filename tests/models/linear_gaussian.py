"""Sequence models whose weights make them linear and Gaussian, and their exact log p(x_{1:T}) by statsmodels' Kalman filter.

A pair of relu units, relu(a) and relu(-a), whose readers take only the difference, is linear in a. A model's matrices are
read off by asking it (every affine map is known from its value at zero and at each unit vector), so that the filter shares no
formula with the library.
"""

from collections.abc import Callable

import numpy as np
import torch
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
from torch import Tensor, nn

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.models.latent_path import LatentPathModel
from gmnm_lib.models.storn import STORN
from gmnm_lib.models.vrae import VRAE
from gmnm_lib.models.vrnn import VRNN
from gmnm_lib.recurrences import one_step

FEATURES, PAIRS, LATENT = 2, 4, 2


def affine(f: Callable[[Tensor], Tensor], size: int) -> tuple[np.ndarray, np.ndarray]:
    """A and b of f(v) = A v + b for v (size,); f takes rows."""
    with torch.no_grad():
        values = f(torch.cat((torch.zeros(1, size), torch.eye(size))).double()).numpy()
    return (values[1:] - values[0]).T, values[0]


@torch.no_grad()
def kalman_log_likelihood(model: LatentPathModel, batch: Sequences) -> list[float]:
    """log p(x_{1:T}) of each sequence. The filter's state is (s_t, z_t), s_t being what the model remembers before step t."""
    first = model.start(1)
    hidden = [not (isinstance(model, STORN) and i == 0) for i in range(len(first))]  # STORN also remembers x_{t-1}
    widths = [part.shape[1] // 2 if paired else part.shape[1] for part, paired in zip(first, hidden, strict=True)]
    size, latent, features = sum(widths), model.latent, batch.x.shape[2]

    def parts(s: Tensor) -> tuple[Tensor, ...]:
        split = zip(s.split(widths, 1), hidden, strict=True)
        return tuple(torch.cat((part, 0 * part), 1) if paired else part for part, paired in split)

    def differences(state: tuple[Tensor, ...]) -> Tensor:
        split = zip(state, hidden, strict=True)
        return torch.cat([part @ difference(part.shape[1]) if paired else part for part, paired in split], 1)

    def carry(v: Tensor) -> Tensor:  # (s, z, x) to the s after them
        s, z, x = v.split((size, latent, features), 1)
        return differences(model.advance(parts(s), z, x))

    to_prior, prior_at_zero = affine(lambda s: model.prior_at(parts(s)).mean, size)
    to_x, x_at_zero = affine(lambda v: model.emission_at(parts(v[:, :size]), v[:, size:]).mean, size + latent)
    to_s, s_at_zero = affine(carry, size + latent + features)
    of_z = np.diag(model.prior_at(first).variance[0].numpy())
    noise = np.diag(model.emission_at(first, torch.zeros(1, latent).double()).variance[0].numpy())

    to_state, of_x = to_s[:, : size + latent], to_s[:, size + latent :]
    results = []
    for x, length in zip(batch.x.numpy(), batch.lengths.tolist(), strict=True):
        known = x[:length] @ of_x.T + s_at_zero  # of s_{t+1}, given x_t
        kalman = KalmanFilter(features, size + latent, k_posdef=latent)
        kalman.bind(np.ascontiguousarray(x[:length]))
        kalman["design"], kalman["obs_intercept"], kalman["obs_cov"] = to_x, x_at_zero, noise
        kalman["transition"] = np.vstack((to_state, to_prior @ to_state))
        kalman["state_intercept"] = np.hstack((known, known @ to_prior.T + prior_at_zero)).T
        kalman["selection"] = np.vstack((np.zeros((size, latent)), np.eye(latent)))
        kalman["state_cov"] = of_z
        start = differences(first)[0].numpy()
        covariance = np.zeros((size + latent, size + latent))
        covariance[size:, size:] = of_z
        kalman.initialize_known(np.concatenate((start, to_prior @ start + prior_at_zero)), covariance)
        results.append(float(kalman.loglike()))
    return results


def difference(units: int) -> Tensor:
    """(units, units / 2): takes pairs (h+, h-) to h+ - h-."""
    one = torch.eye(units // 2).double()
    return torch.cat((one, -one))


@torch.no_grad()
def pair_units(rnn: nn.RNN | nn.RNNCell, readers: list[nn.Linear]) -> None:
    """The second half of the relu units become the first half's negatives; all who read them take the difference."""
    suffix = "_l0" if isinstance(rnn, nn.RNN) else ""
    pairs = rnn.hidden_size // 2
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        parameter = getattr(rnn, name + suffix)
        parameter[pairs:] = -parameter[:pairs]
    for weight in [getattr(rnn, "weight_hh" + suffix), *(reader.weight for reader in readers)]:
        weight[:, -pairs:] = -weight[:, -2 * pairs : -pairs]


@torch.no_grad()
def constant_variance(layer: nn.Linear, log_variance: float) -> None:
    """The second half of the layer's numbers no longer depends on what it reads."""
    half = layer.out_features // 2
    layer.weight[half:] = 0.0
    layer.bias[half:] = log_variance


def linear_storn(prior: str = "white") -> STORN:
    torch.manual_seed(0)
    model = STORN(FEATURES, 2 * PAIRS, LATENT, cell="relu", output="gaussian", prior=prior).double()
    parts = [(model.generation, model.to_x)]
    if model.expectation is not None:
        parts.append((model.expectation, model.to_prior))
    for rnn, reader in parts:
        nn.init.normal_(reader.weight, 0, 0.7)
        constant_variance(reader, -1.0)
        pair_units(rnn, [reader])
    return model


def linear_vrnn(conditional_prior: bool = True) -> VRNN:
    torch.manual_seed(0)
    model = VRNN(
        FEATURES,
        2 * PAIRS,
        LATENT,
        width=4,
        cell="relu",
        output="gaussian",
        activation=nn.Identity,
        conditional_prior=conditional_prior,
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.4)
    readers = [model.decoder, model.encoder] + ([model.prior_network] if conditional_prior else [])
    for network in readers:
        constant_variance(network[2], -1.0)
    with torch.no_grad():
        for parameter in model.encoder.parameters():  # a proposal near enough that importance weights have a variance
            parameter.mul_(0.5)
    pair_units(model.cell, [network[0] for network in readers])
    constant_variance(model.encoder[2], 0.3)
    return model


def linear_vrae() -> VRAE:
    torch.manual_seed(0)
    model = VRAE(FEATURES, 2 * PAIRS, LATENT, cell="relu", output="gaussian").double()
    model.to_start[1] = nn.Identity()
    nn.init.normal_(model.to_x.weight, 0, 0.7)
    constant_variance(model.to_x, -1.0)
    pair_units(model.decoder, [model.to_x])
    return model


@torch.no_grad()
def kalman_vrae(model: VRAE, batch: Sequences) -> list[float]:
    """The same for a VRAE: the filter's state is h_t, its only noise that of z in h_1."""
    hidden, features = model.decoder.hidden_size, batch.x.shape[2]
    pairs = hidden // 2

    def units(h: Tensor) -> Tensor:
        return torch.cat((h, 0 * h), 1)

    def carry(v: Tensor) -> Tensor:
        h, x = v.split((pairs, features), 1)
        return one_step(model.decoder, x, (units(h),))[0] @ difference(hidden)

    to_h, h_at_zero = affine(carry, pairs + features)
    to_x, x_at_zero = affine(lambda h: model.output(model.to_x(units(h))).mean, pairs)
    start, start_at_zero = affine(lambda z: model.start(z)[0] @ difference(hidden), model.latent)
    of_h, of_x = to_h[:, :pairs], to_h[:, pairs:]
    noise = np.diag(model.output(model.to_x(torch.zeros(1, hidden).double())).variance[0].numpy())
    results = []
    for x, length in zip(batch.x.numpy(), batch.lengths.tolist(), strict=True):
        kalman = KalmanFilter(features, pairs, k_posdef=1)
        kalman.bind(np.ascontiguousarray(x[:length]))
        kalman["design"], kalman["obs_intercept"], kalman["obs_cov"] = to_x, x_at_zero, noise
        kalman["transition"], kalman["state_intercept"] = of_h, (x[:length] @ of_x.T + h_at_zero).T
        kalman.initialize_known(of_h @ start_at_zero + h_at_zero, of_h @ start @ start.T @ of_h.T)
        results.append(float(kalman.loglike()))
    return results


def posterior_of(to_x: np.ndarray, noise: float, prior_variance: float) -> tuple[Tensor, Tensor]:
    """The gain K and the variances of p(z | x), x = to_x z + N(0, noise), z ~ N(., prior_variance); to_x's columns orthogonal."""
    covariance = to_x @ to_x.T * prior_variance + noise * np.eye(len(to_x))
    gain = prior_variance * to_x.T @ np.linalg.inv(covariance)
    variance = prior_variance * np.diag(np.eye(to_x.shape[1]) - gain @ to_x)
    return torch.from_numpy(gain), torch.from_numpy(variance)


@torch.no_grad()
def turn(weight: Tensor, to_x: np.ndarray) -> None:
    """Turn the axes of z, which `weight` reads, so that to_x's columns are orthogonal and the posterior's covariance diagonal."""
    weight.copy_(weight @ torch.from_numpy(np.linalg.svd(to_x)[2].T))


@torch.no_grad()
def remember_two_steps(rnn: nn.RNN, reader: nn.Linear) -> None:
    """h_t = (x_t, x_{t-1}), in pairs."""
    for parameter in rnn.parameters():
        parameter.zero_()
    rnn.weight_ih_l0[:FEATURES] = torch.eye(FEATURES)
    rnn.weight_hh_l0[FEATURES : 2 * FEATURES, :FEATURES] = torch.eye(FEATURES)
    pair_units(rnn, [reader])


@torch.no_grad()
def read_pairs(reader: nn.Linear, weight: Tensor, bias: Tensor, variance: Tensor) -> None:
    """q's mean as weight h + bias (latent, pairs), its variance a constant."""
    half = reader.out_features // 2
    reader.weight.zero_()
    reader.weight[:half] = weight @ difference(reader.in_features).t()
    reader.bias.copy_(torch.cat((bias, torch.as_tensor(variance).log())))


@torch.no_grad()
def exact_storn() -> STORN:
    """h_{t-1} is forgotten: p(z_t | x_{1:T}) is that given x_t and x_{t-1}, which the recognition model remembers."""
    model = linear_storn()
    model.generation.weight_hh_l0.zero_()

    def of(v: Tensor) -> Tensor:  # (x_{t-1}, z_t)
        before, z = v.split((FEATURES, LATENT), 1)
        return model.emission_at((before, before.new_zeros(len(v), 2 * PAIRS)), z).mean

    turn(model.generation.weight_ih_l0[:, FEATURES:], affine(of, FEATURES + LATENT)[0][:, FEATURES:])
    to_x, x_at_zero = affine(of, FEATURES + LATENT)
    gain, variance = posterior_of(to_x[:, FEATURES:], emission_noise(model), 1.0)
    of_before = -gain @ torch.from_numpy(to_x[:, :FEATURES])
    remember_two_steps(model.recognition, model.to_posterior)
    read_pairs(model.to_posterior, torch.cat((gain, of_before), 1), -gain @ torch.from_numpy(x_at_zero), variance)
    return model


@torch.no_grad()
def exact_vrnn() -> VRNN:
    """The recurrence does not hear z: p(z_t | x_{1:T}, z_{<t}) is that given x_t and h_{t-1}, which the encoder reads."""
    model = linear_vrnn()
    model.cell.weight_ih[:, model.width :] = 0.0

    def of(v: Tensor) -> Tensor:  # (h_{t-1} in differences, z_t)
        h, z = v.split((PAIRS, LATENT), 1)
        return model.emission_at((torch.cat((h, 0 * h), 1),), z).mean

    turn(model.phi_z[0].weight, affine(of, PAIRS + LATENT)[0][:, PAIRS:])
    to_x, x_at_zero = map(torch.from_numpy, affine(of, PAIRS + LATENT))
    of_h, at_zero = affine(lambda h: model.prior(torch.cat((h, 0 * h), 1)).mean, PAIRS)
    prior_variance = float(model.prior(torch.zeros(1, 2 * PAIRS).double()).variance[0, 0])
    gain, variance = posterior_of(to_x[:, PAIRS:].numpy(), emission_noise(model), prior_variance)
    innovation_of_h = to_x[:, :PAIRS] + to_x[:, PAIRS:] @ torch.from_numpy(of_h)
    innovation_at_zero = x_at_zero + to_x[:, PAIRS:] @ torch.from_numpy(at_zero)

    for parameter in (*model.phi_x.parameters(), *model.encoder.parameters()):
        parameter.zero_()
    model.phi_x[0].weight[:FEATURES] = torch.eye(FEATURES)
    first, _, last = model.encoder
    first.weight[:LATENT, :FEATURES] = gain
    first.weight[:LATENT, model.width :] = (torch.from_numpy(of_h) - gain @ innovation_of_h) @ difference(2 * PAIRS).t()
    first.bias[:LATENT] = torch.from_numpy(at_zero) - gain @ innovation_at_zero
    last.weight[:LATENT, :LATENT] = torch.eye(LATENT)
    last.bias[LATENT:] = variance.log()
    return model


@torch.no_grad()
def exact_vrae() -> VRAE:
    """For sequences of two steps: the encoder remembers both."""
    model = linear_vrae()

    def unexplained(v: Tensor) -> Tensor:  # (x_2, x_1, z) to x_1 - E[x_1 | z] and x_2 - E[x_2 | x_1, z]
        last, first, z = v.split((FEATURES, FEATURES, LATENT), 1)
        x = torch.stack((first, last), 1)
        return (x - model.decode(x, z).mean).flatten(1)

    turn(model.to_start[0].weight, affine(unexplained, 2 * FEATURES + LATENT)[0][:, 2 * FEATURES :])
    rest, at_zero = affine(unexplained, 2 * FEATURES + LATENT)
    noise = float(model.output(model.to_x(torch.zeros(1, 2 * PAIRS).double())).variance[0, 0])
    gain, variance = posterior_of(-rest[:, 2 * FEATURES :], noise, 1.0)
    remember_two_steps(model.encoder, model.to_posterior)
    of_x = gain @ torch.from_numpy(rest[:, : 2 * FEATURES])
    read_pairs(model.to_posterior, of_x, gain @ torch.from_numpy(at_zero), variance)
    return model


def emission_noise(model: LatentPathModel) -> float:
    return float(model.emission_at(model.start(1), torch.zeros(1, LATENT).double()).variance[0, 0])
