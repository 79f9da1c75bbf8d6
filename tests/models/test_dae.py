"""Denoising autoencoders against autograd, finite differences, closed-form scores and the algorithm written out."""

import math

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.chains import Chain
from gmnm_lib.corruption import GaussianNoise, Masking, SaltAndPepper
from gmnm_lib.densities import GaussianMixture
from gmnm_lib.errors import InputError
from gmnm_lib.models.dae import DAE, ContractiveAutoencoder, Denoiser, DenoisingMLP
from gmnm_lib.objectives import knobs_of
from gmnm_lib.trainer import Trainer

X = torch.rand(5, 6, generator=torch.Generator().manual_seed(0)).double()


def small(kind=DAE, hidden=4, **options):
    torch.manual_seed(0)
    model = kind(6, hidden, **options).double()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_is_torchs_cross_entropy_of_the_network_written_out(tied):
    """Vincent 2008, one layer."""
    model = small(tied=tied)
    (encoder,) = model.encoder
    torch.manual_seed(1)
    corrupted = Masking(0.4).corrupt(X)
    h = torch.sigmoid(corrupted @ encoder.weight.T + encoder.bias)
    weight, bias = (
        (encoder.weight.T, model.decoder_biases[0]) if tied else (model.decoder[0].weight, model.decoder[0].bias)
    )
    expected = F.binary_cross_entropy((h @ weight.T + bias).sigmoid(), X, reduction="sum") / len(X)
    torch.manual_seed(1)
    assert model.loss(X, noise=0.4).total.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_of_every_layer_are_those_of_finite_differences(tied):
    model = small(hidden=(5, 3), tied=tied, activation="tanh", corruption="gaussian", reconstruction="gaussian")
    parameters = dict(model.named_parameters())

    def loss(*values):
        torch.manual_seed(2)
        with torch.no_grad():
            corrupted = GaussianNoise(0.3).corrupt(X)
        swapped = dict(zip(parameters, values, strict=True))
        return -torch.func.functional_call(
            _Conditional(model), {f"of.{k}": v for k, v in swapped.items()}, (corrupted,)
        ).mean()

    assert torch.autograd.gradcheck(loss, tuple(parameters.values()))
    torch.manual_seed(2)
    total = model.loss(X, noise=0.3).total
    assert total.item() == pytest.approx(loss(*parameters.values()).item())


class _Conditional(torch.nn.Module):
    def __init__(self, model: Denoiser):
        super().__init__()
        self.of = model

    def forward(self, corrupted):
        return self.of.conditional(corrupted).log_prob(X)


def test_real_reconstruction_is_squared_error_at_its_own_variance():
    model = small(corruption="gaussian", reconstruction="gaussian")
    torch.manual_seed(1)
    residual = X - model.reconstruct(GaussianNoise(0.3).corrupt(X))
    variance = math.exp(-12) * (1 + math.exp(12 + model.log_variance.item()))
    expected = 0.5 * (residual.square() / variance + math.log(2 * math.pi * variance)).sum(1).mean()
    torch.manual_seed(1)
    assert model.loss(X, noise=0.3).total.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("kind, noise", [("salt-and-pepper", SaltAndPepper(0.4)), ("masking", Masking(0.4))])
def test_walkback_is_the_papers_algorithm(kind, noise):
    """Bengio 2013, algorithm 1: corrupt, add -log P(X|x~), draw from P(x|x~), go on from there."""
    model = small(corruption=kind)
    torch.manual_seed(3)
    at, costs = X, []
    for _ in range(4):
        p = model.conditional(noise.corrupt(at))
        costs.append(-p.log_prob(X).mean())
        if len(costs) < 4:
            at = (torch.rand_like(X) < p.mean).double()
    expected = torch.stack(costs).mean()
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    torch.manual_seed(3)
    total = model.loss(X, noise=0.4, walkback=4).total
    assert total.item() == pytest.approx(expected.item())
    for found, exact in zip(torch.autograd.grad(total, list(model.parameters())), gradients, strict=True):
        assert torch.allclose(found, exact)


