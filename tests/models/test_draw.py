"""DRAW against the paper's equations written one by one, a VAE of the same weights, and Monte Carlo."""

import math
from itertools import pairwise

import pytest
import torch
from pytest import approx
from torch import nn
from torch.distributions import kl_divergence

from benchmarks.draw import straightforward
from gmnm_lib.errors import InputError
from gmnm_lib.evaluate import estimate_elbo, estimate_iwae
from gmnm_lib.models import attention
from gmnm_lib.models.draw import DRAW
from gmnm_lib.models.perceptron import Pairs
from gmnm_lib.models.vae import VAE
from gmnm_lib.networks import diagonal_normal, standard_normal
from gmnm_lib.trainer import Trainer

EVERY_ATTENTION = [(2, 3), (None, None), (2, None), (None, 3)]


def small(read: int | None = 2, write: int | None = 3, **options) -> DRAW:
    """5 x 5 pixels, with no parameter at a special place."""
    torch.manual_seed(0)
    sizes = {"side": 5, "hidden": 6, "latent": 3, "steps": 4} | options
    model = DRAW(**sizes, read=read, write=write).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def glimpses(model: DRAW, x: torch.Tensor, z: torch.Tensor | None = None, y: torch.Tensor | None = None):
    """Eqs. 3 to 8 by the model's own cells and heads, along z (batch, steps, latent) or q's means.

    Of each step: mean and log variance of q(z_t | .), the free numbers of where it reads and writes, and the canvas.
    """
    n, steps = len(x), []
    h_encoder, c_encoder, h_decoder, c_decoder = (part.expand(n, -1) for part in model.start)
    if y is not None:
        of_h, of_c = model.start_of_class.weight[y].chunk(2, 1)
        h_decoder, c_decoder = h_decoder + of_h, c_decoder + of_c
    canvas = model.blank.expand(n, -1)
    for t in range(model.steps):
        pair, reads, writes = torch.stack((x, x - canvas.sigmoid()), 1), None, None
        if model.read:
            reads = model.read_head(h_decoder)
            pair = attention.read(pair.unflatten(2, (5, 5)), attention.window(reads, 5, model.read), model.read)
        h_encoder, c_encoder = model.encoder(torch.cat((pair.flatten(1), h_decoder), 1), (h_encoder, c_encoder))
        mean, log_variance = model.posterior_head(h_encoder).chunk(2, 1)
        h_decoder, c_decoder = model.decoder(mean if z is None else z[:, t], (h_decoder, c_decoder))
        patch = model.patch_head(h_decoder)
        if model.write:
            writes, patch = model.write_head(h_decoder), patch.unflatten(1, (model.write, model.write))
            patch = attention.write(patch, attention.window(writes, 5, model.write), 5).flatten(1)
        canvas = canvas + patch
        steps.append((mean, log_variance, reads, writes, canvas))
    return steps


def bits(n: int = 7, pixels: int = 25) -> torch.Tensor:
    return (torch.rand(n, pixels, generator=torch.Generator().manual_seed(1)) < 0.4).double()


@pytest.mark.parametrize(("read", "write"), EVERY_ATTENTION)
def test_loss_and_gradients_are_those_of_the_equations_one_by_one(read, write):
    model, x = small(read, write), bits()
    epsilon = torch.randn(4, len(x), 3).double()
    loss = model.loss(x, epsilon=epsilon)
    loss.total.backward()
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    reconstruction, kl = straightforward(model, x, epsilon)
    (reconstruction + kl).backward()
    assert [loss.terms[name].item() for name in ("reconstruction", "kl")] == approx(
        [reconstruction.item(), kl.item()], rel=1e-9
    )
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize(("read", "write"), [(2, 5), (None, None)])
def test_the_same_in_single_precision_at_the_paper_s_size(read, write):
    torch.manual_seed(0)
    model, x = DRAW(read=read, write=write, steps=3), bits(10, 784).float()
    epsilon = torch.randn(3, 10, 100)
    model.loss(x, epsilon=epsilon).total.backward()
    ours = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    sum(straightforward(model, x, epsilon)).backward()
    for mine, parameter in zip(ours, model.parameters(), strict=True):
        assert float((mine - parameter.grad).norm()) <= 1e-4 * float(parameter.grad.norm())


