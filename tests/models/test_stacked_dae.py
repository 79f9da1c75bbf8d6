"""Stacked denoising autoencoders: the layers written out, and real digits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gmnm_lib.data import load
from gmnm_lib.errors import InputError
from gmnm_lib.models.dae import DAE
from gmnm_lib.models.perceptron import Pairs
from gmnm_lib.models.stacked_dae import StackedDAE, pretrain
from gmnm_lib.trainer import Trainer

X = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0])


def trained(epochs: float):
    def train(dae: DAE, data: Tensor) -> None:
        list(Trainer(dae, data, batch_size=20, lr=1e-2, knobs={"noise": 0.3}, device="cpu").run(epochs=epochs))

    return train


def test_the_code_is_that_of_one_dae_after_another():
    torch.manual_seed(0)
    layers = [DAE(5, 4), DAE(4, 3)]
    for dae in layers:
        dae.encoder[0].bias.data.normal_()
    model = StackedDAE.assemble(layers, classes=3)
    h = layers[1].encode(layers[0].encode(X))
    assert torch.allclose(model.encode(X), h)
    model.top.weight.data.normal_()
    logits = h @ model.top.weight.T + model.top.bias
    assert torch.allclose(model.predict(X).probs, logits.softmax(-1))
    assert model.loss(Pairs(X, Y)).total.item() == pytest.approx(F.cross_entropy(logits, Y).item())
    assert model.error_rate(Pairs(X, Y), chunk=3) == pytest.approx(float((logits.argmax(1) != Y).float().mean()))


def test_fine_tuning_reaches_every_layer_and_leaves_the_daes_alone():
    torch.manual_seed(0)
    layers = [DAE(5, 4), DAE(4, 3)]
    model = StackedDAE.assemble(layers, classes=3)
    model.top.weight.data.normal_()
    before = [dae.encoder[0].weight.clone() for dae in layers]
    list(Trainer(model, Pairs(X, Y), batch_size=7, lr=0.1, device="cpu").run(epochs=5))
    for linear, dae, weight in zip(model.encoder, layers, before, strict=True):
        assert torch.equal(dae.encoder[0].weight, weight) and not torch.allclose(linear.weight, weight)


def test_each_layer_learns_from_the_clean_codes_of_the_one_below():
    seen: list[tuple[DAE, Tensor]] = []
    model = pretrain(X, (5, 4, 3), lambda dae, data: seen.append((dae, data)), classes=3, reconstruction="gaussian")
    (first, x), (second, codes) = seen
    assert torch.equal(x, X) and torch.allclose(codes, first.encode(X))
    assert first.reconstruction == "gaussian" and second.reconstruction == "bernoulli"
    assert torch.allclose(model.encode(X), second.encode(codes))


def test_pretraining_helps_where_labels_are_few():
    """8x8 digits, 30 labels, all images to pretrain on; the same network and the same fine-tuning from both starts."""
    digits = load("digits-8x8")
    x, y = digits.train, digits.labels.train
    few, test = Pairs(x[:30], y[:30]), Pairs(digits.test, digits.labels.test)

    def tuned(model: StackedDAE) -> float:
        list(Trainer(model, few, batch_size=20, lr=1e-2, device="cpu").run(epochs=40))
        return model.error_rate(test)

    torch.manual_seed(0)
    plain = tuned(StackedDAE((64, 100, 100), 10))
    pretrained = tuned(pretrain(x, (64, 100, 100), trained(epochs=20)))
    assert pretrained < plain - 0.05  # 200 test digits: one standard error is 0.03


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: StackedDAE((5,)), "sizes is"),
        (lambda: StackedDAE((5, 4), classes=1), "classes is 1"),
        (lambda: StackedDAE.assemble([]), "one or more DAEs"),
        (lambda: StackedDAE.assemble([DAE(5, (4, 3))]), "single hidden layer"),
        (lambda: StackedDAE.assemble([DAE(5, 4), DAE(3, 2)]), "must begin with"),
        (lambda: StackedDAE.assemble([DAE(5, 4), DAE(4, 2, activation="tanh")]), "different activations"),
        (lambda: pretrain(X, (6, 4), trained(1)), "width 5"),
        (lambda: StackedDAE((5, 4), 3).check_data(X), "Pairs"),
        (lambda: StackedDAE((5, 4), 2).check_data(Pairs(X, Y)), "from 0 to 1"),
        (lambda: StackedDAE((5, 4), 3).check_data(Pairs(X, Y.float())), "float32"),
        (lambda: StackedDAE((4, 4), 3).check_data(Pairs(X, Y)), r"\(batch, 4\)"),
    ],
)
def test_what_does_not_fit_is_named(call, says):
    with pytest.raises(InputError, match=says):
        call()
