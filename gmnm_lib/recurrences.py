"""Recurrent networks: whole sequences at once, one step at a time, and what a hand-written loop needs.

    h_t = f(x_t, h_{t-1})      f: tanh or relu of a linear map, a GRU or an LSTM

Sequences are (batch, time, features). A state is a tuple of tensors (batch, hidden): (h,), or (h, c) of an LSTM.
"""

from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from gmnm_lib.errors import InputError

Cell = Literal["tanh", "relu", "gru", "lstm"]
State = tuple[Tensor, ...]


def recurrence(cell: Cell, inputs: int, hidden: int) -> nn.RNNBase:
    """A recurrent network of one layer. Raises `InputError` for an unknown cell."""
    _check(cell)
    if cell == "gru":
        return nn.GRU(inputs, hidden, batch_first=True)
    if cell == "lstm":
        return nn.LSTM(inputs, hidden, batch_first=True)
    return nn.RNN(inputs, hidden, nonlinearity=cell, batch_first=True)


def recurrent_cell(cell: Cell, inputs: int, hidden: int) -> nn.RNNCellBase:
    """The same as a cell, for loops of one's own. Raises `InputError` for an unknown cell."""
    _check(cell)
    if cell == "gru":
        return nn.GRUCell(inputs, hidden)
    if cell == "lstm":
        return nn.LSTMCell(inputs, hidden)
    return nn.RNNCell(inputs, hidden, nonlinearity=cell)


def _check(cell: str) -> None:
    if cell not in get_args(Cell):
        raise InputError(f"cell is {cell!r}: choose 'tanh', 'relu', 'gru' or 'lstm'")


def at_rest(rnn: nn.RNNBase | nn.RNNCellBase, n: int) -> State:
    """The state before the first step: zeros."""
    zero = cast(Tensor, next(rnn.parameters())).new_zeros(n, rnn.hidden_size)
    return (zero, zero) if isinstance(rnn, nn.LSTM | nn.LSTMCell) else (zero,)


def hidden_states(rnn: nn.RNNBase, x: Tensor, state: State | None = None) -> Tensor:
    """h_1 to h_T of x (batch, time, inputs): (batch, time, hidden). By torch's kernel, but for tanh on a CPU."""
    if isinstance(rnn, nn.RNN) and rnn.nonlinearity == "tanh" and x.device.type == "cpu":
        weight, recurrent, *biases = cast("list[Tensor]", rnn.all_weights[0])
        offset = nn.functional.linear(x.transpose(0, 1), weight, biases[0] + biases[1])
        return _TanhStates.apply(offset, recurrent, (state or at_rest(rnn, len(x)))[0]).transpose(0, 1)
    if state is None:
        return rnn(x)[0]
    layers = tuple(part.unsqueeze(0).contiguous() for part in state)
    return rnn(x, layers if isinstance(rnn, nn.LSTM) else layers[0])[0]


class _TanhStates(torch.autograd.Function):
    """h_t = tanh(offset_t + W h_{t-1}), as torch's kernel has it, with W's gradient by one product over all steps.

    offset: (time, batch, hidden), W_i x_t and the biases. start: (batch, hidden). Faster on a CPU than the kernel, whose
    autograd forms a matrix a step and adds them up.
    """

    @staticmethod
    def forward(ctx: Any, offset: Tensor, weight: Tensor, start: Tensor) -> Tensor:
        h = offset.new_empty(len(offset) + 1, *start.shape)
        h[0], into = start, weight.t()
        for total, before, after in zip(offset.unbind(0), h[:-1].unbind(0), h[1:].unbind(0), strict=True):
            torch.addmm(total, before, into, out=after).tanh_()
        ctx.save_for_backward(h, weight)
        return h[1:]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, weight = ctx.saved_tensors
        of_total = torch.empty_like(h[1:])
        later = torch.zeros_like(h[0])
        for direct, after, out in zip(*(part.unbind(0)[::-1] for part in (of_h, h[1:], of_total)), strict=True):
            reaches = torch.addmm(direct, later, weight)
            later = torch.ops.aten.tanh_backward.grad_input(reaches, after, grad_input=out)
        return of_total, of_total.flatten(0, 1).t() @ h[:-1].flatten(0, 1), later @ weight


def one_step(rnn: nn.RNNBase, x: Tensor, state: State) -> State:
    """The state after x (batch, inputs)."""
    layers = tuple(part.unsqueeze(0).contiguous() for part in state)
    _, after = rnn(x.unsqueeze(1), layers if isinstance(rnn, nn.LSTM) else layers[0])
    return tuple(part.squeeze(0) for part in (after if isinstance(rnn, nn.LSTM) else (after,)))


