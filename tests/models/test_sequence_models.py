"""What is true of every sequence model: padding, gradients, generation and the trainer; each against the model's other forms."""

import pytest
import torch
import torch.nn.functional as F
from pytest import approx
from torch.distributions import kl_divergence

from gmnm_lib.data.sequences import Sequences
from gmnm_lib.errors import InputError
from gmnm_lib.models.vrae import VRAE
from gmnm_lib.trainer import Trainer
from tests.models.small_sequences import LENGTHS, MODELS, STEPWISE, noise_for, sequences, small

every_model = pytest.mark.parametrize("name", MODELS)


def loss_and_gradients(model, batch, epsilon):
    model.zero_grad()
    loss = model.loss(batch, epsilon=epsilon)
    loss.total.backward()
    return float(loss.total.detach()), [None if p.grad is None else p.grad.clone() for p in model.parameters()]


@every_model
@pytest.mark.parametrize("filling", [0.0, 1.0])
def test_padding_changes_neither_loss_nor_gradients_nor_steps(name, filling):
    """Four more steps of padding, and other numbers in it, against the batch as it is."""
    model, batch = small(name), sequences()
    epsilon = noise_for(model, batch)
    padded = torch.cat((batch.x, torch.zeros(3, 4, 3).double()), 1)
    longer = Sequences(padded, batch.lengths)
    longer.x[~longer.mask] = filling
    more = epsilon if isinstance(model, VRAE) else torch.cat((epsilon, torch.ones(3, 4, model.latent).double()), 1)
    short, long = model.per_step(batch, epsilon=epsilon), model.per_step(longer, epsilon=more)
    for a, b in zip(short, long, strict=True):
        torch.testing.assert_close(b[:, :6], a, rtol=1e-9, atol=1e-12)
        assert not b[~longer.mask].any()
    value, gradients = loss_and_gradients(model, batch, epsilon)
    mean = float(sum(term.sum().detach() for term in long) / sum(LENGTHS))
    assert value == approx(mean, rel=1e-9)
    model.zero_grad()
    (sum(term.sum() for term in model.per_step(longer, epsilon=more)) / sum(LENGTHS)).backward()
    for ours, p in zip(gradients, model.parameters(), strict=True):
        assert (ours is None) == (p.grad is None)
        assert ours is None or torch.allclose(ours, p.grad, rtol=1e-8, atol=1e-12)


@every_model
def test_a_batch_is_its_sequences_one_by_one(name):
    """Each sequence alone, cut to its own length, has the same terms."""
    model, batch = small(name), sequences(1)
    epsilon = noise_for(model, batch)
    together = model.per_step(batch, epsilon=epsilon)
    for i, length in enumerate(LENGTHS):
        own = epsilon[i : i + 1] if isinstance(model, VRAE) else epsilon[i : i + 1, :length]
        alone = model.per_step(Sequences(batch.x[i : i + 1, :length], batch.lengths[i : i + 1]), epsilon=own)
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[i, :length], rtol=1e-9, atol=1e-12)


@every_model
def test_gradients_are_finite_and_equal_to_finite_differences(name):
    model, batch = small(name), sequences(2)
    epsilon = noise_for(model, batch)
    _, gradients = loss_and_gradients(model, batch, epsilon)

    @torch.no_grad()
    def value() -> float:
        return float(model.loss(batch, epsilon=epsilon).total)

    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert gradient is not None and bool(gradient.isfinite().all())
        flat, step = parameter.data.view(-1), 1e-6
        for i in (0, flat.numel() - 1):
            middle = float(flat[i])
            flat[i] = middle + step
            above = value()
            flat[i] = middle - step
            below = value()
            flat[i] = middle
            assert float(gradient.view(-1)[i]) == approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", STEPWISE)
def test_step_by_step_a_model_says_what_it_says_of_the_whole_sequence(name):
    """Prior, posterior and emission of each step, with the state carried, against the teacher-forced pass."""
    model, batch = small(name), sequences(3)
    path = model.path(batch, epsilon=noise_for(model, batch))
    state, context = model.start(3), model.context(batch)
    for t in range(6):
        p, q = model.prior_at(state), model.posterior_at(state, context[:, t])
        z, x = path.z[:, t], batch.x[:, t]
        torch.testing.assert_close(model.emission_at(state, z).log_prob(x), path.emission.log_prob(batch.x)[:, t])
        torch.testing.assert_close(kl_divergence(q, p), kl_divergence(path.posterior, path.prior)[:, t])
        torch.testing.assert_close(q.mean, path.posterior.mean[:, t])
        state = model.advance(state, z, x)


@pytest.mark.parametrize("name", ["vrae", "vrae, lstm"])
def test_a_vrae_draws_each_step_from_its_teacher_forced_distribution(name):
    """Cold draws are the emission's modes given the steps before them."""
    model, z = small(name), torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double()
    x = model.sample_from(z, 5, temperature=1e-12)
    mean = model.decode(x, z).mean
    torch.testing.assert_close(x, mean.round() if name == "vrae" else mean, rtol=0, atol=1e-4)


@every_model
def test_a_prefix_is_continued_from_each_ones_own_end(name):
    """A sequence alone and in a batch with longer ones: the same next steps where nothing is left to chance."""
    model, batch = small(name), sequences(4)
    with torch.no_grad():
        for part in (p for key, p in model.named_parameters() if "posterior" in key or key.startswith("encoder.2")):
            part.zero_()
        if "vrnn" in name:
            model.encoder[2].bias[2:] = -60.0  # q is certain of its mean
        elif hasattr(model, "to_posterior"):
            model.to_posterior.bias[2:] = -60.0
    together = model.continue_from(batch, 3, temperature=1e-12)
    for i, length in enumerate(LENGTHS):
        alone = Sequences(batch.x[i : i + 1, :length], batch.lengths[i : i + 1])
        torch.testing.assert_close(model.continue_from(alone, 3, 1e-12)[0], together[i], rtol=0, atol=1e-3)


