"""What a figure reports is what its model, asked again or reckoned by hand, gives: of the right part, with the right knobs."""

import dataclasses
import functools
import math
import statistics
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Categorical

from gmnm_lib.chains import Chain
from gmnm_lib.evaluate.parzen import parzen
from gmnm_lib.models.dae import DAE
from gmnm_lib.reproduce import dae_score, draw_mnist, gdae_mnist, gsn_mnist, results, sda_mnist
from gmnm_lib.reproduce.figure import Outcome, Reproduction
from gmnm_lib.reproduce.run import Run


class Watched(Run):
    """A run that shows the models of its stages, and how they were trained."""

    def __init__(self, reproduction: Reproduction, folder, **settings: float):
        small = dict(reproduction.profiles["trial"]) | settings
        super().__init__(dataclasses.replace(reproduction, profiles={"trial": small}), "trial", 0, folder, quiet=True)
        self.models, self.options = {}, {}

    def train(self, stage, model, data, **options):
        self.models[stage] = super().train(stage, model, data, **options)
        self.options[stage] = options
        return self.models[stage]


def drawn(seed: int, n: int, share: float):
    """n images of bits, and labels 0, 1 and 2 that go with nothing in them: 0 for a `share` of them."""
    x = (torch.rand(n, 784, generator=torch.Generator().manual_seed(seed)) < 0.3).float()
    number = torch.arange(n)
    return x, torch.where(number < share * n, 0, 1 + number % 2)


@pytest.fixture
def images(monkeypatch):
    """200 images to learn from, 60 to validate on and 620 to test on, in place of the full set."""
    parts = {"train": drawn(0, 200, 0.8), "valid": drawn(1, 60, 0.5), "test": drawn(2, 620, 0.3)}
    x, y = ({name: part[k] for name, part in parts.items()} for k in (0, 1))
    data = SimpleNamespace(**x, labels=SimpleNamespace(**y))
    for module in (draw_mnist, sda_mnist, gdae_mnist, gsn_mnist):
        monkeypatch.setattr(module, "load", lambda name: data)
    return data


@pytest.mark.parametrize("windows", [(2, 5), None])
def test_the_bound_of_draw_is_its_loss_on_the_test_images(tmp_path, images, windows):
    """The same draws by the same seed: 520 of the images, 500 at a time, three draws of z each."""
    run = Watched(draw_mnist.REPRODUCTION, tmp_path, draws=3, test=520)
    found = draw_mnist.train_and_measure(run, "draw", windows, 1, 2e-3)
    model = run.models["draw"]
    assert (model.read, model.write, model.steps) == (*(windows or (None, None)), 2)
    with run.seeded(), torch.no_grad():
        sums = [[float(model.loss(part).total) * len(part) for _ in range(3)] for part in images.test[:520].split(500)]
    bounds = [sum(draw) / 520 for draw in zip(*sums, strict=True)]
    assert found["bound"] == pytest.approx(statistics.mean(bounds), rel=1e-6)
    assert found["stderr"] == pytest.approx(statistics.stdev(bounds) / math.sqrt(3), rel=1e-2)


def test_the_figure_of_draw_is_that_with_attention(tmp_path, monkeypatch):
    asked = []

    def measured(run, stage, windows, epochs, lr):
        asked.append((windows, epochs, lr))
        return {"bound": float(len(asked)), "stderr": 0.5 * len(asked)}

    monkeypatch.setattr(draw_mnist, "train_and_measure", measured)
    settings = {"read": 2, "write": 5, "epochs": 3, "lr": 0.1, "plain_epochs": 4, "plain_lr": 0.2}
    outcome = draw_mnist.reproduce(Watched(draw_mnist.REPRODUCTION, tmp_path, **settings))
    assert asked == [((2, 5), 3, 0.1), (None, 4, 0.2)]
    assert (outcome.ours, outcome.stderr, *outcome.others.values()) == (1.0, 0.5, 2.0, 1.0)


def test_the_error_of_the_stacked_autoencoder_is_that_on_the_test_images(tmp_path, images):
    run = Watched(sda_mnist.REPRODUCTION, tmp_path, units=8)
    outcome = sda_mnist.reproduce(run)
    model = run.models["classifier"]
    wrong = {}
    for part in ("train", "valid", "test"):
        named = model.predict(getattr(images, part)).probs.argmax(-1)
        wrong[part] = float((named != getattr(images.labels, part)).double().mean())
    assert len(set(wrong.values())) == 3
    assert outcome.ours == pytest.approx(100 * wrong["test"])
    assert outcome.stderr == pytest.approx(100 * math.sqrt(wrong["test"] * (1 - wrong["test"]) / 620))
    assert outcome.others == pytest.approx(
        {"validation error": 100 * wrong["valid"], "training error": 100 * wrong["train"]}
    )