class LSTMLayer(nn.Module):
    """h of an LSTM after one input, from its first state."""

    def __init__(self, cell: nn.LSTMCell, state: torch.Tensor, columns: slice):
        super().__init__()
        self.cell, self.state, self.columns = cell, state, columns

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        n, width = given.shape[0], self.cell.input_size
        padded = given.new_zeros(n, width)
        padded[:, self.columns] = given
        return self.cell(padded, tuple(part.expand(n, -1) for part in self.state))[0]


def test_one_step_without_attention_is_a_vae_of_the_same_weights():
    """T = 1 from h_0 = 0 and c_0 = 0: x_hat = x - 1/2 is x again, the LSTMs are two odd layers."""
    model, x = small(None, None, steps=1), bits()
    with torch.no_grad():
        model.start.zero_()
        model.blank.zero_()
    vae = VAE(pixels=25, hidden=6, latent=3).double()
    seen = nn.Linear(25, 50).double()  # [x, x - 1/2]
    with torch.no_grad():
        seen.weight.copy_(torch.eye(25).repeat(2, 1))
        seen.bias.copy_(torch.cat((torch.zeros(25), torch.full((25,), -0.5))))
    vae.encoder = nn.Sequential(seen, LSTMLayer(model.encoder, model.start[:2], slice(0, 50)), model.posterior_head)
    vae.decoder = nn.Sequential(LSTMLayer(model.decoder, model.start[2:], slice(0, 3)), model.patch_head)
    torch.manual_seed(3)
    ours = model.loss(x, kl_weight=0.7)
    torch.manual_seed(3)
    theirs = vae.loss(x, kl_weight=0.7)
    assert ours.total.item() == approx(theirs.total.item(), abs=1e-5)
    for name in ("reconstruction", "kl"):
        assert ours.terms[name].item() == approx(theirs.terms[name].item(), abs=1e-5)


def test_kl_of_each_step_is_that_of_its_draws():
    """E_q[log q(z_t | .) - log p(z_t)] over draws of z_{1:T}, step by step, within 4 standard errors of the mean closed form."""
    model, x = small(), bits(1)
    many = x.expand(20_000, -1)
    torch.manual_seed(4)
    with torch.no_grad():
        path = model._look_and_write(many, None, lambda t, mean, lv: mean + (0.5 * lv).exp() * torch.randn_like(mean))
    closed = model._divergence(path)
    for step, kl in zip(path, closed, strict=True):
        q, p = diagonal_normal(*step.posterior.chunk(2, 1)), standard_normal(torch.zeros_like(step.z))
        difference = q.log_prob(step.z) - p.log_prob(step.z) - kl
        assert float(difference.mean()) == approx(0, abs=4 * float(difference.std()) / math.sqrt(len(many)))
        assert float((kl - kl_divergence(q, p)).abs().max()) < 1e-12


def test_estimates_by_draws_agree_with_the_loss():
    model, x = small(), bits(3)
    torch.manual_seed(5)
    with torch.no_grad():
        reconstruction, kl = model.bound_terms(x.repeat(2000, 1))
    totals = (reconstruction + kl.sum(0)).reshape(2000, 3).mean(1)
    by_draws = estimate_elbo(model, x, samples=200, estimator="A")
    error = math.hypot(by_draws.standard_error, float(totals.std()) / math.sqrt(len(totals)))
    assert by_draws.mean == approx(-float(totals.mean()), abs=4 * error)
    assert estimate_iwae(model, x, k=200, repeats=10).mean > by_draws.mean


