"""The deep Boltzmann machine against enumeration of all its states."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import deep
from gmnm_lib.evaluate.annealing import ais, reverse_ais
from gmnm_lib.evaluate.deep import DBMPath, log_likelihood, log_partition
from gmnm_lib.evaluate.enumeration import states
from gmnm_lib.models.dbm import DBM, ReplicatedRBM, pretrain
from gmnm_lib.trainer import Trainer
from tests.models.small_rbms import off_by


def machine(sizes: tuple[int, ...] = (4, 3, 3), seed: int = 0, scale: float = 1.0, particles: int = 10) -> DBM:
    torch.manual_seed(seed)
    dbm = DBM(sizes, particles=particles).double()
    for parameter in dbm.parameters():
        parameter.data.normal_(0, scale)
    dbm.centres.uniform_()
    return dbm


def tempered(dbm: DBM, temperature: float) -> Tensor:
    """p(x, h)^(1/temperature), normalised, over all states."""
    return (-dbm.energy(states(sum(dbm.sizes), dtype=torch.float64)) / temperature).softmax(0).detach()


def exact_draws(dbm: DBM, n: int, temperature: float = 1.0) -> Tensor:
    return states(sum(dbm.sizes), dtype=torch.float64)[tempered(dbm, temperature).multinomial(n, replacement=True)]


def test_centring_changes_the_words_and_not_the_distribution() -> None:
    dbm, everything = machine((3, 2, 3, 2)), states(10, dtype=torch.float64)
    before, fields = (-dbm.energy(everything)).softmax(0), [dbm.field(dbm.layers(everything), l) for l in range(4)]
    dbm.centre(torch.rand(10, dtype=torch.float64))
    assert torch.allclose((-dbm.energy(everything)).softmax(0), before)
    for l, field in enumerate(fields):
        assert torch.allclose(dbm.field(dbm.layers(everything), l), field)


@pytest.mark.parametrize("sizes", [(4, 3, 3), (3, 2, 3, 2), (2, 4, 1)])
def test_log_partition_and_likelihood_are_sums_over_all_states(sizes: tuple[int, ...]) -> None:
    dbm = machine(sizes)
    everything = states(sum(sizes), dtype=torch.float64)
    mass = -dbm.energy(everything)
    assert torch.allclose(log_partition(dbm), mass.logsumexp(0))
    of_x = mass.reshape(2 ** sizes[0], -1).logsumexp(1) - mass.logsumexp(0)
    assert torch.allclose(log_likelihood(dbm, states(sizes[0], dtype=torch.float64)), of_x)


@pytest.mark.parametrize("sizes", [(4, 3, 3), (3, 2, 3, 2)])
def test_portions_of_the_states_give_the_same_sums_and_gradients(sizes: tuple[int, ...], monkeypatch) -> None:
    dbm, x = machine(sizes), states(sizes[0], dtype=torch.float64)
    found = []
    for chunk in (1, 50, 2**22):
        monkeypatch.setattr(deep, "CHUNK", chunk)
        log_p = log_likelihood(dbm, x)
        found.append((log_p, *torch.autograd.grad(log_p[:3].sum(), list(dbm.parameters()))))
    for portions in found[:2]:
        torch.testing.assert_close(portions, found[2])


def test_no_table_of_all_states_beside_all_units_is_built(monkeypatch) -> None:
    """2^8 states of the odd layer beside all 212 units are 54,000 numbers, beside 300 images 77,000."""
    dbm, asked = DBM((200, 8, 4)), []
    honest = deep._summed
    monkeypatch.setattr(deep, "CHUNK", 2**14)
    monkeypatch.setattr(
        deep, "_summed", lambda dbm, half, *more: (asked.append(len(half)), honest(dbm, half, *more))[1]
    )
    log_likelihood(dbm, torch.rand(300, 200).round())
    assert max(asked) * 212 <= 2**14 and sum(asked) == 2 * 2**8


def test_the_bound_rises_with_every_sweep_and_stays_below_the_likelihood() -> None:
    dbm = machine((4, 3, 3, 2), scale=1.5)
    x, log_z = states(4, dtype=torch.float64), log_partition(dbm)
    bounds = torch.stack([dbm.bound(dbm.mean_field(x, steps), log_z) for steps in range(20)])
    assert bool((bounds.diff(dim=0) >= -1e-12).all())
    assert bool((bounds[-1] > bounds[0] + 1e-3).any())
    assert bool((bounds[-1] <= log_likelihood(dbm, x)).all())


def test_mean_field_starts_with_an_upward_pass_doubled_below_the_top() -> None:
    """What each layer hears from below, twice while the layer above is silent; the top one has none above it."""
    dbm, x = machine((4, 3, 3, 2)), states(4, dtype=torch.float64)
    centres, mu = dbm.layers(dbm.centres), [x]
    for l, times in ((1, 2), (2, 2), (3, 1)):
        mu.append((dbm.biases[l] + times * (mu[-1] - centres[l - 1]) @ dbm.weights[l - 1]).sigmoid())
    assert torch.allclose(dbm.mean_field(x, 0), torch.cat(mu, -1))


def test_the_bound_is_the_likelihood_where_the_posterior_factorises() -> None:
    dbm = machine()
    dbm.weights[1].data.zero_()
    x = states(4, dtype=torch.float64)
    assert torch.allclose(dbm.bound(dbm.mean_field(x, 1), log_partition(dbm)), log_likelihood(dbm, x))


def test_gibbs_steps_leave_the_distribution_as_it_is() -> None:
    dbm, n = machine((2, 2, 2, 1)), 200_000
    everything = states(7, dtype=torch.float64)
    p = (-dbm.energy(everything)).softmax(0)
    drawn = everything[p.multinomial(n, replacement=True)]
    after = dbm.gibbs_step(drawn) @ (2.0 ** torch.arange(6, -1, -1, dtype=torch.float64))
    frequency = torch.bincount(after.long(), minlength=128) / n
    z = (frequency - p) / (p * (1 - p) / n).sqrt()
    assert z.abs().max() < 4.5  # 128 cells


def halves(dbm: DBM) -> tuple[Tensor, Tensor]:
    """Which (even, odd) half of the layers each state has, as numbers."""
    layers = dbm.layers(states(sum(dbm.sizes), dtype=torch.float64))
    even, odd = (numbers_of(torch.cat(layers[parity::2], -1)) for parity in (0, 1))
    return even, odd


def numbers_of(half: Tensor) -> Tensor:
    return (half @ (2.0 ** torch.arange(half.shape[1]).double())).long()


def kernel_of(dbm: DBM, temperature: float) -> Tensor:
    """T(s, s') = p(odd'|even) p(even'|odd') of a step from every state to every other, from the conditionals of p^(1/T)."""
    even, odd = halves(dbm)
    joint = torch.zeros(int(even.max()) + 1, int(odd.max()) + 1, dtype=torch.float64)
    joint[even, odd] = tempered(dbm, temperature)
    up, down = joint / joint.sum(1, keepdim=True), joint / joint.sum(0)
    return up[even][:, odd] * down[even, odd]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_gibbs_steps_draw_from_the_kernel_of_the_tempered_distribution(temperature: float) -> None:
    """Its matrix is stationary in all units, and in detailed balance in the even layers."""
    dbm, n = machine((2, 2, 2)), 40_000
    p, even, kernel = tempered(dbm, temperature), halves(dbm)[0], kernel_of(dbm, temperature)
    assert torch.allclose(p @ kernel, p)
    flow = torch.zeros(16, 64, dtype=torch.float64).index_add(0, even, p[:, None] * kernel)
    flow = torch.zeros(16, 16, dtype=torch.float64).index_add(1, even, flow)
    assert torch.allclose(flow, flow.T)
    torch.manual_seed(1)
    for start in (0, 22, 63):
        after = dbm.gibbs_step(states(6, dtype=torch.float64)[start].expand(n, -1), temperature)
        assert off_by(after, kernel[start]) < 4.5


def test_temperature_is_that_of_the_particles() -> None:
    dbm, n = machine((2, 2, 2), particles=40_000), 40_000
    torch.manual_seed(2)
    dbm.particles.copy_(exact_draws(dbm, n, 3.0))
    dbm.loss(states(2, dtype=torch.float64), k=3, temperature=3.0)
    assert off_by(dbm.particles, tempered(dbm, 3.0)) < 4.5
    assert off_by(dbm.particles, tempered(dbm, 1.0)) > 10


@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_is_the_number_of_steps_of_the_particles(k: int) -> None:
    """Where k steps take them from all units off, in a machine that leaves that mode slowly; neither k - 1 nor k + 1 do."""
    n = 40_000
    dbm = DBM((2, 2, 2), particles=n).double()
    for weights in dbm.weights:
        weights.data.fill_(1.5)
    for bias, half_of_what_it_hears in zip(dbm.biases, (1.5, 3.0, 1.5), strict=True):
        bias.data.fill_(-half_of_what_it_hears)
    dbm.particles.zero_()
    step = kernel_of(dbm, 1.0)
    torch.manual_seed(7)
    dbm.loss(states(2, dtype=torch.float64), k=k)
    fewer, exact, more = (torch.linalg.matrix_power(step, k + d)[0] for d in (-1, 0, 1))
    assert off_by(dbm.particles, exact) < 4.5
    assert k == 1 or off_by(dbm.particles, fewer) > 8
    assert off_by(dbm.particles, more) > 8


def test_samples_are_a_mixture_of_coins_with_the_images_probabilities() -> None:
    """E[prod_i Bernoulli(x_i; mean_i)] = p(x) for every image x, and long chains alone have it."""
    dbm, n = machine((3, 3, 2)), 20_000
    exact = tempered(dbm, 1.0).reshape(8, -1).sum(1)
    torch.manual_seed(3)

    def off(steps: int) -> float:
        coins = torch.distributions.Bernoulli(probs=dbm.sample(n, steps)[:, None])
        share = coins.log_prob(states(3, dtype=torch.float64)).sum(-1).exp()
        return float(((share.mean(0) - exact).abs() / share.std(0) * n**0.5).max())

    assert off(100) < 4
    assert off(0) > 10


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_an_annealing_transition_draws_from_a_reversible_kernel(beta: float) -> None:
    """Its matrix from the conditionals of p_beta, E_beta with the weights beta W: p(a) T(a, b) = p(b) T(b, a)."""
    dbm, n = machine((2, 2, 2, 1)), 40_000
    scaled = machine((2, 2, 2, 1))
    for weights in scaled.weights:
        weights.data.mul_(beta)
    even, odd = halves(scaled)
    joint = torch.zeros(16, 8, dtype=torch.float64)
    joint[even, odd] = tempered(scaled, 1.0)
    kernel = (joint / joint.sum(0)).T @ (joint / joint.sum(1, keepdim=True))  # p(even|odd) p(odd'|even)
    flow = joint.sum(0)[:, None] * kernel
    assert torch.allclose(flow, flow.T)
    path, everything = DBMPath(dbm), states(3, dtype=torch.float64)
    assert torch.allclose(path.log_density(everything, beta).softmax(0), joint.sum(0)[numbers_of(everything)])
    torch.manual_seed(4)
    for start in everything:
        after = path.transition(start.expand(n, -1), beta)
        exact = kernel[numbers_of(start[None])[0], numbers_of(everything)]
        assert off_by(after, exact) < 4.5


def test_annealing_is_within_its_error_bars_on_ten_machines() -> None:
    z = []
    for seed in range(10):
        dbm = machine((4, 3, 3) if seed % 2 else (4, 3, 2, 3), seed)
        estimate = ais(DBMPath(dbm), betas=200, chains=500, seed=seed)
        z.append((estimate.mean - float(log_partition(dbm).detach())) / estimate.standard_error)
    assert max(map(abs, z)) < 4
    assert sum(z) / 10**0.5 == pytest.approx(0, abs=4)


def test_annealing_backwards_from_exact_draws_is_within_its_error_bars_on_ten_machines() -> None:
    z = []
    for seed in range(10):
        dbm = machine((4, 3, 3) if seed % 2 else (4, 3, 2, 3), seed)
        odd = torch.cat(dbm.layers(exact_draws(dbm, 5000))[1::2], -1)
        estimate = reverse_ais(DBMPath(dbm), odd, betas=20, seed=seed)
        z.append((estimate.mean - float(log_partition(dbm).detach())) / estimate.standard_error)
    assert max(map(abs, z)) < 4
    assert sum(z) / 10**0.5 == pytest.approx(0, abs=4)


def test_the_gradient_is_the_bounds_with_many_particles() -> None:
    dbm, n = machine(particles=100_000, scale=0.7), 100_000
    everything = states(10, dtype=torch.float64)
    p = (-dbm.energy(everything)).softmax(0).detach()
    dbm.particles.copy_(everything[p.multinomial(n, replacement=True)])
    x = states(4, dtype=torch.float64)[:5]
    exact = torch.autograd.grad(-dbm.bound(dbm.mean_field(x, 30), log_partition(dbm)).mean(), list(dbm.parameters()))
    estimate = torch.autograd.grad(dbm.loss(x, k=1, mean_field_steps=30).total, list(dbm.parameters()))
    for ours, theirs in zip(estimate, exact, strict=True):
        assert (ours - theirs).abs().max() < 4 * 0.5 / n**0.5  # a product of bits has a deviation of at most 1/2


def test_pretraining_doubles_inputs_and_the_assembled_machine_halves_them() -> None:
    data, seen = (torch.rand(6, 5) > 0.5).double(), []
    dbm = pretrain(data, (5, 4, 3, 2), lambda rbm, _: seen.append(scatter(rbm)), particles=2)
    assert [(r.visible_copies, r.hidden_copies) for r in seen] == [(2, 1), (2, 2), (1, 2)]
    bottom, middle = seen[0], seen[1]
    h = torch.rand(6, 4, dtype=torch.float64)
    assert torch.allclose(bottom.propup(data).logit(), 2 * data @ bottom.weights + bottom.hidden_bias)
    assert torch.allclose(bottom.propdown(h).logit(), h @ bottom.weights.T + bottom.visible_bias)
    above = torch.rand(6, 3, dtype=torch.float64)
    average = (bottom.propup(data).logit() + middle.propdown(above).logit()) / 2
    assert torch.allclose(dbm.field([data, h, above, above], 1), average)


@pytest.mark.parametrize("visible_copies, hidden_copies", [(2, 1), (2, 2), (1, 2)])
def test_a_replicated_rbm_walks_towards_the_machine_with_every_copy_written_out(
    visible_copies: int, hidden_copies: int
) -> None:
    """p(v, v', h, h') of all copies, each joined to each: `gibbs_step` draws from its kernel on the sums v + v'."""
    torch.manual_seed(4)
    rbm, n = scatter(ReplicatedRBM(2, 2, visible_copies=visible_copies, hidden_copies=hidden_copies).double()), 40_000
    v, h = (states(2 * copies, dtype=torch.float64) for copies in (visible_copies, hidden_copies))
    biases = (v @ rbm.visible_bias.repeat(visible_copies))[:, None] + h @ rbm.hidden_bias.repeat(hidden_copies)
    pairs = v @ rbm.weights.repeat(visible_copies, hidden_copies) @ h.T
    joint = (biases + pairs).detach().flatten().softmax(0).reshape(len(v), len(h))
    sums = v.reshape(len(v), visible_copies, 2).sum(1)
    assert torch.allclose((-rbm.free_energy(sums)).softmax(0), joint.sum(1))

    totals, which = sums.unique(dim=0, return_inverse=True)
    of_sums = torch.zeros(len(totals), len(h), dtype=torch.float64).index_add(0, which, joint)
    p = of_sums.sum(1)
    kernel = (of_sums / p[:, None]) @ (of_sums / of_sums.sum(0)).T
    assert torch.allclose(p @ kernel, p)
    assert torch.allclose(p[:, None] * kernel, (p[:, None] * kernel).T)
    for start, exact in zip(totals, kernel, strict=True):
        after = rbm.gibbs_step(start.expand(n, -1))
        share = (after[:, None] == totals).all(-1).double().mean(0)
        assert bool(((share - exact).abs() < 4.5 * (exact * (1 - exact) / n).sqrt()).all())