def test_walkback_is_trained_with_walks_of_its_length_and_the_plain_network_without(tmp_path, images, monkeypatch):
    loss, walks = DAE.loss, []

    @functools.wraps(loss)
    def watched(self, x, **knobs):
        walks.append(int(knobs["walkback"]))
        return loss(self, x, **knobs)

    monkeypatch.setattr(DAE, "loss", watched)
    sizes = {"units": 10, "samples": 200, "examples": 50, "batch_size": 50}
    run = Watched(gdae_mnist.REPRODUCTION, tmp_path, walkback=3, walkback_epochs=2, plain_epochs=1, **sizes)
    outcome = gdae_mnist.reproduce(run)
    assert walks == [3] * 8 + [1] * 4
    for stage, mean in (("walkback", outcome.ours), ("plain", outcome.others["without walkback"])):
        samples = gdae_mnist._samples(run, run.models[stage], images.train[-100:], lambda done, of: None)
        assert samples.shape == (200, 784)
        assert mean == pytest.approx(parzen(samples, images.test[:50], validation=images.valid[:50]).mean)


@pytest.mark.parametrize("power", [3.0, 4.0, -1.0])
def test_a_power_of_sigma_has_its_exponent_for_slope(power):
    errors = torch.tensor([[c * sigma**power for sigma in dae_score.SIGMAS] for c in (0.01, 1.0, 7.0)])
    assert dae_score._slope(errors).tolist() == pytest.approx([power] * 3, rel=1e-4)


class Judge:
    """A classifier that is told: the first pixel is the class, the second how sure it is."""

    def predict(self, x):
        named, sure = x[..., 0].long(), x[..., 1:2]
        p = ((1 - sure) / 9).repeat_interleave(10, -1)
        return Categorical(probs=p.scatter(-1, named[..., None], sure))


def judged(classes, sure=0.95):
    named = torch.tensor(classes, dtype=torch.float64)
    return torch.stack([named, torch.as_tensor(sure, dtype=torch.float64).expand_as(named)], -1)


@pytest.mark.parametrize(
    ("classes", "effective"),
    [(list(range(10)), 10), ([3] * 6, 1), ([1, 1, 8, 8], 2), ([0, 0, 5, 9], 2**1.5)],
    ids=["all", "one", "two", "unevenly three"],
)
def test_effective_classes_are_the_exponential_of_the_entropy_of_their_shares(classes, effective):
    assert gsn_mnist._classes(Judge(), judged(classes))[0] == pytest.approx(effective, rel=1e-6)


def test_a_sample_is_named_surely_with_nine_tenths_or_more():
    sure = torch.tensor([0.99, 0.91, 0.89, 0.5, 0.92])
    assert gsn_mnist._classes(Judge(), judged([1, 1, 2, 3, 4], sure))[1] == pytest.approx(3 / 5)


def test_a_chain_stays_with_a_class_for_the_mean_length_of_its_runs():
    """Runs of 6; of 3 and 3; and of 1, 4 and 1: eighteen steps in six runs."""
    walk = judged([[2, 2, 2, 2, 2, 2], [2, 2, 2, 7, 7, 7], [0, 5, 5, 5, 5, 0]]).transpose(0, 1)
    assert gsn_mnist._stay(Judge(), walk) == pytest.approx(3)
    assert gsn_mnist._stay(Judge(), walk[:, :1]) == pytest.approx(6)


def test_samples_of_the_gsn_are_every_tenth_state_of_its_walk_after_the_burn_in(tmp_path, images, monkeypatch):
    given = []

    def noted(samples, x, *, validation):
        given.append((samples, x, validation))
        return parzen(samples, x, validation=validation)

    monkeypatch.setattr(gsn_mnist, "parzen", noted)
    monkeypatch.setattr(gsn_mnist, "_classes", lambda judge, x: (float(x.mean()), float(x.std())))
    run = Watched(gsn_mnist.REPRODUCTION, tmp_path, units=8, samples=300, burn_in=7, examples=50)
    outcome = gsn_mnist.reproduce(run)
    model, judge = run.models["gsn"], run.models["judge"]
    step = model.chain_step(run.settings["noise"], run.settings["hidden_noise"])
    chain = Chain(step, model.start(images.train[-100:]), seed=0)
    with torch.no_grad():
        walk = torch.stack([model.decode(chain[7 + k].hidden).mean for k in range(30)])
    ((samples, x, validation),) = given
    assert torch.equal(samples, torch.cat([walk[0], walk[10], walk[20]]))
    assert torch.equal(x, images.test[:50]) and torch.equal(validation, images.valid[:50])
    assert outcome.ours == parzen(samples, x, validation=validation).mean
    for name, shown in (("samples", samples), ("test set", x)):
        assert outcome.others[f"effective classes of the {name}"] == float(shown.mean())
    assert outcome.others["samples named with 90 % or more"] == float(samples.std())
    assert outcome.others["test digits named with 90 % or more"] == float(x.std())
    assert outcome.others["steps that a chain stays with one class"] == gsn_mnist._stay(judge, walk)


@pytest.mark.parametrize(
    ("profile", "gpu_aim", "aim", "reached"),
    [("cpu", 84.0, 95.0, True), ("gpu", 84.0, 84.0, False), ("trial", 84.0, 95.0, True), ("gpu", None, 95.0, True)],
)
def test_a_gpu_is_judged_by_an_aim_of_its_own_where_there_is_one(profile, gpu_aim, aim, reached):
    figure = dataclasses.replace(draw_mnist.REPRODUCTION, aim=95.0, gpu_aim=gpu_aim)
    result = results.as_result(figure, Outcome(90.0, 0.1), profile=profile, seed=0, device="some", seconds=1.0)
    assert figure.aim_of(profile) == aim
    assert (result["aim"], result["reached"], result["profile"]) == (aim, reached, profile)
