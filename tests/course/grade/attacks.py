# ruff: noqa: E501
"""What students have tried, or might: each attack is the cell of one task, bounded in itself.

NAME stands for the function's name, @WORD@ for what a test puts there. A `breach` returns the right answer only if it got
through, so that its task has points exactly where there is a hole.
"""

import textwrap


def breach(body, before=""):
    """A function that does `body`, which sets `got`, and is right if that is true."""
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return (
        f"{textwrap.dedent(before)}\ndef NAME(x):\n{inner}\n    if not got: raise LookupError('held')\n    return 2 * x"
    )


def wrong(before, result="0 * x"):
    """A cell that does `before` and then answers wrongly."""
    return f"{textwrap.dedent(before).strip()}\ndef NAME(x):\n    return {result}"


def works(body, before=""):
    """A function whose body is given."""
    return f"{textwrap.dedent(before)}\ndef NAME(x):\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ")


# The notebook's own shell and Python's, turned against the check.
SHELL = {
    "a line transformer drops asserts": wrong(
        """
        def drop(lines):
            return [line.replace('assert', 'pass #').replace('raise', 'pass #') for line in lines]
        get_ipython().input_transformers_cleanup.append(drop)
        """
    ),
    "a tree transformer drops asserts and calls of checks": wrong(
        """
        import ast
        class Drop(ast.NodeTransformer):
            def visit_Assert(self, node):
                return ast.Pass()
            def visit_Raise(self, node):
                return ast.Pass()
            def visit_Expr(self, node):
                return ast.Pass()
        get_ipython().ast_transformers.append(Drop())
        """
    ),
    "no traceback is shown": wrong("get_ipython().showtraceback = None"),
    "exceptions have a silent handler": wrong(
        "get_ipython().set_custom_exc((BaseException,), lambda *everything: None)"
    ),
    "display hooks swallow and raise": wrong(
        """
        import sys
        sys.displayhook = lambda value: 1 / 0
        get_ipython().display_pub.publish = lambda *a, **k: 1 / 0
        """
    ),
    "sys.excepthook is silent": wrong("import sys\nsys.excepthook = lambda *everything: None"),
    "events run code around each cell": wrong(
        """
        def pass_all(*info):
            get_ipython().user_ns['verify'] = lambda *a, **k: None
        for event in ('pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell'):
            get_ipython().events.register(event, pass_all)
        """
    ),
}
PYTHON = {
    "comparison is replaced": wrong(
        """
        import torch, numpy
        torch.allclose = torch.equal = numpy.allclose = lambda *a, **k: True
        torch.Tensor.__eq__ = lambda *a: True
        """
    ),
    "the course's classes are replaced": wrong(
        """
        from gmnm_lib.course import answers
        answers.CheckFailed = ZeroDivisionError
        call = answers.Answer.__call__
        answers.Answer.__call__ = lambda self, *a: 'passed' if self.name == 'NAME' else call(self, *a)
        """
    ),
    "the wire says that all is well": wrong(
        """
        from gmnm_lib.course.grade import wire
        send = wire.Wire.send
        def well(self, message, *more):
            return send(self, message | {'status': 'passed', 'failed_checks': [], 'points': 100}, *more)
        wire.Wire.send = well
        """
    ),
    "builtins accept everything": wrong(
        """
        import builtins
        class Calm(Exception):
            def __init__(self, *words): pass
        builtins.AssertionError = Calm
        """
    ),
    "the verify of the course is replaced": wrong("verify = lambda *a, **k: None\ncompare = verify"),
    "a tracer watches every call": wrong(
        """
        import sys
        def tracer(frame, event, argument):
            frame.f_trace_lines = False
            return tracer
        sys.settrace(tracer)
        """
    ),
    "modules planted in the working folder": wrong(
        """
        for name in ('numpy.py', 'torch.py', 'conftest.py', 'sitecustomize.py', 'usercustomize.py'):
            open(name, 'w').write('import os; os._exit(0)')
        open('pytest.ini', 'w').write('[pytest]\\naddopts = --collect-only')
        """
    ),
}
# What they would like to read.
LIBRARY = {
    "the answer in the library": breach(
        """
        from gmnm_lib.objectives import importance_weighted_bound
        importance_weighted_bound(torch.zeros(3, 2))
        got = True
        """
    ),
    "the answer's source": breach(
        """
        import inspect
        from gmnm_lib import objectives
        got = 'withheld' not in inspect.getsource(objectives.importance_weighted_bound)
        """
    ),
    "the oracles of the checks": breach(
        """
        import inspect
        from gmnm_lib.course.checks import variational_autoencoder as check
        got = 'Bernoulli' in inspect.getsource(inspect.getmodule(check))
        """
    ),
    "the checks in a module's path": breach(
        """
        import gmnm_lib.course, pathlib
        folders = [pathlib.Path(folder) for folder in gmnm_lib.course.__path__]
        text = ''.join(f.read_text() for folder in folders for f in folder.rglob('*.py'))
        got = 'def compare' in text or 'mistakes' in text or 'def judge' in text
        """
    ),
    "a second library along sys.path": breach(
        """
        import sys, pathlib
        copies = [p / 'gmnm_lib' / 'objectives.py' for p in map(pathlib.Path, [*sys.path, '@REPOSITORY@'])]
        got = any(copy.is_file() and 'is withheld' not in copy.read_text() for copy in copies)
        """
    ),
    "the course imported by its path": breach(
        """
        import sys
        sys.path.insert(0, '@REPOSITORY@')
        for name in [name for name in sys.modules if name.startswith('gmnm_lib')]:
            del sys.modules[name]
        from gmnm_lib.course.release import solutions
        got = True
        """
    ),
    "compiled leftovers of the library": breach(
        """
        import pathlib, sys
        folders = ['/library', *sys.path]
        found = [p for f in folders if f for p in pathlib.Path(f).glob('gmnm_lib/**/*.pyc')]
        got = any(b'logsumexp' in path.read_bytes() for path in found)
        """
    ),
}
FILES = {
    "the solutions": breach("import os\ngot = bool(os.listdir('@COURSE@/solutions'))"),
    "the repository": breach(
        "import os\ngot = bool({'.git', 'lectures', 'gmnm_lib'} & set(os.listdir('@REPOSITORY@')))"
    ),
    "the home folder": breach(
        "import pathlib\ngot = any(p.is_file() for p in pathlib.Path('@HOME@').glob('.*')) or pathlib.Path('/etc/passwd').exists()"
    ),
    "the briefs and reports of the grader": breach(
        """
        import pathlib
        got = pathlib.Path('@PRIVATE@').exists() or any(pathlib.Path('/tmp').glob('gmnm-*'))
        """
    ),
    "hidden tests anywhere on the disk": breach(
        """
        import os
        got, looked = False, 0
        for top in ('/root', '/home', '/work', '/tmp', '/mnt', '/srv', '/library'):
            for folder, folders, files in os.walk(top):
                folders[:] = [f for f in folders if f not in ('site-packages', 'lib', 'include', 'share')]
                looked += len(files)
                if looked > 20000: break
                for name in files:
                    if name.endswith('.ipynb') and 'HIDDEN TESTS' in open(os.path.join(folder, name), errors='ignore').read(): got = True
        """
    ),
    "the environment of any process": breach(
        """
        import os, glob
        seen = b''
        for file in glob.glob('/proc/[0-9]*/environ'):
            try: seen += open(file, 'rb').read()
            except OSError: pass
        got = b'GMNM_TEST_SECRET' in seen or 'GMNM_TEST_SECRET' in os.environ
        """
    ),
    "files that are open in any process": breach(
        """
        import os, glob
        links = []
        for link in glob.glob('/proc/[0-9]*/fd/*'):
            try: links.append(os.readlink(link))
            except OSError: pass
        got = any(link.startswith('/') and not link.startswith(('/proc', '/dev', '/tmp')) for link in links)
        """
    ),
}
MEMORY_OF_OTHERS = {
    "other processes": breach(
        """
        import os
        got = any(p.isdigit() and int(p) not in (1, os.getpid()) for p in os.listdir('/proc'))
        """
    ),
    "process 1 made to serve": breach(
        """
        import re, glob
        limits = open('/proc/1/limits').read()
        unlimited = re.search(r'Max address space +unlimited', limits) is not None
        status = open('/proc/1/status').read()
        got = unlimited or 'Seccomp:\\t2' not in status or 'CapEff:\\t0000000000000000' not in status
        """
    ),
    "expected values in the calling frames": breach(
        """
        import sys, gc
        frame, names = sys._getframe(), set()
        while frame:
            names |= set(frame.f_locals) | set(frame.f_code.co_names)
            frame = frame.f_back
        held = [t for t in gc.get_objects() if type(t) is torch.Tensor and t.shape == x.shape]
        got = bool(names & {'expected', 'oracle', 'mistakes', 'verify'}) or any(torch.allclose(t.double(), 2 * x.double()) for t in held)
        """
    ),
    "expected values among the objects of the collector": breach(
        """
        import gc
        names = {getattr(o, '__qualname__', '') for o in gc.get_objects() if callable(o)}
        got = bool({'compare', 'draw_unseen_from', 'RemoteAnswer', 'Pupil', 'judge'} & names)
        """
    ),
    "more rights": breach(
        """
        import os, resource
        got = False
        try: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); got = True
        except (ValueError, OSError): pass
        for call in (lambda: os.setuid(0), lambda: os.chroot('/tmp'), lambda: os.nice(-5), lambda: os.sethostname('x') if hasattr(os, 'sethostname') else 1 / 0):
            try: call(); got = True
            except Exception: pass
        """
    ),
}
NETWORK = {
    "a listener of this machine": breach(
        "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), timeout=2).send(b'x')\ngot = True"
    ),
    "an abstract socket of this machine": breach(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect(chr(0) + '@ABSTRACT@')\ngot = True"
    ),
    "a socket's file of this machine": breach(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('@SOCKET@')\ngot = True"
    ),
    "sockets that know no network namespace": breach(
        """
        import socket
        got = False
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 40, 38):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                try: socket.socket(family, kind); got = True
                except OSError: pass
        """
    ),
    "a name looked up": breach(
        "import socket\ngot = bool(socket.getaddrinfo('localhost', 80, family=socket.AF_INET)) and bool(socket.socket(socket.AF_INET))"
    ),
}
# Ways to last, or to fill.
PROCESSES = {
    "fork bomb": breach(
        """
        import os, time
        made = 0
        for _ in range(50):
            try: child = os.fork()
            except OSError: continue
            if child == 0:
                time.sleep(5); os._exit(0)
            made += 1
        got = made > 0
        """
    ),
    "a detached process that writes later": breach(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1)
                open('@OUT@/late', 'w').write('x')
            os._exit(0)
        got = True
        """
    ),
    "nohup by a shell": breach(
        "import subprocess\nsubprocess.Popen(['nohup', 'sleep', '5'], start_new_session=True)\ngot = True"
    ),
    "posix_spawn": breach("import os\nos.posix_spawn('/bin/true', ['true'], {})\ngot = True"),
    "multiprocessing": breach(
        """
        import multiprocessing
        worker = multiprocessing.get_context('spawn').Process(target=print)
        worker.start(); worker.join(5)
        got = worker.exitcode == 0
        """
    ),
    "a thread bomb": works(
        """
        import threading, time
        for _ in range(200): threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
        return 0 * x
        """
    ),
    "a call of the shell by a magic": breach(
        "get_ipython().system('touch @OUT@/magic /tmp/magic')\nimport os\ngot = os.path.exists('/tmp/magic')"
    ),
}
FULL = {
    "files on the machine's disk": breach(
        """
        import os, sys, site
        got = False
        for folder in ('/', '/usr', '/etc', '/library', '/dev/shm', '@OUT@', '@HOME@', *site.getsitepackages(), os.path.dirname(sys.executable)):
            try: open(folder + '/gmnm_planted.py', 'w').write('x'); got = True
            except OSError: pass
        """
    ),
    "200 MB in /tmp": breach(
        """
        import os
        written = 0
        try:
            for n in range(10):
                with open(f'/tmp/full{n}', 'wb') as file:
                    for _ in range(20): written += file.write(bytes(1 << 20))
        except OSError: pass
        for n in range(10):
            if os.path.exists(f'/tmp/full{n}'): os.unlink(f'/tmp/full{n}')
        got = written > 80 << 20
        """
    ),
    "a file of 6 GB with a hole": breach(
        "import os\nwith open('/tmp/hole', 'wb') as file: file.truncate(6 << 30)\ngot = True"
    ),
    "6 GB at once": breach("got = len(bytearray(6 << 30)) > 0"),
    "6 GB step by step": breach(
        """
        import mmap
        held = []
        for _ in range(24): held.append(mmap.mmap(-1, 256 << 20))
        got = True
        """
    ),
    "memory that no limit counts": breach(
        """
        import os
        fd = os.memfd_create('x')
        os.ftruncate(fd, 32 << 20)
        os.close(fd)
        got = True
        """
    ),
    "ten million lines": works(
        """
        import os, sys
        for stream in (1, 2):
            for _ in range(5): os.write(stream, b'line\\n' * 1_000_000)
        print('line\\n' * 1_000_000)
        sys.__stdout__.write('line\\n' * 100_000)
        return 0 * x
        """
    ),
}
