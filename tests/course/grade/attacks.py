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
