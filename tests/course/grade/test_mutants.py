"""Exercise 04's real solutions, changed in hundreds of small ways: a change of value is caught, one of style is not.

Whether a mutant has changed the value is not assumed from the kind of change, but found by running it beside the original,
in double precision, on inputs that are not the checks' own.
"""

import ast
import copy
import random

import nbformat
import pytest
import torch

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import variational_autoencoder as checks
from gmnm_lib.course.grade.marking import Marker, Terms
from gmnm_lib.course.grade.records import Student, Submission
from gmnm_lib.course.notebooks import course_root, read
from gmnm_lib.course.release import exercise_from, grading, is_solution

STEM = "04_variational_autoencoder"
SOLUTION = read(course_root() / "solutions" / f"{STEM}.ipynb")
SOURCES = {grading(cell)["grade_id"]: cell.source for cell in SOLUTION.cells if is_solution(cell)}
GIVEN = "import math\nimport torch\nfrom torch.nn import functional as F\n"
SWAPPED = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.MatMult: [ast.Mult],
}
CALLS = {"sum": "mean", "mean": "sum", "exp": "exp2", "logsumexp": "logcumsumexp", "stack": "hstack", "log": "log2"}
WORDS = {"A": "B", "B": "A", "none": "mean"}


def changes_of(node):
    """Replacements for one node, meant to change the value."""
    found = []
    if isinstance(node, ast.BinOp):
        found += [ast.BinOp(node.left, other(), node.right) for other in SWAPPED[type(node.op)]]
        found.append(node.left)
        found.append(node.right)
        if isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
            found.append(ast.BinOp(node.right, node.op, node.left))
    elif isinstance(node, ast.UnaryOp):
        found.append(node.operand)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        found += [ast.Constant(node.value + 1), ast.Constant(2 * node.value), ast.Constant(-node.value)]
    elif isinstance(node, ast.Constant) and node.value in WORDS:
        found.append(ast.Constant(WORDS[node.value]))
    elif isinstance(node, ast.Attribute) and node.attr in CALLS:
        found.append(ast.Attribute(node.value, CALLS[node.attr], node.ctx))
    elif isinstance(node, ast.Compare):
        found.append(ast.Compare(node.left, [ast.NotEq()], node.comparators))
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        others = {"mean": "log_variance", "log_variance": "mean", "reconstruction": "log_q", "log_prior": "log_q"}
        if node.id in others:
            found.append(ast.Name(others[node.id], node.ctx))
    return found


def styles_of(node):
    """Replacements for one node, meant to keep the value."""
    found = []
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Add | ast.Mult) and not isinstance(node.left, ast.Constant):
            found.append(ast.BinOp(node.right, node.op, node.left))
        if isinstance(node.op, ast.Sub):
            found.append(ast.BinOp(node.left, ast.Add(), ast.UnaryOp(ast.USub(), node.right)))
        if isinstance(node.op, ast.Div):
            found.append(ast.BinOp(node.left, ast.Mult(), ast.BinOp(ast.Constant(1), ast.Div(), node.right)))
        if isinstance(node.op, ast.Pow):
            found.append(ast.BinOp(node.left, ast.Mult(), node.left))
        if isinstance(node.op, ast.Add | ast.Sub):
            found.append(ast.BinOp(node, ast.Mult(), ast.Constant(1.0)))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        found.append(ast.BinOp(ast.Constant(0), ast.Sub(), node.operand))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        method, owner = node.func.attr, node.func.value
        if method in ("exp", "sum", "mean") and not (isinstance(owner, ast.Name) and owner.id == "torch"):
            torchs = ast.Attribute(ast.Name("torch", ast.Load()), method, ast.Load())
            found.append(ast.Call(torchs, [owner, *node.args], node.keywords))
        if method in ("sum", "mean") and node.keywords:
            found.append(ast.Call(node.func, [keyword.value for keyword in node.keywords], []))
            found.append(ast.Call(node.func, [], [ast.keyword("axis", keyword.value) for keyword in node.keywords]))
    elif isinstance(node, ast.Return) and node.value is not None:
        name = ast.Name("its_result", ast.Store())
        then = ast.Return(ast.Name("its_result", ast.Load()))
        found.append(ast.If(ast.Constant(True), [ast.Assign([name], node.value, lineno=0), then], []))
    return found


def mutants(task, replacements):
    """All sources of the task in which one node has become another."""
    tree = ast.parse(SOURCES[task])
    number = sum(1 for _ in ast.walk(tree))
    for place in range(number):
        for which in range(len(replacements(list(ast.walk(tree))[place]))):
            fresh = copy.deepcopy(tree)
            target = list(ast.walk(fresh))[place]
            replacement = replacements(target)[which]
            yield ast.unparse(ast.fix_missing_locations(_Put(target, replacement).visit(fresh)))


