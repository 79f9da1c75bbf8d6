"""A deep Markov model (Krishnan, Shalit & Sontag 2017), trained in our way and as a Pyro program on the same networks.

    p(z_t | z_{t-1})          a gated mix of a linear map and a network
    p(x_t | z_t)              Bernoulli
    q(z_t | z_{t-1}, x_{t:T}) of z_{t-1} and an RNN that reads x from its end

Ours draws z in a loop that holds nothing else; transition and emission are computed after it for all steps at once, the KL in
closed form. Pyro's has a sample statement for each z_t and x_t, in a model and in a guide, and estimates the KL (Trace_ELBO).
"""

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.networks import bernoulli, mlp
from gmnm_lib.recurrences import InLoop, hidden_states, recurrence, turned_round


class DeepMarkovModel(nn.Module):
    def __init__(self, features: int, hidden: int, latent: int):
        super().__init__()
        self.latent = latent
        self.gate = mlp(latent, hidden, latent)
        self.proposed = mlp(latent, hidden, latent)
        self.kept = nn.Linear(latent, latent)
        self.to_scale = nn.Linear(latent, latent)
        self.emitter = mlp(latent, hidden, hidden, features)
        self.reader = recurrence("relu", features, hidden)
        self.of_z = nn.Linear(latent, hidden)
        self.to_posterior = nn.Linear(hidden, 2 * latent)

    def transition(self, z: Tensor) -> Normal:
        """p(z_t | z_{t-1})"""
        gate, proposed = self.gate(z).sigmoid(), self.proposed(z)
        mean = torch.lerp(self.kept(z), proposed, gate)
        return Normal(mean, F.softplus(self.to_scale(proposed.relu())), validate_args=False)

    def reading(self, batch: Sequences) -> Tensor:
        """What the guide knows of x_{t:T} at each t: (batch, time, hidden)"""
        return turned_round(hidden_states(self.reader, turned_round(*batch)), batch.lengths)

    def combine(self, z: Tensor, reading: Tensor) -> Normal:
        """q(z_t | z_{t-1}, x_{t:T})"""
        return posterior(self.to_posterior(0.5 * (self.of_z(z).tanh() + reading)))

    def loss(self, batch: Sequences) -> Tensor:
        """The negative bound in nats a step."""
        reading = (0.5 * self.reading(batch)).transpose(0, 1)  # (time, batch, hidden)
        time, n, _ = reading.shape
        of_z = InLoop(self.of_z.bias.expand(time, n, -1), self.of_z.weight)
        # The half of the reading goes through the last layer before the loop, that of z inside it.
        last = InLoop(self.to_posterior(reading), 0.5 * self.to_posterior.weight)
        z, drawn, numbers = reading.new_zeros(n, self.latent), [], []
        for t, epsilon in enumerate(torch.randn(time, n, self.latent).unbind(0)):
            numbers.append(last(t, of_z(t, z).tanh()))
            mean, scale = numbers[-1].chunk(2, 1)
            z = torch.addcmul(mean, F.softplus(scale), epsilon)
            drawn.append(z)
        all_z = torch.stack(drawn)
        before = F.pad(all_z[:-1], (0, 0, 0, 0, 1, 0))
        kl = kl_divergence(posterior(torch.stack(numbers)), self.transition(before)).sum(-1)
        terms = kl - bernoulli(logits=self.emitter(all_z)).log_prob(batch.x.transpose(0, 1))
        return terms[batch.mask.t()].sum() / batch.mask.sum()


def posterior(numbers: Tensor) -> Normal:
    mean, scale = numbers.chunk(2, -1)
    return Normal(mean, F.softplus(scale), validate_args=False)


class PyroProgram:
    """The same model as Pyro's users write it."""

    def __init__(self, networks: DeepMarkovModel):
        self.networks = networks
        self.bound = Trace_ELBO()

    def model(self, batch: Sequences) -> None:
        pyro.module("networks", self.networks)
        mask = batch.mask
        z = batch.x.new_zeros(len(batch.x), self.networks.latent)
        with pyro.plate("sequences", len(batch.x)):
            for t in pyro.markov(range(batch.x.shape[1])):
                inside = mask[:, t : t + 1]
                p = self.networks.transition(z)
                z = pyro.sample(f"z_{t}", dist.Normal(p.loc, p.scale).mask(inside).to_event(1))
                logits = self.networks.emitter(z)
                pyro.sample(f"x_{t}", dist.Bernoulli(logits=logits).mask(inside).to_event(1), obs=batch.x[:, t])

    def guide(self, batch: Sequences) -> None:
        pyro.module("networks", self.networks)
        mask, reading = batch.mask, self.networks.reading(batch)
        z = batch.x.new_zeros(len(batch.x), self.networks.latent)
        with pyro.plate("sequences", len(batch.x)):
            for t in pyro.markov(range(batch.x.shape[1])):
                q = self.networks.combine(z, reading[:, t])
                z = pyro.sample(f"z_{t}", dist.Normal(q.loc, q.scale).mask(mask[:, t : t + 1]).to_event(1))

    def loss(self, batch: Sequences) -> Tensor:
        """The negative bound in nats a step."""
        return self.bound.differentiable_loss(self.model, self.guide, batch) / batch.mask.sum()
