# ruff: noqa: E501
"""More of `attacks.py`: what they would like to read, of the library, the disk, other processes and the network."""

from tests.course.grade.attacks import breach

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