def scatter(rbm: ReplicatedRBM) -> ReplicatedRBM:
    for parameter in rbm.parameters():
        parameter.data.normal_()
    return rbm


def test_pretraining_feeds_the_next_layer_bits_drawn_from_the_last() -> None:
    x, n, seen = states(4, dtype=torch.float64)[[3, 5]].repeat(2000, 1), 4000, []
    torch.manual_seed(5)
    pretrain(x, (4, 3, 3, 2), lambda rbm, data: seen.append((scatter(rbm), data)), particles=2)
    for (rbm, data), (_, after) in pairwise(seen):
        on = rbm.propup(data).detach()
        assert set(after.unique().tolist()) == {0.0, 1.0}
        assert bool(((after.mean(0) - on.mean(0)).abs() < 4 * (on * (1 - on)).mean(0).sqrt() / n**0.5).all())


def digits() -> Tensor:
    return (load("digits-8x8").train[:500] > 0.5).float()


def test_pretraining_and_training_raise_the_exact_bound_on_digits() -> None:
    x = digits()
    torch.manual_seed(0)
    dbm = pretrain(x, (64, 12, 12), lambda rbm, data: train(rbm, data, epochs=10))
    before = float(dbm.bound(dbm.mean_field(x), log_partition(dbm)).mean())
    train(dbm, x, epochs=20)
    after = float(dbm.bound(dbm.mean_field(x), log_partition(dbm)).mean())
    independent = float(torch.distributions.Bernoulli(x.mean(0).clamp(0.01, 0.99)).log_prob(x).sum(-1).mean())
    assert after > before
    assert after > independent