def test_posterior_gives_a_draw_the_same_density_when_asked_again():
    model, x = small(), bits(3)
    q = model.encode(x)
    z = q.rsample((5,))
    assert z.shape == (5, 3, 12)
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))
    assert not q.sample((2,)).requires_grad


def test_posterior_of_a_class_is_its_own():
    """sum_t log q(z_t | z_{<t}, x, y) by the cells one by one, for labels that differ within the batch, and turned round."""
    model, x = small(classes=2), bits(3)
    z = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(2)).double()
    y = torch.tensor([0, 1, 1])
    found = {}
    for name, labels in (("given", y), ("turned", 1 - y)):
        found[name] = model.encode(Pairs(x, labels)).log_prob(z)
        for draw, log_q in zip(z.unflatten(2, (4, 3)), found[name], strict=True):
            means, log_variances, *_ = zip(*glimpses(model, x, draw, labels), strict=True)
            q = diagonal_normal(torch.stack(means, 1), torch.stack(log_variances, 1))
            torch.testing.assert_close(log_q, q.log_prob(draw).sum(1))
    assert bool(((found["given"] - found["turned"]).abs() > 1e-3).all())


def test_decoding_the_draws_gives_the_canvas_they_wrote():
    model, x = small(), bits()
    path = model._look_and_write(x, None, lambda t, mean, lv: mean)
    z = torch.cat([step.z for step in path], 1)
    canvases = model.write_from(z)
    torch.testing.assert_close(canvases, torch.stack([step.canvas for step in path]))
    torch.testing.assert_close(model.decode(z).mean, canvases[-1].sigmoid())


def test_sample_is_a_film_of_pixel_means_for_any_number_of_steps():
    model = small()
    longer = model.with_steps(9)
    film = longer.sample(2)
    assert (model.steps, longer.steps) == (4, 9) and longer.blank is model.blank
    assert film.shape == (9, 2, 25) and bool(((film > 0) & (film < 1)).all())


@pytest.mark.parametrize(("read", "write"), EVERY_ATTENTION)
def test_trace_shows_each_step(read, write):
    model, x = small(read, write), bits()
    trace = model.trace(x, noise=0.0)
    assert trace.canvases.shape == (4, 7, 25) and trace.kl.shape == (4, 7)
    assert (len(trace.reads), len(trace.writes)) == (4 * bool(read), 4 * bool(write))
    torch.testing.assert_close(trace.kl.sum(0).mean(), model.loss(x, noise=0.0).terms["kl"])


@pytest.mark.parametrize(("read", "write"), EVERY_ATTENTION)
def test_trace_shows_where_each_step_reads_and_writes(read, write):
    """A step reads where h_dec of the step before looks, and writes where its own does (eqs. 4 and 8)."""
    model, x = small(read, write), bits()
    trace = model.trace(x, noise=0.0)
    with torch.no_grad():
        _, _, reads, writes, canvases = zip(*glimpses(model, x), strict=True)
    torch.testing.assert_close(trace.canvases, torch.stack(canvases).sigmoid())
    for shown, numbers, n in ((trace.reads, reads, read), (trace.writes, writes, write)):
        places = [attention.window(each, 5, n) for each in numbers if each is not None]
        torch.testing.assert_close(shown, places)
        assert all(float((a.centre - b.centre).abs().max()) > 1e-3 for a, b in pairwise(places))


def test_kl_weight_and_noise_are_knobs():
    model, x = small(), bits()
    total, terms = model.loss(x, kl_weight=0.5, noise=0.0)
    assert float(total) == approx(float(terms["reconstruction"] + 0.5 * terms["kl"]))
    torch.testing.assert_close(total, model.loss(x, kl_weight=0.5, noise=0.0).total)


