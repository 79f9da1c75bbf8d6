"""Generative stochastic networks: one update written out, moments of the noise, gradients, and chains that stay on the data."""

import math

import pytest
import torch
import torch.nn.functional as F

from gmnm_lib.chains import Chain
from gmnm_lib.corruption import SaltAndPepper
from gmnm_lib.errors import InputError
from gmnm_lib.models.gsn import GSN, State
from gmnm_lib.trainer import Trainer

X = (torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) < 0.4).double()


def small(sizes=(6, 5, 4, 3)) -> GSN:
    torch.manual_seed(0)
    model = GSN(sizes).double()
    for bias in model.biases:
        bias.data.normal_(0, 0.3)
    return model


def quiet(model: GSN, x, layers):
    """One sweep without noise, unit by unit as in the paper's figure: odd layers, then even ones."""
    W, b = model.weights, model.biases
    h = dict(enumerate((x, *layers)))
    for k in (1, 3, 2):
        if k < len(h):
            a = b[k] + h[k - 1] @ W[k - 1] + (h[k + 1] @ W[k].T if k + 1 < len(h) else 0)
            h[k] = a.tanh()
    return [h[k] for k in range(1, len(h))]


@pytest.mark.parametrize("sizes", [(6, 5), (6, 5, 4), (6, 5, 4, 3)])
def test_a_step_without_noise_is_the_sweep_written_out(sizes):
    model = small(sizes)
    layers = [torch.randn(5, size).double() for size in sizes[1:]]
    state = model.chain_step(noise=0.0, hidden_noise=0.0)(State(X, torch.cat(layers, 1)))
    expected = quiet(model, X, layers)
    assert torch.allclose(state.hidden, torch.cat(expected, 1))
    p = (expected[0] @ model.weights[0].T + model.biases[0]).sigmoid()
    assert torch.allclose(model.decode(state.hidden).mean, p)
    assert set(state.visible.unique().tolist()) <= {0.0, 1.0}


def test_pixels_are_drawn_from_the_first_hidden_layer():
    model, n = small(), 40_000
    state = Chain(model.chain_step(0.0, 2.0), model.start(X[:1].expand(n, -1)), seed=0)[1]
    p = model.decode(state.hidden).mean[0].detach()  # h_1 has no noise of its own, and starts from silence
    assert bool(((state.visible.mean(0) - p).abs() < 4.5 * (p * (1 - p) / n).sqrt()).all())


def test_hidden_noise_is_that_of_the_paper_before_and_after_the_nonlinearity():
    """h_2 = tanh(a + s e) + s e': mean and variance of the first part by quadrature. None is added to h_1."""
    model, n, sigma = small((6, 5, 4)), 60_000, 0.8
    state = Chain(model.chain_step(0.0, sigma), model.start(X[:1].expand(n, -1)), seed=1)[1]
    h1, h2 = state.hidden.split((5, 4), 1)
    assert float(h1.std(0).max()) < 1e-12
    a = (model.biases[2] + h1[0] @ model.weights[1]).detach()
    e = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    weight = torch.exp(-0.5 * e**2) / math.sqrt(2 * math.pi) * 0.01
    mean = ((a[:, None] + sigma * e).tanh() * weight).sum(1)
    second = ((a[:, None] + sigma * e).tanh().square() * weight).sum(1) + sigma**2
    for found, exact in ((h2, mean), (h2.square(), second)):
        assert bool(((found.mean(0) - exact).abs() < 4.5 * found.std(0) / n**0.5).all())


@pytest.mark.parametrize("sizes", [(6, 5), (6, 5, 4), (6, 5, 4, 3)])
def test_walkback_is_the_mean_cross_entropy_along_the_chain(sizes):
    """Corrupt, sweep, reconstruct, draw; the draws repeated in the same order by hand, and the gradients with them."""
    model = small(sizes)
    torch.manual_seed(3)
    visible, layers, costs = X, [torch.zeros(5, size).double() for size in sizes[1:]], []
    for _ in range(3):
        layers = quiet(model, SaltAndPepper(0.4).corrupt(visible), layers)
        for k in (3, 2):  # noise that is drawn and counts for nothing
            if k < len(sizes):
                torch.randn(2, 5, sizes[k], dtype=torch.float64)
        logits = layers[0] @ model.weights[0].T + model.biases[0]
        costs.append(F.binary_cross_entropy_with_logits(logits, X, reduction="sum") / 5)
        if len(costs) < 3:
            visible = (torch.rand_like(X) < logits.sigmoid()).double()
    expected = torch.stack(costs).mean()
    torch.manual_seed(3)
    total, terms = model.loss(X, noise=0.4, hidden_noise=0.0, walkback=3)
    assert total.item() == pytest.approx(expected.item())
    assert terms["last_reconstruction"].item() == pytest.approx(costs[-1].item())
    exact = torch.autograd.grad(expected, list(model.parameters()))
    for found, right in zip(torch.autograd.grad(total, list(model.parameters())), exact, strict=True):
        assert torch.allclose(found, right)