def train(model: torch.nn.Module, data: Tensor, *, epochs: int) -> None:
    for _ in Trainer(model, data, batch_size=50, lr=5e-3, device="cpu").run(epochs=epochs):
        pass


def test_a_resumed_run_ends_as_the_unbroken_one_to_the_bit(tmp_path: Path) -> None:
    def trainer() -> Trainer:
        torch.manual_seed(3)
        return Trainer(DBM((64, 8, 8), particles=5), digits(), batch_size=50, seed=1, device="cpu")

    whole, first, second = trainer(), trainer(), trainer()
    list(whole.run(epochs=2))
    list(first.run(epochs=1))
    first.save(tmp_path / "state")
    second.load(tmp_path / "state")
    list(second.run(epochs=1))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: DBM((4, 3)), "two or more hidden"),
        (lambda: DBM(particles=0), "1 or more chains"),
        (lambda: DBM((4, 3, 2)).check_data(torch.rand(2, 5)), "shape"),
        (lambda: DBM((4, 3, 2)).check_data(2 * torch.ones(2, 4)), "scale"),
        (lambda: ReplicatedRBM(4, 3).check_data(torch.rand(2, 5)), r"this RBM takes .* of shape \(batch, 4\)"),
        (lambda: train(ReplicatedRBM(4, 3), 2 * torch.ones(50, 4), epochs=1), "from 2 to 2: .* scale v"),
        (lambda: pretrain(-torch.ones(2, 4), (4, 3, 2), lambda rbm, data: None), "from -1 to -1: .* scale x"),
        (lambda: log_partition(DBM((30, 30, 30))), "too many to enumerate"),
        (lambda: pretrain(torch.rand(2, 5), (4, 3, 2), train), "begin with it"),
        (lambda: pretrain(torch.rand(2, 4), (4, 3, 0), train), "1 unit or more"),
        (lambda: log_likelihood(DBM((4, 3, 2)), torch.rand(2, 5)), "shape"),
        (lambda: log_likelihood(DBM((4, 3, 2)), 2 * torch.ones(2, 4)), "from 2 to 2: .* scale x"),
        (lambda: DBM.assemble([]), "two or more hidden"),
        (lambda: DBM.assemble([ReplicatedRBM(4, 3)]), "two or more hidden"),
        (lambda: DBM.assemble([ReplicatedRBM(4, 3), ReplicatedRBM(2, 3)]), "each must begin"),
        (lambda: DBM((4, 3, 2)).sample(1, steps=-1), "steps is -1"),
        (lambda: reverse_ais(DBMPath(DBM((4, 3, 2))), torch.zeros(5, 4)), r"\(chains, 3\)"),
        (lambda: reverse_ais(DBMPath(DBM((4, 3, 2))), 2 * torch.ones(5, 3)), "from 2 to 2"),
    ],
)
def test_bad_input_is_named(fault, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=words):
        fault()