def test_a_class_speaks_through_the_decoder_s_first_state():
    """Labels change what is written; as many identical classes are the model without classes."""
    model, x = small(classes=2), bits()
    y = torch.arange(7) % 2
    z = torch.randn(7, 12).double()
    assert float((model.write_from(z, y) - model.write_from(z, 1 - y)).abs().max()) > 1e-3
    epsilon = torch.randn(4, 7, 3).double()
    plain = small()
    plain.load_state_dict(
        {name: value for name, value in model.state_dict().items() if name != "start_of_class.weight"}
    )
    with torch.no_grad():
        model.start_of_class.weight.zero_()
    torch.testing.assert_close(model.loss(Pairs(x, y), epsilon=epsilon).total, plain.loss(x, epsilon=epsilon).total)
    assert model.sample(7, y).shape == (4, 7, 25)


def test_an_empty_canvas_may_begin_at_the_mean_image():
    mean = torch.linspace(0.1, 0.9, 25)
    torch.testing.assert_close(DRAW(5, 4, 2, 2, mean=mean).blank.sigmoid(), mean)


@pytest.mark.parametrize(("read", "write", "factor"), [(None, None, 0.4), (2, 3, 0.85)])
def test_training_lowers_the_bound(read, write, factor):
    torch.manual_seed(0)
    images = bits(4).float().repeat(25, 1)
    model = DRAW(5, 16, 3, 4, read=read, write=write)
    trainer = Trainer(model, images, batch_size=20, lr=1e-2, seed=0, device="cpu")
    reports = list(trainer.run(epochs=24, report_every=10))
    assert reports[-1].total < factor * reports[0].total


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1.5}, r"steps is 1\.5: give a whole number"),
        ({"read": 6}, "read is 6.*from 1 to 5"),
        ({"write": 0}, "write is 0"),
        ({"latent": 0}, "latent"),
        ({"mean": torch.zeros(5, 5)}, r"means have shape \(5, 5\).*25 visible units"),
    ],
)
def test_sizes_that_fit_no_image_are_named(options, says):
    with pytest.raises(InputError, match=says):
        DRAW(**({"side": 5} | options))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (torch.rand(3, 24), r"shape \(3, 24\).*5 x 5"),
        (torch.zeros(3, 25, dtype=torch.long), "int64"),
        (torch.rand(3, 5, 5), "shape"),
        (2 * torch.ones(3, 25).double(), r"from 2 to 2.*\[0, 1\]"),
        (-torch.ones(3, 25).double(), "from -1"),
        (torch.rand(3, 25), r"float32: this DRAW .* takes torch\.float64"),
        (torch.rand(2, 3, 25).double(), r"shape \(2, 3, 25\): give images"),
    ],
)
def test_images_of_another_size_or_range_are_refused(data, says):
    with pytest.raises(InputError, match=says):
        small().check_data(data)


@pytest.mark.parametrize("x", [bits(3) + 0.1, bits(3) - 0.1])
def test_pictures_and_posteriors_are_of_pixels_within_range(x):
    for call in (small().trace, small().encode):
        with pytest.raises(InputError, match=r"pixels in \[0, 1\]"):
            call(x)


@pytest.mark.parametrize("steps", [0, 0.5])
def test_no_steps_at_all_and_parts_of_one_are_refused(steps):
    with pytest.raises(InputError, match=f"steps is {steps}"):
        small().with_steps(steps)


@pytest.mark.parametrize("shape", [(3, 7, 3), (4, 1, 3), (7, 4, 3), (4, 7)])
def test_noise_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"epsilon has shape .* here \(4, 7, 3\)"):
        small().loss(bits(), epsilon=torch.zeros(shape).double())


def test_labels_without_classes_and_classes_without_labels_are_refused():
    x, y = bits(), torch.zeros(7, dtype=torch.long)
    for model, data in ((small(), Pairs(x, y)), (small(classes=2), x)):
        with pytest.raises(InputError, match="labels y"):
            model.loss(data)
    with pytest.raises(InputError, match="from 0 to 1"):
        small(classes=2).check_data(Pairs(x, y + 2))
