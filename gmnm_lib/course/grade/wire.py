"""What passes between the grader and the sandbox: a line of JSON, then arrays in numpy's own format, and never a pickle.

Neither side believes the other. A message is refused before its array is made where it is longer than it may be, or where
its shape and its bytes disagree.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import select
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

LONGEST_HEADER = 4_000_000  # bytes of JSON; a cell's text is the longest that there is
LONGEST_BODY = 64_000_000  # bytes of arrays
KINDS = "biuf"  # bool, int, unsigned, float: what numpy calls an element


class BrokenMessage(Exception):
    """What arrived is no message of ours."""


class Wire:
    """Messages over a pair of file descriptors, each with a time until which it must have passed.

    A message is a dictionary of JSON values and, anywhere in it, tensors.
    """

    def __init__(self, reading: int, writing: int):
        self._reading, self._writing = reading, writing
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)

    def send(self, message: dict[str, Any], until: float = math.inf) -> None:
        """TimeoutError: the other side did not take it by `until`, on time.monotonic()'s clock. OSError: it is gone."""
        arrays: list[bytes] = []
        header = json.dumps(_packed(message, arrays)).encode()
        lengths = [len(header), *(len(array) for array in arrays)]
        view = memoryview(json.dumps(lengths).encode() + b"\n" + header + b"".join(arrays))
        while view:
            _wait(self._writing, select.POLLOUT, until)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._writing, view) :]

    def receive(self, until: float = math.inf) -> dict[str, Any]:
        """TimeoutError: nothing whole came by `until`. EOFError: the other side is gone. BrokenMessage: it is not to be read."""
        lengths = self._lengths(until)
        header = self._exactly(lengths[0], until)
        arrays = [self._exactly(length, until) for length in lengths[1:]]
        try:
            message = json.loads(header)
            if not isinstance(message, dict):
                raise BrokenMessage("it is no dictionary")
            return _unpacked(message, dict(enumerate(arrays)))
        except BrokenMessage:
            raise
        except Exception as error:  # of json, numpy and Python's own parser, which an array's header goes through
            raise BrokenMessage(type(error).__name__) from None

    def _lengths(self, until: float) -> list[int]:
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self._exactly(1, until)
            if len(line) > 1000:
                raise BrokenMessage("its first line does not end")
        try:
            lengths = json.loads(line)
        except (ValueError, RecursionError):
            raise BrokenMessage("its first line is no list of lengths") from None
        if not isinstance(lengths, list) or not lengths or not all(type(n) is int and n >= 0 for n in lengths):
            raise BrokenMessage("its first line is no list of lengths")
        if lengths[0] > LONGEST_HEADER or sum(lengths[1:]) > LONGEST_BODY:
            raise BrokenMessage("it is too long")
        return lengths

    def _exactly(self, length: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            _wait(self._reading, select.POLLIN, until)
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._reading, min(length - len(data), 1 << 20))
                if not part:
                    raise EOFError("the other side is gone")
                data += part
        return bytes(data)


def _wait(descriptor: int, event: int, until: float) -> None:
    """Until the descriptor is ready, or has nobody at its other end."""
    poll = select.poll()
    poll.register(descriptor, event)
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if poll.poll(min(left, 3600) * 1000):
            return


def _packed(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, Tensor):
        file = io.BytesIO()
        array = np.ascontiguousarray(value.detach().cpu().numpy()).reshape(value.shape)
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
        arrays.append(file.getvalue())
        return {"array": len(arrays) - 1}
    if isinstance(value, dict):
        return {str(name): _packed(part, arrays) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(part, arrays) for part in value]
    return value


def _unpacked(value: Any, arrays: dict[int, bytes]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array"} and type(value["array"]) is int:
            return _tensor(
                arrays.pop(value["array"])
            )  # named twice, a long array would fill the memory with its copies
        return {name: _unpacked(part, arrays) for name, part in value.items()}
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    return value


def _tensor(data: bytes) -> Tensor:
    """The array in numpy's format 1.0, once its header is known to describe these very bytes."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise BrokenMessage("its array is of another format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    body = data[file.tell() :]
    if dtype.hasobject or dtype.kind not in KINDS or dtype.itemsize > 8 or is_fortran or len(shape) > 16:
        raise BrokenMessage("its array is of no kind that a task returns")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(body):
        raise BrokenMessage("its array's shape and length disagree")
    return torch.from_numpy(np.frombuffer(body, dtype).copy().reshape(shape))


def plain(text: object, longest: int = 2000) -> str:
    """Text from the other side on one line: no control characters, no half of a surrogate pair, nothing endless."""
    line = " ".join(str(text)[: 4 * longest].split())
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= longest else line[:longest] + " ..."
