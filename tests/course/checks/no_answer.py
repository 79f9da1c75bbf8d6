"""What no task takes for an answer, and what each one says to it."""

import torch


def stub(*_):
    raise NotImplementedError()


def crash(*_):
    return torch.ones(3) @ torch.ones(4)


ANYWHERE = [
    (stub, "not implemented yet"),
    (crash, "it raised RuntimeError"),
    (lambda *_: None, "returned None"),
    (lambda *_: "0.5", "wrong type: expected a tensor, found a str"),
    (lambda *_: torch.zeros(2, 13, 3, 1), "wrong shape, expected"),
    (lambda: 1.0, "it raised TypeError"),
    (3.5, "no such function"),
]
