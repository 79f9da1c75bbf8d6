# ruff: noqa: E501
"""Honest but odd notebooks have all their points."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

SOURCES = {
    "prints to stderr and stdout": "import sys\ndef NAME(x):\n    print('hm', file=sys.stderr)\n    print('so', x)\n    return 2 * x",
    "warns": "import warnings\ndef NAME(x):\n    warnings.warn('ä→漢', DeprecationWarning)\n    return 2 * x",
    "slow but right": "import time\ndef NAME(x):\n    time.sleep(0.1)\n    return 2 * x",
    "a numpy array": "def NAME(x):\n    return x.numpy() + x.numpy()",
    "float64": "def NAME(x):\n    return 2 * x.double()",
    "a lambda": "NAME = lambda x: x + x",
    "annotated": "from __future__ import annotations\nfrom torch import Tensor\ndef NAME(x: Tensor, *more: Unheard) -> Tensor:\n    return 2 * x",
    "a method": "class Doubler:\n    def double(self, x):\n        return 2 * x\nNAME = Doubler().double",
    "a class with __call__": "class Doubler:\n    def __call__(self, x):\n        return 2 * x\nNAME = Doubler()",
    "a partial function": "from functools import partial\nNAME = partial(torch.mul, torch.tensor(2.0))",
    "a cached closure": "def scaled(by):\n    return lambda x: by * x\nNAME = scaled(2)",
    "recursive": "def NAME(x, times=20):\n    return NAME(x, times - 1) if times else 2 * x",
    "Unicode names": "def verdopple_größe(größe):\n    α = 2\n    return α * größe  # 漢字 🙂\nNAME = verdopple_größe",
    "Windows line ends": "def NAME(x):\r\n    y = x\r\n    return y + x",
    "tabs": "def NAME(x):\n\treturn 2 * x",
    "old Mac spaces at the ends": "\n\n   \ndef NAME(x):  \n\n    return 2 * x   \n\n\n",
    "a magic for plots": "%matplotlib inline\ndef NAME(x):\n    return 2 * x",
    "a timing cell": "%%time\ndef NAME(x):\n    return 2 * x",
    "an installation": "!pip install numpy\n%pip install torch\ndef NAME(x):\n    return 2 * x",
    "help with a question mark": "torch.randn?\ndef NAME(x):\n    return 2 * x",
    "a plot": "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()\ndef NAME(x):\n    return 2 * x",
    "a picture shown": "from IPython.display import Image, display\ndisplay({'a': 1})\ndef NAME(x):\n    display(x)\n    return 2 * x",
    "gradients recorded": "def NAME(x):\n    return 2 * x.clone().requires_grad_()",
    "a parameter": "W = torch.nn.Parameter(torch.tensor(2.0))\ndef NAME(x):\n    return W * x",
    "a view": "def NAME(x):\n    return (2 * x.T).T",
    "a decorator": "@torch.no_grad()\ndef NAME(x):\n    return 2 * x",
    "try and except": "def NAME(x):\n    try:\n        return x.twice()\n    except AttributeError:\n        return 2 * x",
    "global state": "FACTOR = 2\ndef NAME(x):\n    global FACTOR\n    return FACTOR * x",
    "an async cell": "import asyncio\nawait asyncio.sleep(0)\ndef NAME(x):\n    return 2 * x",
    "the last value shown": "def NAME(x):\n    return 2 * x\nNAME(torch.ones(2))",
}


@pytest.fixture(scope="module")
def verdicts(classroom, walled):
    """What becomes of each way to write the answer."""
    found = {}
    names = list(SOURCES)
    for start in range(0, len(names), len(classroom.tasks)):
        tasks = dict(zip(classroom.tasks, names[start : start + len(classroom.tasks)], strict=False))
        notebook = classroom.notebook(**{task: SOURCES[name].replace("NAME", task) for task, name in tasks.items()})
        examined = classroom.examine(notebook, seconds=20.0)
        found |= {name: examined[task] for task, name in tasks.items()}
    return found


@pytest.mark.parametrize("way", SOURCES)
def test_a_right_answer_scores_however_it_is_written(verdicts, way):
    assert verdicts[way].status == "passed", verdicts[way]


def all_odd_at_once(classroom):
    """Extra cells, noise, errors between, cells out of order, no ids, no metadata, another kernel, a name of their own."""
    notebook = classroom.notebook(double_a="def double_a(x):\n    return helper(x)", double_c="# see below\n")
    notebook.cells.insert(0, new_code_cell("import sys\nprint('hello', file=sys.stderr)\nscratch = 0"))
    notebook.cells.insert(3, new_code_cell("1 / 0"))
    notebook.cells.insert(4, new_markdown_cell("my *notes* <b>"))
    notebook.cells.append(new_code_cell("def helper(x):\n    return x + x"))
    notebook.cells.append(new_code_cell("def double_c(x):\n    return 2 * x"))
    notebook.cells.insert(5, new_code_cell("this is no Python"))
    for cell in notebook.cells:
        del cell["id"]
        cell.source = cell.source.replace("\n", "\r\n")
    notebook.nbformat_minor = 2
    notebook.metadata.kernelspec = {"name": "julia", "display_name": "Mine", "language": "julia"}
    return notebook


def test_a_notebook_that_is_odd_in_every_way_has_all_points(classroom, walled):
    verdicts = classroom.examine(all_odd_at_once(classroom), seconds=20.0)
    assert {verdict.status for verdict in verdicts.values()} == {"passed"}, verdicts


def test_the_whole_grader_gives_it_all_points_too(classroom, walled, tmp_path):
    """With a byte order mark, the exercise's id gone and a name of its own."""
    notebook = all_odd_at_once(classroom)
    del notebook.metadata["gmnm"]
    content = b"\xef\xbb\xbf" + nbformat.writes(notebook).encode()
    result = classroom.marker(tmp_path, seconds=20.0).mark(classroom.submission(content, file="Meine Lösung (2).ipynb"))
    assert (result.points, result.out_of, result.trouble) == (10, 10, "")
    assert result.exercise == classroom.stem


def test_checks_that_run_in_the_students_own_cells_do_no_harm(classroom, walled):
    """Students call the course's checks by hand, before and after their answer."""
    notebook = classroom.notebook()
    notebook.cells.insert(2, new_code_cell("verify('double_a', None)"))
    notebook.cells.append(new_code_cell("verify('double_a', double_a)\nassert False, 'not sure'"))
    assert {verdict.status for verdict in classroom.examine(notebook, seconds=20.0).values()} == {"passed"}
