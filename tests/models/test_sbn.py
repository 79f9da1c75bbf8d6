"""Sigmoid belief networks against sums over every state of their hidden units."""

import math

import pytest
import torch
from pytest import approx

from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo, estimate_iwae
from gmnm_lib.evaluate.belief_network import log_evidence, log_joint, posterior
from gmnm_lib.evaluate.enumeration import states
from gmnm_lib.models.sbn import SBN
from gmnm_lib.trainer import Trainer

BITS = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]).double()
ONE, TWO = (4, 3), (4, 3, 2)


def small(sizes=TWO, learning="wake-sleep", scale: float = 1.0) -> SBN:
    torch.manual_seed(0)
    model = SBN(sizes, learning=learning).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, scale)
    return model


def log_q(model: SBN, x: torch.Tensor) -> torch.Tensor:
    """log q(h|x) of every h: (batch, 2^hidden)."""
    h = states(sum(model.sizes[1:]), dtype=x.dtype)
    return model.encode(x[:, None].expand(-1, len(h), -1)).log_prob(h.expand(len(x), -1, -1))


def exact_bound(model: SBN, x: torch.Tensor) -> torch.Tensor:
    log_of_q = log_q(model, x)
    return (log_of_q.exp() * (log_joint(model, x) - log_of_q)).sum(-1)


def joint_by_hand(model: SBN, x: torch.Tensor, *layers: torch.Tensor) -> float:
    """log p(x, h_1, ..., h_L) unit by unit, from the definition alone."""
    below = [x, *layers]
    logits = [linear.weight @ h + linear.bias for linear, h in zip(model.down, layers, strict=True)] + [model.top_bias]
    return sum(
        math.log(1 / (1 + math.exp(-a if bit else a)))
        for values, of_layer in zip(below, logits, strict=True)
        for bit, a in zip(values.tolist(), of_layer.tolist(), strict=True)
    )


@pytest.mark.parametrize("sizes", [ONE, TWO, (4, 2, 2, 1)])
def test_joint_is_the_product_of_every_units_coin(sizes):
    model = small(sizes)
    h = states(sum(sizes[1:]), dtype=torch.float64)
    expected = [joint_by_hand(model, BITS[0], *row.split(sizes[1:])) for row in h]
    assert log_joint(model, BITS)[0].tolist() == approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", [ONE, TWO])
def test_evidence_sums_to_one_over_all_images_and_recognition_over_all_causes(sizes):
    model = small(sizes)
    assert log_evidence(model, states(4, dtype=torch.float64)).logsumexp(0).tolist() == approx(0, abs=1e-12)
    assert log_q(model, BITS).logsumexp(-1).tolist() == approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("sizes", [ONE, TWO])
def test_bound_is_log_evidence_minus_kl_to_the_true_posterior(sizes):
    model = small(sizes)
    log_of_q, of_p = log_q(model, BITS), posterior(model, BITS)
    kl = (log_of_q.exp() * (log_of_q - of_p.log())).sum(-1)
    expected = log_evidence(model, BITS) - kl
    assert exact_bound(model, BITS).tolist() == approx(expected.tolist(), abs=1e-6)
    estimate = estimate_elbo(model, BITS, samples=4000, estimator="A")
    assert estimate.mean == approx(float(expected.detach().mean()), abs=4 * estimate.standard_error)


def test_one_layers_kl_in_closed_form_gives_the_same_bound():
    model = small(ONE)
    torch.manual_seed(1)
    estimate = estimate_elbo(model, BITS, samples=4000, estimator="B")
    assert estimate.mean == approx(float(exact_bound(model, BITS).detach().mean()), abs=4 * estimate.standard_error)


def test_two_layers_have_no_kl_in_closed_form_and_say_so():
    with pytest.raises(InputError, match="estimator='A'"):
        estimate_elbo(small(TWO), BITS, samples=4, estimator="B")


def test_importance_weighted_bound_rises_towards_log_evidence():
    model, exact = small(TWO), float(log_evidence(small(TWO), BITS).mean())
    torch.manual_seed(2)
    bounds = [estimate_iwae(model, BITS, k=k, repeats=100) for k in (1, 20, 5000)]
    assert bounds[0].mean < bounds[1].mean < bounds[2].mean < exact + 4 * bounds[2].standard_error
    assert bounds[2].mean == approx(exact, abs=0.01 + 4 * bounds[2].standard_error)


