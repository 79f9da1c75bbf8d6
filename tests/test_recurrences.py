"""Recurrences against torch's own cells and kernels, and against autograd."""

import pytest
import torch
from torch import nn

from gmnm_lib.errors import InputError
from gmnm_lib.recurrences import (
    InLoop,
    at_rest,
    at_the_end,
    cell_step,
    delayed,
    gates,
    hidden_states,
    lstm_gates,
    one_step,
    recurrence,
    recurrent_cell,
    turned_round,
)

CELLS = ["tanh", "relu", "gru", "lstm"]


@pytest.mark.parametrize("cell", CELLS)
def test_one_step_after_another_gives_what_the_whole_sequence_gives(cell):
    torch.manual_seed(0)
    rnn, x = recurrence(cell, 3, 4).double(), torch.randn(2, 5, 3).double()
    state, steps = at_rest(rnn, 2), []
    for t in range(5):
        state = one_step(rnn, x[:, t], state)
        steps.append(state[0])
    torch.testing.assert_close(torch.stack(steps, 1), hidden_states(rnn, x))
    halfway = at_rest(rnn, 2)
    for t in range(2):
        halfway = one_step(rnn, x[:, t], halfway)
    torch.testing.assert_close(hidden_states(rnn, x[:, 2:], halfway), hidden_states(rnn, x)[:, 2:])


@pytest.mark.parametrize("given", [False, True])
def test_tanh_states_and_their_gradients_are_those_of_torchs_kernel(given):
    torch.manual_seed(3)
    rnn = recurrence("tanh", 3, 4).double()
    x, start = (torch.randn(shape).double().requires_grad_() for shape in [(2, 5, 3), (2, 4)])
    cotangent, leaves = torch.randn(2, 5, 4).double(), [x, *([start] if given else []), *rnn.parameters()]
    ours, torchs = hidden_states(rnn, x, (start,) if given else None), rnn(x, start[None] if given else None)[0]
    torch.testing.assert_close(ours, torchs)
    expected = torch.autograd.grad((cotangent * torchs).sum(), leaves)
    torch.testing.assert_close(torch.autograd.grad((cotangent * ours).sum(), leaves), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_gates_are_the_elementwise_half_of_torchs_cell(cell):
    torch.manual_seed(1)
    own = recurrent_cell(cell, 3, 4).double()
    x, state = torch.randn(2, 3).double(), tuple(torch.randn_like(part) for part in at_rest(own, 2))
    from_input = nn.functional.linear(x, own.weight_ih, own.bias_ih)
    from_hidden = nn.functional.linear(state[0], own.weight_hh, own.bias_hh)
    torch.testing.assert_close(gates(own, from_input, from_hidden, state), cell_step(own, x, state))


def test_a_product_in_a_loop_has_the_gradients_that_autograd_gives():
    torch.manual_seed(2)
    weight, offset, v = (torch.randn(shape).double().requires_grad_() for shape in [(3, 3), (4, 2, 3), (2, 3)])

    def run(product) -> torch.Tensor:
        h = v
        for t in range(4):
            h = product(t, h).tanh()
        return h.square().sum()

    expected = torch.autograd.grad(run(lambda t, h: offset[t] + h @ weight.t()), (weight, offset, v))
    torch.testing.assert_close(torch.autograd.grad(run(InLoop(offset, weight)), (weight, offset, v)), expected)


def test_delayed_turned_round_and_the_end():
    x = torch.arange(1.0, 9.0).reshape(2, 4, 1)
    lengths = torch.tensor([4, 2])
    assert delayed(x).flatten(1).tolist() == [[0, 1, 2, 3], [0, 5, 6, 7]]
    assert turned_round(x, lengths).flatten(1).tolist() == [[4, 3, 2, 1], [6, 5, 7, 8]]
    assert at_the_end(x, lengths).flatten().tolist() == [4, 6]


@pytest.mark.parametrize("make", [recurrence, recurrent_cell])
def test_an_unknown_cell_is_named(make):
    with pytest.raises(InputError, match="'elman': choose"):
        make("elman", 2, 2)


def test_lstm_gates_and_their_gradient_are_those_of_torch_s_cell():
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 4).double()
    x, h, c = (torch.randn(5, size).double().requires_grad_() for size in (3, 4, 4))
    total = nn.functional.linear(x, cell.weight_ih, cell.bias_ih) + nn.functional.linear(
        h, cell.weight_hh, cell.bias_hh
    )
    ours, theirs = lstm_gates(total, c), cell(x, (h, c))
    weights = [torch.randn(5, 4).double() for _ in range(2)]
    inputs = (x, h, c, *cell.parameters())
    found, expected = (
        torch.autograd.grad(sum((w * part).sum() for w, part in zip(weights, state, strict=True)), inputs)
        for state in (ours, theirs)
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found, expected)
