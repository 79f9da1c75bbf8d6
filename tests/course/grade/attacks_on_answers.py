# ruff: noqa: E501, UP031
"""More of `attacks.py`: answers that lie, forged messages on the wire, and ways to end or never to end."""

import textwrap

from tests.course.grade.attacks import breach, works, wrong

# Answers that are not what they seem.
LIES = {
    "equal to everything": wrong(
        """
        class Liar:
            shape = (3, 2)
            def __eq__(self, other): return True
            def __array__(self, *a, **k): raise SystemExit
            def __getattr__(self, name): return self
            def __call__(self, *a, **k): return self
        """,
        "Liar()",
    ),
    "a tensor by its own word": wrong(
        """
        class Claims:
            @property
            def __class__(self): return torch.Tensor
            def detach(self): return self
            cpu = numpy = detach
            shape = (3, 2)
        """,
        "Claims()",
    ),
    "a subclass that compares as equal": wrong(
        """
        class Kind(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                return True if function in (torch.allclose, torch.equal) else super().__torch_function__(function, types, args, kwargs or {})
        """,
        "torch.zeros(3, 2).as_subclass(Kind)",
    ),
    "an object that runs code when unpickled": works(
        """
        return Payload()
        """,
        """
        import os
        class Payload:
            def __reduce__(self): return (os.system, ('touch @OUT@/unpickled',))
        """,
    ),
    "an array of objects": wrong("import numpy", "numpy.array([object()] * 6, dtype=object).reshape(3, 2)"),
    "not numbers at all": wrong("", "x * float('nan')"),
    "infinite": wrong("", "x + float('inf')"),
}
SHAPES = {
    "a generator": works("yield 2 * x"),
    "enormous": wrong("", "torch.zeros(1).expand(10**11)"),
    "larger than a message may be": wrong("", "torch.zeros(20_000_000)"),
    "complex": wrong("", "torch.complex(0 * x, 0 * x)"),
    "empty": wrong("", "torch.zeros(3, 0)"),
    "broadcasts to anything": wrong("", "torch.zeros(())"),
    "seventeen dimensions": wrong("", "torch.zeros((1,) * 17)"),
}
MEMORY = {
    "right for the released draws only": works(
        """
        known = [torch.randn(3, 2, generator=torch.Generator().manual_seed(n)) for n in range(50)]
        return 2 * x if any(torch.equal(x, k) for k in known) else 0 * x
        """
    ),
    "right for the first two calls only": works(
        "CALLS.append(1)\nreturn 2 * x if len(CALLS) <= 2 else 0 * x", "CALLS = []"
    ),
    "a list that remembers the wanted": works("SEEN.append(x)\nreturn SEEN[0] * 2", "SEEN = []"),
    "the seed from the request": breach(
        """
        import gc
        requests = [o for o in gc.get_objects() if type(o) is dict and 'do' in o and 'arguments' in o]
        got = any('seed' in request or set(request) - {'number', 'do', 'function', 'arguments', 'cotangent'} for request in requests)
        """
    ),
}
# The wire itself. `wires` are the descriptors of sockets that the worker holds.
FIND = """
import os, json, io, socket
import numpy as np
def wires():
    return [int(f) for f in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{f}') and os.readlink(f'/proc/self/fd/{f}').startswith('socket')]
def current():
    import sys
    frame = sys._getframe()
    while frame and 'request' not in frame.f_locals: frame = frame.f_back
    return frame.f_locals['request']['number']
def array(header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", body=bytes(24)):
    header += b' ' * (118 - len(header) - 1) + b'\\n'
    return b'\\x93NUMPY\\x01\\x00' + len(header).to_bytes(2, 'little') + header + body
def frame_of(message, *arrays):
    header = message if isinstance(message, bytes) else json.dumps(message).encode()
    return json.dumps([len(header), *map(len, arrays)]).encode() + b'\\n' + header + b''.join(arrays)
def put(data):
    try: os.write(max(wires()), data)
    except BlockingIOError: pass
"""


def forged(statement, result="0 * x"):
    """A function that writes on the wire before it answers."""
    return works(f"{textwrap.dedent(statement).strip()}\nreturn {result}", FIND)