def test_fantasies_come_from_the_joint():
    model = small(ONE)
    torch.manual_seed(3)
    x, h = model.fantasy(20_000)
    p = log_joint(model, states(4, dtype=torch.float64)).exp().flatten()
    place = (torch.cat([x, h], -1) @ (2.0 ** torch.arange(6, -1, -1)).double()).long()
    seen = torch.bincount(place, minlength=128) / len(x)
    assert ((seen - p).abs() <= 4.5 * (p * (1 - p) / len(x)).sqrt() + 1e-9).all()


def gradients(model: SBN, value: torch.Tensor, names: list[str]) -> torch.Tensor:
    parameters = dict(model.named_parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, [parameters[name] for name in names])])


def drawn_gradients(model: SBN, names: list[str], draws: int, **knobs) -> torch.Tensor:
    """(draws, parameters), the buffers left as they are."""
    model.eval()
    torch.manual_seed(4)
    return torch.stack([gradients(model, model.loss(BITS, **knobs).total, names) for _ in range(draws)])


def assert_mean(rows: torch.Tensor, expected: torch.Tensor) -> None:
    error = rows.std(0) / math.sqrt(len(rows))
    assert ((rows.mean(0) - expected).abs() <= 4 * error + 1e-9).all()


def parts(model: SBN) -> tuple[list[str], list[str]]:
    theta = [name for name, _ in model.named_parameters() if name.startswith(("down", "top"))]
    return theta, [name for name, _ in model.named_parameters() if name.startswith("up")]


@pytest.mark.parametrize("sizes", [ONE, TWO])
@pytest.mark.parametrize("baseline", [0.0, 0.5, 1.0])
def test_nvil_gradient_averages_to_the_gradient_of_the_enumerated_bound(sizes, baseline):
    model = small(sizes, "nvil")
    model.signal_mean.fill_(-3.0)
    model.signal_variance.fill_(4.0)
    theta, phi = parts(model)
    names = theta + phi
    exact = gradients(model, -exact_bound(model, BITS).mean(), names)
    assert_mean(drawn_gradients(model, names, 1500, baseline=baseline, normalise=0.0, samples=2), exact)


@pytest.mark.parametrize("sizes", [TWO, (4, 2, 2, 1)])
def test_each_layer_learns_from_what_lies_between_the_layer_below_and_the_top(sizes):
    """Mnih & Gregor 2014, section 2.3: log p(h_k-1, ..., h_L) - log q(h_k, ..., h_L|h_k-1), draw for draw."""
    model = small(sizes, "nvil").eval()
    torch.manual_seed(10)
    z = model.encode(BITS).sample((5,))
    torch.manual_seed(10)
    found = model.loss(BITS, samples=5, baseline=0.0, normalise=0.0)
    log_p, log_q = (
        [model.decode(z).log_prob(BITS), *model.prior().layer_log_probs(z)],
        model.encode(BITS).layer_log_probs(z),
    )
    for k, linear in enumerate(model.up):
        signal = (sum(log_p[k:]) - sum(log_q[k:])).detach()  # log_p[0] is that of x, log_q[0] that of h_1
        parameters = list(linear.parameters())
        ours = torch.autograd.grad(found.total, parameters, retain_graph=True)
        expected = torch.autograd.grad(-(signal * log_q[k]).mean(), parameters, retain_graph=True)
        torch.testing.assert_close(ours, expected)


def test_normalised_signal_is_the_same_gradient_in_smaller_steps():
    model = small(TWO, "nvil")
    model.signal_variance.fill_(4.0)
    _, phi = parts(model)
    plain, scaled = (drawn_gradients(model, phi, 20, normalise=on) for on in (0.0, 1.0))
    assert scaled.flatten().tolist() == approx((plain / 2).flatten().tolist(), abs=1e-12)


def test_trained_baseline_saves_variance():
    model = small(TWO, "nvil", scale=0.5)
    for _ in Trainer(model, BITS, batch_size=2, lr=1e-3, seed=0, device="cpu").run(epochs=600):
        pass
    _, phi = parts(model)
    without, with_it = (drawn_gradients(model, phi, 400, baseline=on).var(0).sum() for on in (0.0, 1.0))
    assert with_it < 0.5 * without


def test_baseline_descends_the_squared_distance_to_each_images_expected_signal():
    """For one layer E_q[signal] is the exact bound of that image: the gradient is that of (bound - c - C_psi(x))^2 / 2."""
    model = small(ONE, "nvil")
    model.signal_mean.fill_(-3.0)
    psi = [name for name, _ in model.named_parameters() if name.startswith("baselines")]
    missing = exact_bound(model, BITS).detach() + 3.0 - model.baselines[0](BITS).squeeze(-1)
    expected = gradients(model, missing.square().mean() / 2, psi)
    assert_mean(drawn_gradients(model, psi, 400, normalise=0.0, samples=2), expected)


