"""The library as a sandbox has it: without the answers that an exercise asks for, without the checks and the solutions."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path

import gmnm_lib
from gmnm_lib.errors import InputError

SOURCE = Path(gmnm_lib.__file__).parent
OF_COURSE = ("__init__.py", "answers.py", "grade/wire.py", "grade/worker.py")
# What stands in for each check: it accepts everything. `from checks import one` must still find the module `one`.
SILENT = '''"""No check speaks here: the grader's own come later."""


def __getattr__(name):
    if name.startswith("__") or name in {modules!r}:
        raise AttributeError(name)
    return lambda *_, **__: None
'''


def library_for(names: Iterable[str], target: Path) -> Path:
    """`target`, filled with a copy of gmnm_lib in which the functions of these dotted names only say that they are withheld.

    Of the course there are only the worker's own modules, and checks that accept everything. Raises InputError for a name
    that is no function of the library.
    """
    copy = target / "gmnm_lib"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "course", "cli.py"))
    for file in OF_COURSE:
        (copy / "course" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / "course" / file, copy / "course" / file)
    (copy / "course" / "grade" / "__init__.py").touch()
    checks = sorted((SOURCE / "course" / "checks").glob("*.py"))
    (copy / "course" / "checks").mkdir()
    for check in checks:
        silent = SILENT.format(modules=[other.stem for other in checks] if check.stem == "__init__" else [])
        (copy / "course" / "checks" / check.name).write_text(silent)
    for name in names:
        module, path = _locate(name)
        source = (copy / module).read_text(encoding="utf-8")
        (copy / module).write_text(_without_body(source, path, name), encoding="utf-8")
    _copy_font_list(target)
    return target


def _locate(name: str) -> tuple[Path, list[str]]:
    """The module's file within the library, and the path of the function within the module."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = SOURCE.joinpath(*parts[1:length])
        for file in (module.with_suffix(".py"), module / "__init__.py"):
            if parts[0] == "gmnm_lib" and file.is_file():
                return file.relative_to(SOURCE), parts[length:]
    raise InputError(
        f"{name!r} cannot be withheld, as there is no such module: name a function as gmnm_lib.objectives.elbo"
    )


def _without_body(source: str, path: list[str], name: str) -> str:
    """The module's source with that function's decorators dropped and its body replaced."""
    scope: list[ast.stmt] = ast.parse(source).body
    found: ast.stmt | None = None
    for part in path:
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = next((one for one in scope if isinstance(one, kinds) and one.name == part), None)
        scope = getattr(found, "body", [])
    if not isinstance(found, ast.FunctionDef):
        raise InputError(
            f"{name!r} cannot be withheld, as it is no function of the library: mend the solution's metadata"
        )
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    lines = source.split("\n")
    message = f"{name} is withheld where this exercise is graded: write it yourself"
    indent = " " * found.col_offset
    stub = [f"{indent}def {path[-1]}(*_, **__):", f"{indent}    raise NotImplementedError({message!r})"]
    return "\n".join([*lines[: first - 1], *stub, *lines[found.end_lineno :]])


def _copy_font_list(target: Path) -> None:
    from matplotlib import get_cachedir
    from matplotlib.font_manager import FontManager, get_font_names

    get_font_names()  # makes the list where there is none yet
    cache = Path(get_cachedir(), f"fontlist-v{FontManager.__version__}.json")
    if cache.is_file():
        shutil.copyfile(cache, target / cache.name)