@pytest.mark.parametrize("reconstruction", ["bernoulli", "gaussian"])
def test_a_chain_step_draws_from_the_conditional_of_a_corrupted_state(reconstruction):
    """Its mean, given the first state, is the mean of r over the corruption: both by 40,000 draws."""
    model, n = small(reconstruction=reconstruction), 40_000
    chain = Chain(model.chain_step(0.5), X[:1].expand(n, -1), seed=1)
    torch.manual_seed(2)
    exact = model.reconstruct(Masking(0.5).corrupt(X[:1].expand(n, -1))).detach()
    error = ((chain[1].var(0) + exact.var(0)) / n).sqrt()
    assert bool(((chain[1].mean(0) - exact.mean(0)).abs() < 4 * error).all())
    if reconstruction == "bernoulli":
        assert set(chain[1].unique().tolist()) == {0.0, 1.0}
    else:
        spread = exact.var(0) + model.log_variance.exp().detach()
        assert bool(((chain[1].var(0) / spread - 1).abs() < 5 * (2 / n) ** 0.5).all())


@pytest.mark.parametrize("hidden, activation", [(4, "sigmoid"), (4, "tanh"), ((5, 3), "sigmoid")])
def test_contraction_is_the_squared_norm_of_the_encoders_jacobian(hidden, activation):
    model = small(ContractiveAutoencoder, hidden, activation=activation)
    jacobian = torch.func.vmap(torch.func.jacrev(model.encode))(X)
    exact = jacobian.square().sum((1, 2))
    assert torch.allclose(model.contraction(X), exact)
    torch.manual_seed(0)
    draws = torch.stack([model.contraction_estimate(X) for _ in range(500)])
    assert bool(((draws.mean(0) - exact).abs() < 4.5 * draws.std(0) / 500**0.5).all())


def test_the_contractive_loss_adds_the_penalty_and_its_gradient():
    for hidden in (4, (5, 3)):
        model = small(ContractiveAutoencoder, hidden)
        torch.manual_seed(5)
        total, terms = model.loss(X, contraction=0.5)
        plain = -model.conditional(X).log_prob(X).mean()
        assert total.item() == pytest.approx((plain + 0.5 * terms["contraction"]).item())
        if hidden == 4:
            exact = torch.autograd.grad(plain + 0.5 * model.contraction(X).mean(), model.encoder[0].weight)[0]
            assert torch.allclose(torch.autograd.grad(total, model.encoder[0].weight)[0], exact)
        else:
            assert all(
                g is not None for g in torch.autograd.grad(terms["contraction"], list(model.encoder.parameters()))
            )


def test_a_trained_denoiser_has_the_score_of_the_smoothed_density():
    """Against the closed form on a mixture: the error is a small share of the score's own size."""
    mixture = GaussianMixture(torch.ones(2), torch.tensor([[-1.0, 0], [1.0, 0.5]]), 0.1)
    torch.manual_seed(0)
    data = mixture.sample((8192,))
    model = DenoisingMLP(2, (64, 64))
    for lr in (5e-3, 5e-4):
        list(Trainer(model, data, batch_size=512, lr=lr, knobs={"noise": 0.3}, device="cpu").run(epochs=30))
    at = GaussianNoise(0.3).corrupt(mixture.sample((2000,)))
    exact = mixture.smoothed(0.3).score(at)
    error = (model.score(at, 0.3) - exact).square().sum(1).mean() / exact.square().sum(1).mean()
    assert float(error) < 0.02
    wrong = (model.score(at, 0.3) - mixture.score(at)).square().sum(1).mean() / exact.square().sum(1).mean()
    assert float(wrong) > 0.1  # of the density without its noise it is no score