def test_gradients_through_the_walk_are_those_of_finite_differences():
    """With noise fixed by the seed, pixels that are sure (large biases) do not flip as the weights move."""
    model = small((6, 5, 4, 3))
    with torch.no_grad():
        model.biases[0].copy_(40 * (X[0] - 0.5))
    x = X[:1].expand(3, -1)
    names, values = zip(*model.named_parameters(), strict=True)

    def loss(*parameters):
        torch.manual_seed(4)
        swapped = {f"of.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(_Loss(model), swapped, (x,))

    assert torch.autograd.gradcheck(loss, values, eps=1e-6, atol=1e-6)


class _Loss(torch.nn.Module):
    def __init__(self, model: GSN):
        super().__init__()
        self.of = model

    def forward(self, x):
        return self.of.loss(x, noise=0.3, hidden_noise=0.7, walkback=3).total


@pytest.mark.parametrize("walkback, reached", [(1, 1), (2, 3)])
def test_upper_layers_learn_only_from_walks_long_enough(walkback, reached):
    model = small()
    torch.manual_seed(0)
    model.loss(X, walkback=walkback).total.backward()
    moved = [weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in model.weights]
    assert sum(moved) == reached


@pytest.mark.parametrize("walkback, reached", [(2, 2), (3, 3)])
def test_what_the_third_layer_has_seen_reaches_the_third_reconstruction(walkback, reached):
    """Without noise and bias h_3 is silent until it has seen an h_2 that has seen x."""
    model = small()
    model.biases[3].data.zero_()
    model.loss(X, hidden_noise=0.0, walkback=walkback).total.backward()
    assert sum(bool(weight.grad.abs().sum() > 0) for weight in model.weights) == reached


def patterns(n: int):
    """Two pictures of 12 pixels, and one of 16 pixels flipped in each: the chain must keep both and little else."""
    two = torch.tensor([[1.0] * 6 + [0.0] * 6, [0.0] * 6 + [1.0] * 6])
    x = two[torch.arange(n) % 2]
    return two, (x - (torch.rand(n, 12) < 1 / 16).float()).abs()


def test_a_trained_chain_visits_both_patterns_and_paints_the_missing_half():
    """All chains begin at the first. With much less noise in h_2 they hardly ever leave the one they fall into early on."""
    torch.manual_seed(0)
    two, data = patterns(2000)
    model = GSN((12, 30, 30))
    knobs = {"hidden_noise": 2.0, "noise": 0.3}
    list(Trainer(model, data, batch_size=100, lr=1e-2, knobs=knobs, device="cpu").run(epochs=15))
    n = 400
    step = model.chain_step(noise=0.8, hidden_noise=2.0)
    chain = Chain(step, model.start(two[:1].expand(n, -1)), seed=0)
    mean = model.decode(chain[150].hidden).mean.round()
    nearest = torch.cdist(mean, two).square()
    assert float((nearest.min(1).values <= 1).float().mean()) > 0.75
    assert 0.35 < float((nearest.argmin(1) == 1).float().mean()) < 0.65
    known = torch.arange(12) % 2 == 0
    halves = two.repeat_interleave(100, 0)
    painting = model.inpainting_step(halves, known, noise=0.3, hidden_noise=2.0)
    painted = Chain(painting, model.start(torch.rand(200, 12).round()), seed=1)[20].visible
    assert bool((painted[:, known] == halves[:, known]).all())
    assert float((painted == halves)[:, ~known].float().mean()) > 0.7  # of 15 / 16 at best, and half by chance


def test_training_resumes_bit_by_bit(tmp_path):
    def trainer(name: str) -> Trainer:
        torch.manual_seed(0)
        return Trainer(GSN((6, 5, 4)), X.float().repeat(8, 1), batch_size=8, device="cpu", checkpoint=tmp_path / name)

    whole = trainer("whole")
    list(whole.run(epochs=6))
    list(trainer("half").run(epochs=3))
    resumed = trainer("half")
    assert resumed.resume()
    list(resumed.run(epochs=3))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_samples_are_the_pixel_means_at_the_end_of_a_chain():
    model = small()
    torch.manual_seed(7)
    found = model.sample(X, steps=3)
    torch.manual_seed(7)
    state = model.start(X)
    for _ in range(3):
        state = model.chain_step()(state)
    assert torch.equal(found, model.decode(state.hidden).mean) and 0 < found.min() < found.max() < 1


@pytest.mark.parametrize(
    "known", [torch.ones(5, dtype=torch.bool), torch.ones(6), torch.ones(4, 6, dtype=torch.bool)], ids=str
)
def test_a_mask_of_another_shape_or_type_is_named(known):
    with pytest.raises(InputError, match="known has shape"):
        small().inpainting_step(X, known)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: GSN((6,)), "one to three hidden"),
        (lambda: GSN((6, 5, 4, 3, 2)), "one to three hidden"),
        (lambda: GSN((6, 5), base=torch.zeros(5)), r"means have shape \(5,\).*6 visible units"),
        (lambda: small().loss(X, walkback=0), "walkback is 0"),
        (lambda: small().chain_step(noise=1.2), "from 0 to 1"),
        (lambda: small().chain_step(hidden_noise=-1.0), "hidden_noise is -1"),
        (lambda: small().start(X[:, :3]), r"\(batch, 6\)"),
        (lambda: small().start(X - 2), r"in \[0, 1\]"),
        (lambda: small().inpainting_step(X[:, :3], torch.ones(3, dtype=torch.bool)), r"\(batch, 6\)"),
        (lambda: small().inpainting_step(X - 2, torch.ones(6, dtype=torch.bool)), r"in \[0, 1\]"),
        (lambda: small().sample(X, steps=0), "steps is 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_reconstruction_starts_at_the_means_of_the_data():
    base = torch.tensor([0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    assert torch.allclose(GSN((6, 5, 4), base=base).decode(torch.zeros(9)).mean, base)
