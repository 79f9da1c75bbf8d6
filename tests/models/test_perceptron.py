"""Networks as conditional distributions: against torch's losses, closed forms over the noise, and quadrature."""

import pytest
import torch
import torch.nn.functional as F
from pytest import approx
from torch import Tensor

from gmnm_lib.errors import InputError
from gmnm_lib.models.perceptron import (
    BernoulliNetwork,
    CategoricalNetwork,
    GaussianNetwork,
    MixtureDensityNetwork,
    Pairs,
)
from gmnm_lib.trainer import Trainer

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
CLASSES = torch.tensor([0, 1, 2, 3, 0, 1])


def small(kind, outputs: int, **options):
    torch.manual_seed(0)
    return kind(3, 5, outputs, **options).double()


def monte_carlo(draw, n: int) -> tuple[float, float]:
    values = torch.tensor([float(draw()) for _ in range(n)])
    return float(values.mean()), float(values.std()) / n**0.5


def test_a_gaussian_of_fixed_width_is_squared_error_up_to_a_constant():
    model, y = small(GaussianNetwork, 2), torch.zeros(6, 2).double()
    mean, deviation = model.predict(X).mean, model.predict(X).stddev
    expected = 0.5 * ((y - mean) / deviation).square() + deviation.log() + 0.5 * torch.log(torch.tensor(2 * torch.pi))
    assert model.loss(Pairs(X, y)).total.item() == approx(expected.sum(-1).mean().item())


def test_bits_and_classes_are_torchs_cross_entropies():
    bits, y = small(BernoulliNetwork, 2), torch.tensor([[0.0, 1.0]]).double().expand(6, 2)
    expected = F.binary_cross_entropy_with_logits(bits.outputs(X), y, reduction="sum") / 6
    assert float(bits.loss(Pairs(X, y)).total) == approx(float(expected))
    classes = small(CategoricalNetwork, 4)
    for smoothing in (0.0, 0.3):
        expected = F.cross_entropy(classes.outputs(X), CLASSES, label_smoothing=smoothing)
        assert float(classes.loss(Pairs(X, CLASSES), label_smoothing=smoothing).total) == approx(float(expected))


def test_label_smoothing_is_the_mean_over_labels_replaced_at_random():
    model = small(CategoricalNetwork, 4)
    log_p = model.predict(X).logits
    every = torch.stack([F.nll_loss(log_p, torch.full((6,), label)) for label in range(4)]).mean()
    plain = model.loss(Pairs(X, CLASSES)).total
    smooth = model.loss(Pairs(X, CLASSES), label_smoothing=0.2).total
    assert float(smooth) == approx(float(0.8 * plain + 0.2 * every))


@pytest.mark.parametrize("components, targets", [(1, 1), (3, 1), (2, 2)])
def test_a_mixture_density_integrates_to_one(components, targets):
    model = small(MixtureDensityNetwork, targets, components=components)
    axis = torch.linspace(-9, 9, 181).double()
    y = torch.cartesian_prod(*[axis] * targets).reshape(-1, targets)
    density = model.predict(X[:1].expand(len(y), -1)).log_prob(y).exp()
    assert float(density.sum()) * 0.1**targets == approx(1, abs=1e-6)


def test_a_mixture_is_the_sum_of_its_components_written_out():
    """Bishop 1994, eqs. 22 and 23."""
    model, y = small(MixtureDensityNetwork, 1, components=3), torch.randn(6, 1).double()
    logits, means, log_variances = model.outputs(X).chunk(3, -1)
    deviations = (0.5 * (-10 + F.softplus(log_variances + 10))).exp()
    kernels = torch.exp(-0.5 * ((y - means) / deviations) ** 2) / (deviations * (2 * torch.pi) ** 0.5)
    expected = (logits.softmax(-1) * kernels).sum(-1).log()
    assert model.predict(X).log_prob(y).tolist() == approx(expected.tolist())


def test_noise_on_the_input_of_a_straight_line_costs_its_squared_slope():
    """Bishop 1995: E[(w'(x + s e) - y)^2] = (w'x - y)^2 + s^2 |w|^2; tanh is straight where its input is small."""
    torch.manual_seed(0)
    model = GaussianNetwork(3, 5, 1).double()
    with torch.no_grad():
        model.first.weight.mul_(1e-3), model.last.weight.mul_(1e3), model.first.bias.zero_()
    slope = (model.last.weight @ model.first.weight)[0]
    clean = (model.outputs(X)[:, 0]).square().mean()
    noisy, error = monte_carlo(lambda: model.outputs(X, noise=0.5)[:, 0].square().mean(), 4000)
    assert noisy == approx(float(clean + 0.25 * slope.square().sum()), abs=4 * error)


def test_dropout_keeps_the_mean_of_the_outputs():
    model = small(CategoricalNetwork, 4)
    outputs = torch.stack([model.outputs(X, dropout=0.6) for _ in range(4000)])
    error = outputs.std(0) / 4000**0.5
    assert bool(((outputs.mean(0) - model.outputs(X)).abs() < 4.5 * error).all())
    assert bool((outputs.std(0) > 0).all())


def test_a_prediction_has_no_randomness_of_its_own():
    model = small(CategoricalNetwork, 4)
    assert torch.equal(model.predict(X).logits, model.predict(X).logits)


def test_a_mixture_finds_both_branches_where_a_gaussian_takes_their_mean():
    """y = +1 or -1 with equal chances: the best Gaussian is N(0, 1), the mixture's bits cost log 2."""
    torch.manual_seed(0)
    y = torch.randint(2, (512, 1)).float() * 2 - 1 + 0.1 * torch.randn(512, 1)
    pairs = Pairs(torch.zeros(512, 1), y)

    def fitted(model) -> Tensor:
        for _ in Trainer(model, pairs, batch_size=128, lr=1e-2, seed=0).run(epochs=150):
            pass
        return -model.predict(pairs.x).log_prob(pairs.y).mean().detach()

    entropy = 0.5 * float(torch.log(torch.tensor(2 * torch.pi * torch.e * 0.01)))
    assert float(fitted(MixtureDensityNetwork(1, 8, 1, components=2))) == approx(entropy + 0.6931, abs=0.1)
    assert float(fitted(GaussianNetwork(1, 8, 1))) == approx(
        0.5 * float(torch.log(torch.tensor(2 * torch.pi * torch.e))), abs=0.1
    )


def test_what_is_no_input_is_refused_by_name():
    with pytest.raises(InputError, match=r"shape \(6, 2\).*\(batch, 3\)"):
        small(GaussianNetwork, 1).predict(X[:, :2])
    with pytest.raises(InputError, match=r"int64: this network takes torch\.float"):
        small(GaussianNetwork, 1).predict(torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(InputError, match="components is 0"):
        MixtureDensityNetwork(3, 5, 1, components=0)