def test_wake_sleep_gradients_equal_finite_differences_of_their_definitions():
    """Wake: E_q -log p(x, h) in theta, q held. Sleep: E_p -log q(h|x) in phi, p held: each enumerated over all states."""
    model, images = small(TWO), states(4, dtype=torch.float64)
    theta, phi = parts(model)
    q, p = log_q(model, BITS).exp().detach(), log_joint(model, images).exp().detach()

    def wake() -> torch.Tensor:
        return -(q * log_joint(model, BITS)).sum(-1).mean()

    def sleep() -> torch.Tensor:
        return -(p * log_q(model, images)).sum()

    torch.manual_seed(5)
    rows = drawn_gradients(model, theta + phi, 1500, samples=2)
    assert_mean(rows, torch.cat([differences(model, wake, theta), differences(model, sleep, phi)]))


@torch.no_grad()
def differences(model: SBN, value, names: list[str]) -> torch.Tensor:
    found = []
    for name in names:
        flat = dict(model.named_parameters())[name].data.view(-1)
        for i in range(len(flat)):
            middle = float(flat[i])
            flat[i] = middle + 1e-5
            above = float(value())
            flat[i] = middle - 1e-5
            found.append((above - float(value())) / 2e-5)
            flat[i] = middle
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("learning", ["wake-sleep", "nvil"])
def test_value_of_the_loss_averages_to_the_negative_bound(learning):
    model = small(TWO, learning)
    torch.manual_seed(6)
    with torch.no_grad():
        losses = [model.loss(BITS, samples=4) for _ in range(1000)]
    totals = torch.stack([loss.total for loss in losses])
    expected = -float(exact_bound(model, BITS).detach().mean())
    assert float(totals.mean()) == approx(expected, abs=4 * float(totals.std()) / math.sqrt(len(totals)))
    terms = losses[0].terms
    assert float(terms["reconstruction"] + terms["kl"]) == approx(float(losses[0].total), abs=1e-12)


def stripes(n: int = 200) -> torch.Tensor:
    """Images of which each half is all on or all off: two bits that a network with two causes can hold."""
    torch.manual_seed(7)
    return torch.bernoulli(torch.full((n, 2), 0.5)).repeat_interleave(3, 1)


@pytest.mark.parametrize("learning", ["wake-sleep", "nvil"])
@pytest.mark.parametrize("sizes", [(6, 4), (6, 4, 2)])
def test_exact_likelihood_rises_in_training(learning, sizes):
    torch.manual_seed(8)
    x = stripes()
    model = SBN(sizes, learning=learning, base=x.mean(0))
    before = float(log_evidence(model, x).mean())
    for _ in Trainer(model, x, batch_size=20, lr=0.02, seed=0, device="cpu").run(epochs=40):
        pass
    assert float(log_evidence(model, x).mean()) > before + 1.0


@pytest.mark.parametrize("learning", ["wake-sleep", "nvil"])
def test_interrupted_run_resumes_bit_by_bit(learning, tmp_path):
    def trainer(name: str) -> Trainer:
        torch.manual_seed(9)
        model = SBN((6, 4, 2), learning=learning)
        return Trainer(model, stripes(), batch_size=20, lr=0.02, seed=0, device="cpu", checkpoint=tmp_path / name)

    whole = trainer("whole")
    list(whole.run(until=4))
    list(trainer("halves").run(until=2))
    resumed = trainer("halves")
    resumed.load(tmp_path / "halves")
    list(resumed.run(until=4))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(
    "build, says",
    [
        (lambda: SBN((4,)), "sizes"),
        (lambda: SBN((4, 0)), "sizes"),
        (lambda: SBN(ONE, learning="backprop"), "choose"),
        (lambda: SBN(ONE).encode(torch.zeros(2, 5)), "shape"),
        (lambda: SBN(ONE).double().loss(BITS, samples=0), "samples is 0"),
        (lambda: SBN(ONE).encode(torch.zeros(2, 4, dtype=torch.long)), "int64"),
        (lambda: Trainer(SBN(ONE), torch.full((8, 4), 2.0), batch_size=4, device="cpu"), r"\[0, 1\]"),
    ],
)
def test_bad_input_is_named(build, says):
    with pytest.raises(InputError, match=says):
        build()
