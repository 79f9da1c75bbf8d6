"""The messages between grader and sandbox: what is sent arrives, and what is malformed is refused by name."""

import json
import os
import resource
import socket
import threading
import time

import pytest
import torch

from gmnm_lib.course.grade.wire import LONGEST_BODY, LONGEST_HEADER, BrokenMessage, Wire, plain

KINDS = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.float32,
    torch.float64,
]
SHAPES = [(), (0,), (1,), (2, 3), (0, 4), (2, 0, 3), (1, 1, 1, 1)]


@pytest.fixture
def ends():
    """(a wire, the bare socket at its other end)."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Wire(ours.fileno(), ours.fileno()), theirs


def header(shape="(3, 2)", kind="<f4", fortran="False"):
    return f"{{'descr': {kind!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()


def npy(about=None, body=bytes(24), magic=b"\x93NUMPY\x01\x00"):
    about = (header() if about is None else about).ljust(117) + b"\n"
    return magic + len(about).to_bytes(2, "little") + about + body


def framed(message, *arrays):
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    return json.dumps([len(text), *map(len, arrays)]).encode() + b"\n" + text + b"".join(arrays)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_and_shape_arrives_as_it_was_sent(kind, shape):
    sent = (10 * torch.rand(shape, generator=torch.Generator().manual_seed(0))).to(kind)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Wire(ours.fileno(), ours.fileno()).send({"value": sent, "more": [None, {"deep": sent}]})
        found = Wire(theirs.fileno(), theirs.fileno()).receive(time.monotonic() + 5)
    for one in (found["value"], found["more"][1]["deep"]):
        assert (one.dtype, one.shape) == (kind, shape)
        assert torch.equal(one, sent)


def test_views_and_tensors_with_gradients_arrive_as_their_values(ends):
    wire, other = ends
    sent = torch.arange(6.0).reshape(2, 3).T.requires_grad_()
    Wire(other.fileno(), other.fileno()).send({"value": sent, "text": "ä\n漢"})
    found = wire.receive(time.monotonic() + 5)
    assert found["value"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["text"] == "ä\n漢"


def test_a_well_formed_array_of_ours_is_read(ends):
    """Else the refusals below might have another reason."""
    wire, other = ends
    other.sendall(framed({"value": {"array": 0}}, npy()))
    assert torch.equal(wire.receive(time.monotonic() + 5)["value"], torch.zeros(3, 2))


MALFORMED = {
    "no list": b"{}\n",
    "an empty list": b"[]\n",
    "a negative length": b"[-1]\n",
    "a length that is a truth": b"[true]\n",
    "a length that is a fraction": b"[1.5]\n",
    "no JSON at all": b"hello\n",
    "a first line without an end": b"[" + b"1," * 600,
    "a first line a thousand deep": b"[" * 999 + b"\n",
    "a header that is too long": json.dumps([LONGEST_HEADER + 1]).encode() + b"\n",
    "arrays that are too long": json.dumps([2, LONGEST_BODY + 1]).encode() + b"\n",
    "arrays that are too long together": json.dumps([2, *[LONGEST_BODY // 4] * 5]).encode() + b"\n",
    "a header that is a list": framed([1]),
    "a header that is no text": framed(b"\xff\xfe"),
    "a header a hundred thousand deep": framed(b"[" * 100_000 + b"]" * 100_000),
    "a number of a million digits": framed(b'{"a": ' + b"1" * 1_000_000 + b"}"),
    "an array that is not there": framed({"value": {"array": 1}}, npy()),
    "an array before the first": framed({"value": {"array": -1}}, npy()),
    "an array twice": framed({"value": [{"array": 0}, {"array": 0}]}, npy()),
    "no array": framed({"value": {"array": 0}}, b"hello"),
    "nothing where an array should be": framed({"value": {"array": 0}}, b""),
    "another version of the format": framed({"value": {"array": 0}}, npy(magic=b"\x93NUMPY\x02\x00")),
    "a version that is none": framed({"value": {"array": 0}}, npy(magic=b"\x93NUMPY\x09\x00")),
    "objects": framed({"value": {"array": 0}}, npy(header("(3,)", "|O"))),
    "text": framed({"value": {"array": 0}}, npy(header("(6,)", "<U1"))),
    "bytes": framed({"value": {"array": 0}}, npy(header("(24,)", "|S1"))),
    "complex numbers": framed({"value": {"array": 0}}, npy(header("(3,)", "<c8"))),
    "dates": framed({"value": {"array": 0}}, npy(header("(3,)", "<M8[s]"))),
    "records": framed(
        {"value": {"array": 0}}, npy(b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}")
    ),
    "wide floats": framed({"value": {"array": 0}}, npy(header("(1,)", "<f16"), bytes(16))),
    "another machine's bytes": framed({"value": {"array": 0}}, npy(header(kind=">f4"))),
    "columns first": framed({"value": {"array": 0}}, npy(header(fortran="True"))),
    "a shape longer than the bytes": framed({"value": {"array": 0}}, npy(header("(3000000000, 2)"))),
    "a shape shorter than the bytes": framed({"value": {"array": 0}}, npy(header("(2,)"))),
    "a negative shape": framed({"value": {"array": 0}}, npy(header("(-3, -2)"))),
    "a shape of truths": framed({"value": {"array": 0}}, npy(header("(True, 6.0)"))),
    "seventeen dimensions": framed({"value": {"array": 0}}, npy(header(str((1,) * 17)), bytes(4))),
    "an empty array of a great shape": framed({"value": {"array": 0}}, npy(header(f"(0, {10**30})"), b"")),
    "a program in the header": framed({"value": {"array": 0}}, npy(b"__import__('os').getcwd()")),
    "brackets in the header": framed({"value": {"array": 0}}, npy(b"(" * 110)),
    "signs in the header": framed({"value": {"array": 0}}, npy(b"-" * 9000 + b"1")),
    "a header that is cut": framed({"value": {"array": 0}}, npy()[:20]),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=list(MALFORMED))
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_a_malformed_message_is_refused(ends, data):
    wire, other = ends
    sender = threading.Thread(target=other.sendall, args=(data,))  # some are longer than what a socket holds
    sender.start()
    with pytest.raises(BrokenMessage):
        wire.receive(time.monotonic() + 5)
    sender.join()


def test_a_refused_message_has_taken_no_memory(ends):
    wire, other = ends
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    other.sendall(b"[10, 60000000000]\n")
    with pytest.raises(BrokenMessage, match="too long"):
        wire.receive(time.monotonic() + 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


@pytest.mark.parametrize("data", [b"", b"[3", b"[3]\n{", b"[2, 100]\n{}ab"])
def test_half_a_message_is_waited_for_and_no_longer(ends, data):
    wire, other = ends
    other.sendall(data)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.receive(began + 0.2)
    assert 0.15 < time.monotonic() - began < 2


@pytest.mark.parametrize("data", [b"", b"[3", b"[2, 100]\n{}ab"])
def test_the_end_of_the_other_side_is_told_from_silence(ends, data):
    wire, other = ends
    other.sendall(data)
    other.close()
    with pytest.raises(EOFError):
        wire.receive(time.monotonic() + 5)


def test_sending_to_somebody_who_does_not_listen_ends_in_time(ends):
    wire, _ = ends
    with pytest.raises(TimeoutError):
        wire.send({"value": torch.zeros(2_000_000)}, time.monotonic() + 0.3)


def test_sending_to_nobody_is_an_os_error(ends):
    wire, other = ends
    other.close()
    with pytest.raises(OSError):
        wire.send({"value": torch.zeros(2_000_000)}, time.monotonic() + 1)


def test_a_message_that_trickles_in_arrives(ends):
    wire, other = ends
    data = framed({"value": {"array": 0}}, npy())

    def trickle():
        for start in range(0, len(data), 50):
            other.sendall(data[start : start + 50])
            time.sleep(0.01)

    thread = threading.Thread(target=trickle)
    thread.start()
    assert wire.receive(time.monotonic() + 5)["value"].shape == (3, 2)
    thread.join()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\t\r\n c", "a b c"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("x\nTimeout of 5 seconds", "x Timeout of 5 seconds"),
        ("\ud800half", "half"),
        ("\u202eturned", "turned"),
        ("ä 漢 🙂", "ä 漢 🙂"),
        ("\0", ""),
    ],
)
def test_plain_text_is_one_line_without_control(text, expected):
    assert plain(text) == expected


def test_plain_text_has_an_end():
    assert len(plain("x" * 10**6, 600)) == 604


def test_descriptors_of_a_wire_do_not_block(ends):
    wire, _ = ends
    assert not os.get_blocking(wire._reading)