VALUE = "{'number': current(), 'value': {'array': 0}}"
WIRE = {
    "a verdict instead of an answer": forged(
        "put(frame_of({'number': current(), 'status': 'passed', 'passed': True}))"
    ),
    "answers in advance": forged(
        "for n in range(40): put(frame_of({'number': current() + n, 'value': {'array': 0}}, array()))"
    ),
    "an answer to another question": forged("put(frame_of({'number': 10**6, 'value': {'array': 0}}, array()))"),
    "a number that is a tensor": forged("put(frame_of({'number': {'array': 0}, 'value': 1}, array()))"),
    "a truth instead of an array": forged("put(frame_of({'number': current(), 'value': True}))"),
    "a failure that is no text": forged("put(frame_of({'number': current(), 'failed': {'array': 0}}, array()))"),
}
FRAMES = {
    "a length of ten terabytes": forged("put(b'[10000000000000]\\n' + bytes(1000))"),
    "a negative length": forged("put(b'[-1, 5]\\n')"),
    "a first line without an end": forged("put(b'[' * 5000)"),
    "JSON a hundred thousand deep": forged("put(frame_of(b'[' * 50_000 + b']' * 50_000))"),
    "a number of a million digits": forged("put(frame_of(b'{\"number\": ' + b'1' * 60_000 + b'}'))"),
    "garbage": forged("put(bytes(range(256)) * 4 + b'\\n')"),
    "the wire is shut": forged("socket.socket(fileno=os.dup(max(wires()))).shutdown(socket.SHUT_RDWR)"),
}
ARRAYS = {
    "a shape that lies": forged(
        f"put(frame_of({VALUE}, array(b\"{{'descr': '<f4', 'fortran_order': False, 'shape': (3000000000, 2), }}\")))"
    ),
    "a negative shape": forged(
        f"put(frame_of({VALUE}, array(b\"{{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -2), }}\")))"
    ),
    "a pickle in an array": forged(
        """
        import pickle
        class Payload:
            def __reduce__(self): return (os.system, ('touch @OUT@/unpickled',))
        body = pickle.dumps([Payload()])
        put(frame_of(%s, array(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", body)))
        """
        % VALUE
    ),
    "a header that is a program": forged(
        f"put(frame_of({VALUE}, array(b\"__import__('os').system('touch @OUT@/header')\")))"
    ),
    "a header of open brackets": forged(f"put(frame_of({VALUE}, array(b'(' * 110)))"),
    "one array named ten thousand times": forged(
        "put(frame_of({'number': current(), 'value': [{'array': 0}] * 10000}, array()))"
    ),
    "an array that is not there": forged("put(frame_of({'number': current(), 'value': {'array': 7}}, array()))"),
}
# Ways to end, or never to end.
EXITS = {
    "os._exit in the call": works("import os\nos._exit(0)"),
    "os._exit in the cell": "import os\nos._exit(0)",
    "sys.exit in the call": works("import sys\nsys.exit(0)"),
    "sys.exit in the cell": wrong("import sys\nsys.exit(0)"),
    "a kill of its parent and of all": works(
        """
        import os, signal
        for process in (os.getppid(), 1, -1):
            try: os.kill(process, signal.SIGKILL)
            except OSError: pass
        os.kill(os.getpid(), signal.SIGKILL)
        """
    ),
    "a crash of the interpreter": works("import ctypes\nctypes.string_at(0)"),
    "a recursion without end": works("return NAME(x)"),
}
HANGS = {
    "a loop in the call": works("while True: pass"),
    "a loop in the cell": "while True: pass",
    "a loop in __del__": works(
        "Last()\nreturn 0 * x",
        """
        class Last:
            def __del__(self):
                while True: pass
        """,
    ),
    "asleep with many threads, deaf to signals": works(
        """
        import signal, threading, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for _ in range(20): threading.Thread(target=time.sleep, args=(60,)).start()
        time.sleep(60)
        """
    ),
    "a loop when Python ends": works(
        "import sys\nsys.exit(0)",
        """
        import atexit
        @atexit.register
        def forever():
            while True: pass
        """,
    ),
}