class _Put(ast.NodeTransformer):
    def __init__(self, target, replacement):
        self.target, self.replacement = target, copy.deepcopy(replacement)

    def visit(self, node):
        return self.replacement if node is self.target else self.generic_visit(node)


class _Rename(ast.NodeTransformer):
    """Every local name, arguments too, gets a Greek letter before it."""

    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        return ast.Name("μ_" + node.id, node.ctx) if node.id in self.names else node

    def visit_arg(self, node):
        return ast.arg("μ_" + node.arg)


def rewritten(task):
    """The task's source renamed, spaced and commented."""
    tree = ast.parse(SOURCES[task])
    local = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    local |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    yield ast.unparse(ast.fix_missing_locations(_Rename(local).visit(tree)))
    yield SOURCES[task].replace("\n", "   # as in the lecture\n").replace('"""   # as in the lecture', '"""')
    yield ast.unparse(ast.parse(SOURCES[task])).replace("    ", "\t")


def function(task, source):
    """The function of that source, with the solution's other functions beside it."""
    names: dict = {}
    exec(GIVEN + "\n".join(SOURCES.values()), names)
    exec(source, names)
    return names[task]


def inputs(task, by):
    """What the checks do not use: other sizes, double precision."""

    def normal(*shape):
        return torch.randn(*shape, generator=by, dtype=torch.float64)

    x = torch.rand(4, 6, generator=by, dtype=torch.float64).round()
    mean, log_variance, epsilon = normal(4, 2), normal(4, 2), normal(3, 4, 2)
    return {
        "reparameterise": [(mean, log_variance, epsilon)],
        "analytic_kl": [(mean, log_variance)],
        "elbo": [(x, normal(3, 4, 6), mean + epsilon, mean, log_variance, estimator) for estimator in "AB"],
        "iwae_bound": [(3 * normal(5, 4),)],
        "mended_loss": [(x, normal(4, 5), epsilon[0], normal(5, 2), normal(5, 2), normal(2, 6))],
        "tightening": [(3 * normal(12, 4), [1, 2, 3, 5])],
    }[task]


def distance(task, source):
    """How far the mutant's answers are from the original's, relative to 1; infinite where it raises or has another shape."""
    original, mutant = function(task, SOURCES[task]), function(task, source)
    by, furthest = torch.Generator().manual_seed(11), 0.0
    for _ in range(5):
        for arguments in inputs(task, by):
            wanted = original(*arguments)
            try:
                found = mutant(*arguments)
            except Exception:
                return float("inf")
            if not isinstance(found, torch.Tensor) or found.shape != wanted.shape or not found.isfinite().all():
                return float("inf")
            furthest = max(furthest, ((found - wanted).abs() / (1 + wanted.abs())).max().item())
    return furthest


def drawn(replacements, number, seed):
    """(task, source) of so many mutants, none twice."""
    every = sorted({(task, source) for task in SOURCES for source in mutants(task, replacements)})
    return random.Random(seed).sample(every, min(number, len(every)))


def is_caught(task, source):
    try:
        getattr(checks, task)(function(task, source), seed=None)
    except CheckFailed:
        return True
    return False


def test_a_mutant_is_caught_if_and_only_if_it_changes_the_value():
    counted = {True: 0, False: 0}
    for task, source in drawn(changes_of, 200, seed=4):
        apart = distance(task, source)
        if 1e-9 < apart < 1e-2:
            continue  # neither plainly the same nor plainly another value
        counted[apart > 1e-2] += 1
        assert is_caught(task, source) == (apart > 1e-2), source
    assert counted[True] >= 150
    assert sum(counted.values()) >= 190


def test_a_mutant_of_style_passes():
    every = drawn(styles_of, 200, seed=5) + [(task, source) for task in SOURCES for source in rewritten(task)]
    assert len(every) >= 80
    for task, source in every:
        assert distance(task, source) < 1e-9, source
        assert not is_caught(task, source), source


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "points"), [("value", 0), ("style", 14)])
def test_the_whole_grader_sees_mutants_as_the_checks_do(walled, tmp_path, kind, points):
    """A mutant of each task in one notebook; a task that calls another is wrong with it or right with it."""
    notebook = exercise_from(nbformat.from_dict(SOLUTION), STEM)
    for cell in notebook.cells:
        if is_solution(cell):
            task = grading(cell)["grade_id"]
            far = [source for source in mutants(task, changes_of) if 0.1 < distance(task, source) < float("inf")]
            near = [source for source in mutants(task, styles_of) if distance(task, source) < 1e-9]
            cell.source = random.Random(6).choice(far if kind == "value" else near)
    content = nbformat.writes(notebook).encode()
    result = Marker(Terms(seed=1), tmp_path).mark(Submission(Student("ada", "Ada"), "a.ipynb", content))
    assert (result.points, result.out_of) == (points, 14), result