def cell_step(cell: nn.RNNCellBase, x: Tensor, state: State) -> State:
    """The state after x (batch, inputs)."""
    return cell(x, state) if isinstance(cell, nn.LSTMCell) else (cell(x, state[0]),)


def delayed(x: Tensor) -> Tensor:
    """x_{t-1} at each t, zero at the first: (batch, time, features)."""
    return nn.functional.pad(x[:, :-1], (0, 0, 1, 0))


def turned_round(x: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence from its own last step to its first; its padding stays where it is. Twice gives x again."""
    time = torch.arange(x.shape[1], device=x.device)
    end = lengths.unsqueeze(1)
    order = torch.where(time < end, end - 1 - time, time)
    return x.gather(1, order.unsqueeze(2).expand_as(x))


def at_the_end(x: Tensor, lengths: Tensor) -> Tensor:
    """x at the last step of each sequence: (batch, features)."""
    return x.gather(1, (lengths - 1).reshape(-1, 1, 1).expand(-1, 1, x.shape[2])).squeeze(1)


def gates(cell: nn.RNNCellBase, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
    """The state after a step, from W_i x + b_i and W_h h + b_h: a cell's elementwise half, its gates in torch's order."""
    if isinstance(cell, nn.GRUCell):
        size = cell.hidden_size
        reset, keep = (from_input[:, : 2 * size] + from_hidden[:, : 2 * size]).sigmoid().chunk(2, 1)
        candidate = torch.addcmul(from_input[:, 2 * size :], reset, from_hidden[:, 2 * size :]).tanh()
        return (torch.lerp(candidate, state[0], keep),)
    if isinstance(cell, nn.LSTMCell):
        let_in, forget, candidate, let_out = (from_input + from_hidden).chunk(4, 1)
        c = forget.sigmoid() * state[1] + let_in.sigmoid() * candidate.tanh()
        return (let_out.sigmoid() * c.tanh(), c)
    total = from_input + from_hidden
    return (total.tanh() if cast(nn.RNNCell, cell).nonlinearity == "tanh" else total.relu(),)


def lstm_gates(total: Tensor, c: Tensor) -> State:
    """The state (h, c) of an LSTM after a step, from all four gates' W_i x + b_i + W_h h + b_h: (batch, 4 hidden), torch's order.

    Its gradient is written out, which spares a loop over time most of autograd's small steps.
    """
    return _LSTMGates.apply(total, c)


class _LSTMGates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, total: Tensor, c: Tensor) -> State:
        let_in, forget, candidate, let_out = total.chunk(4, 1)
        let_in, forget, candidate, let_out = let_in.sigmoid(), forget.sigmoid(), candidate.tanh(), let_out.sigmoid()
        after = torch.addcmul(forget * c, let_in, candidate)
        bent = after.tanh()
        ctx.save_for_backward(let_in, forget, candidate, let_out, c, bent)
        return let_out * bent, after

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_h: Tensor, of_c: Tensor) -> tuple[Tensor, Tensor]:
        let_in, forget, candidate, let_out, c, bent = ctx.saved_tensors
        of_let_out = torch.ops.aten.sigmoid_backward(of_h * bent, let_out)
        of_c = of_c + torch.ops.aten.tanh_backward(of_h * let_out, bent)
        of_let_in = torch.ops.aten.sigmoid_backward(of_c * candidate, let_in)
        of_forget = torch.ops.aten.sigmoid_backward(of_c * c, forget)
        of_candidate = torch.ops.aten.tanh_backward(of_c * let_in, candidate)
        return torch.cat((of_let_in, of_forget, of_candidate, of_let_out), 1), of_c * forget


class InLoop:
    """y_t = offset_t + W v_t in a loop over time, with W's gradient by one product over all steps instead of one a step.

    offset: (time, batch, out), all that is known before the loop. Inside, autograd sees W as a constant; what reaches the
    offset is dL/dy_t, so dL/dW = sum_t dL/dy_t v_t' is formed where the offset's gradient arrives whole.
    """

    def __init__(self, offset: Tensor, weight: Tensor):
        self._seen: list[Tensor] = []
        self._offsets = _WeightGradient.apply(offset, weight, self._seen).unbind(0)
        self._transposed = weight.detach().t()

    def __call__(self, t: int, v: Tensor) -> Tensor:
        self._seen.append(v.detach())
        return torch.addmm(self._offsets[t], v, self._transposed)


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, offset: Tensor, weight: Tensor, seen: list[Tensor]) -> Tensor:
        ctx.seen = seen
        return offset.view_as(offset)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        return gradient, gradient.flatten(0, 1).t() @ torch.cat(ctx.seen), None