def test_cross_entropy_learns_the_same_mean_of_the_clean_point():
    """Two points at 0.2 and 0.8: E[x|x~] is a logistic curve, whichever loss is taken."""
    data = torch.tensor([[0.2], [0.8]]).repeat(512, 1)
    torch.manual_seed(0)
    model = DAE(1, 16, corruption="gaussian", activation="tanh", tied=False)
    list(Trainer(model, data, batch_size=1024, lr=1e-2, knobs={"noise": 0.4}, device="cpu").run(epochs=800))
    at = torch.linspace(-0.5, 1.5, 9)[:, None]
    exact = 0.2 + 0.6 * torch.sigmoid(0.6 * (at - 0.5) / 0.16)
    assert float((model.reconstruct(at) - exact).abs().max()) < 0.03
    assert torch.allclose(model.score(at, 0.4), (model.reconstruct(at) - at) / 0.16)


def walking(path) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        DAE(6, 4, corruption="salt-and-pepper"),
        X.float().repeat(8, 1),
        batch_size=8,
        knobs={"walkback": 3, "noise": 0.4},
        device="cpu",
        checkpoint=path,
    )


def test_training_with_walkback_resumes_bit_by_bit(tmp_path):
    whole = walking(tmp_path / "whole")
    list(whole.run(epochs=6))
    list(walking(tmp_path / "half").run(epochs=3))
    resumed = walking(tmp_path / "half")
    assert resumed.resume()
    list(resumed.run(epochs=3))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    fresh = walking(tmp_path / "other")
    fresh.knobs["walkback"] = 1
    list(fresh.run(epochs=6))
    assert not torch.equal(fresh.model.state_dict()["encoder.0.weight"], whole.model.state_dict()["encoder.0.weight"])


def test_noise_and_walkback_are_knobs():
    assert set(knobs_of(small().loss)) == {"noise", "walkback"}
    assert set(knobs_of(small(ContractiveAutoencoder).loss)) == {"contraction"}


@pytest.mark.parametrize(
    "options, says",
    [
        ({"corruption": "blur"}, "'blur'"),
        ({"reconstruction": "poisson"}, "'poisson'"),
        ({"activation": "relu"}, "'relu'"),
        ({"hidden": ()}, "hidden is"),
        ({"hidden": (3, 0)}, "hidden is"),
        ({"base": torch.zeros(5)}, r"means have shape \(5,\).*6 visible units"),
        ({"base": torch.zeros(5), "tied": False}, r"means have shape \(5,\).*6 visible units"),
    ],
)
def test_unknown_choices_are_named(options, says):
    with pytest.raises(InputError, match=says):
        DAE(6, **options)


def test_bad_levels_and_data_are_named():
    model, real = small(), small(corruption="gaussian", reconstruction="gaussian")
    with pytest.raises(InputError, match=r"probability is 1\.5"):
        model.loss(X, noise=1.5)
    with pytest.raises(InputError, match="walkback is 0"):
        model.loss(X, walkback=0)
    with pytest.raises(InputError, match="sigma is 0"):
        real.chain_step(0.0)
    with pytest.raises(InputError, match="sigma is -1"):
        real.score(X, -1.0)
    with pytest.raises(InputError, match="only a denoiser of 'gaussian'"):
        model.score(X, 0.1)
    with pytest.raises(InputError, match=r"\(batch, 6\)"):
        model.encode(X[:, :5])
    with pytest.raises(InputError, match=r"values in \[0, 1\]"):
        model.check_data(X * 3)
    real.check_data(X * 3)
    with pytest.raises(InputError, match="int64"):
        DenoisingMLP(2).check_data(torch.ones(3, 2, dtype=torch.long))


@pytest.mark.parametrize("tied", [True, False])
def test_reconstruction_starts_at_the_means_of_the_data(tied):
    """Where the code is all zero."""
    base, zero = X.mean(0), torch.zeros(1, 3).double()
    for reconstruction in ("bernoulli", "gaussian"):
        model = DAE(6, 3, tied=tied, reconstruction=reconstruction, base=base).double()
        assert torch.allclose(model.decode(zero).mean[0], base, atol=1e-6)