@every_model
@torch.no_grad()
def test_a_prefix_is_heard_to_its_last_step(name):
    """The step after it, where nothing is left to chance, against that after x and z of the teacher-forced pass."""
    model, batch = small(name), Sequences(torch.cat([sequences(i).x for i in range(4)]), torch.tensor(4 * LENGTHS))
    for parameter in model.parameters():
        parameter.mul_(3 if parameter.dim() > 1 else 1)  # so that prefixes differ in what is likeliest after them
    last = model.to_posterior if hasattr(model, "to_posterior") else model.encoder[2] if "vrnn" in name else None
    if last is not None:
        last.weight[2:], last.bias[2:] = 0.0, -60.0  # q is certain of its mean
    found = model.continue_from(batch, 1, temperature=1e-12)[:, 0]
    for i, length in enumerate(4 * LENGTHS):
        x = batch.x[i : i + 1, :length]
        alone = Sequences(x, batch.lengths[i : i + 1])
        if isinstance(model, VRAE):
            mode = model.decode(F.pad(x, (0, 0, 0, 1)), model.encode(alone).mean).mean[0, length]
            mode = mode.round() if name == "vrae" else mode
        else:
            state, z = model.start(1), model.path(alone, noise=0.0).z
            for t in range(length):
                state = model.advance(state, z[:, t], x[:, t])
            mode = model.emission_at(state, model.prior_at(state).mean, 1e-12).sample()[0]
        torch.testing.assert_close(found[i], mode, rtol=1e-3, atol=1e-3)
    assert not torch.isclose(found, found[:1], atol=0.1).all()


@every_model
def test_samples_have_the_shape_asked_for_and_a_seed_repeats_them(name):
    model = small(name)
    torch.manual_seed(5)
    first = model.sample(4, 7)
    torch.manual_seed(5)
    assert first.shape == (4, 7, 3) and torch.equal(first, model.sample(4, 7))


@every_model
def test_the_total_is_reconstruction_and_weighted_kl(name):
    with torch.no_grad():
        loss = small(name).loss(sequences(), kl_weight=0.5)
    assert float(loss.total) == approx(float(loss.terms["reconstruction"] + 0.5 * loss.terms["kl"]), abs=1e-12)


@every_model
@torch.no_grad()
def test_without_noise_nothing_is_drawn(name):
    model, batch = small(name), sequences()
    at_mean = model.loss(batch, epsilon=torch.zeros_like(noise_for(model, batch))).total
    assert float(model.loss(batch, noise=0.0).total) == approx(float(at_mean), abs=1e-12)


@every_model
def test_the_trainer_takes_it(name):
    torch.manual_seed(0)
    model, batch = MODELS[name](), sequences()
    data = Sequences(batch.x.float().repeat(4, 1, 1), batch.lengths.repeat(4))
    trainer = Trainer(model, data, batch_size=4, lr=1e-2, seed=0, device="cpu")
    reports = list(trainer.run(epochs=40, report_every=40))
    assert reports[-1].total < reports[0].total


def broken(kind: str) -> Sequences:
    x, lengths = sequences()
    x, lengths = x.clone(), lengths.clone()
    if kind == "empty":
        lengths[1] = 0
    elif kind == "all padding":
        lengths[:] = 0
    elif kind == "too long":
        lengths[0] = 7
    elif kind == "nan":
        x[0, 0, 0] = float("nan")
    return Sequences(x, lengths)


@every_model
@pytest.mark.parametrize(
    "kind, says", [("empty", "empty"), ("all padding", "empty"), ("too long", "a length is 7"), ("nan", "NaN")]
)
def test_bad_sequences_are_refused_by_the_check_and_by_the_loss(name, kind, says):
    model, batch = small(name), broken(kind)
    for refuses in (model.check_data, model.loss, lambda data: model.continue_from(data, 2)):
        with pytest.raises(InputError, match=says):
            refuses(batch)


@pytest.mark.parametrize("name", ["storn", "vrnn", "rnn", "vrae"])
@pytest.mark.parametrize("value", [0.5, 2.0, -1.0])
def test_notes_that_are_neither_off_nor_on_are_refused(name, value):
    """Within a sequence; in the padding any number may stand."""
    model, batch = small(name), sequences()
    batch.x[1, 3, 1] = value
    model.loss(batch)
    batch.x[0, 2, 1] = value
    for refuses in (model.loss, lambda data: Trainer(model, data, batch_size=1, device="cpu")):
        with pytest.raises(InputError, match="0 and 1 only"):
            refuses(batch)


@every_model
@pytest.mark.parametrize("steps, temperature", [(0, 1.0), (3, 0.0)])
def test_no_steps_and_no_temperature_are_refused(name, steps, temperature):
    with pytest.raises(InputError, match="1 step or more"):
        small(name).sample(2, steps, temperature)


@pytest.mark.parametrize("model", ["storn", "vrnn"])
def test_unknown_choices_are_named(model):
    kind = type(small(model))
    wrong = [{"recognition": "sideways"}, {"prior": "flat"}] if model == "storn" else []
    for options in [*wrong, {"cell": "elman"}, {"output": "poisson"}]:
        with pytest.raises(InputError, match="choose"):
            kind(3, 5, 2, **options)
