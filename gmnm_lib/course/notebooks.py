"""Reading, finding and writing notebooks so that one notebook has one form in git.

A notebook on disk is normalised: what a machine, a clock or a front end left in it is gone, and every cell's id follows
from what the cell says. Two runs of the same code then give the same bytes, and a diff shows what a person changed.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically

FRAMES = "application/vnd.gmnm.frames+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGEST = 1_000_000  # bytes: what a repository's web page still shows

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KEPT_NOTEBOOK_METADATA = {"gmnm", "title"}
KEPT_CELL_METADATA = {"deletable", "editable", "jupyter", "nbgrader", "slideshow", "tags"}

MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|mnt|private|var/folders)/[\w.]|\b[A-Z]:\\\w")
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


def course_root(start: Path | None = None) -> Path:
    """The folder that holds lectures/: the one we stand in or one above it, else the one the library was installed from."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "lectures").is_dir() and (folder / "gmnm_lib").is_dir():
            return folder
    raise InputError(f"there is no course in {here}: go into the folder that holds lectures/ and try again")


def find_lecture(name: str | Path, root: Path | None = None) -> Path:
    """The notebook in lectures/ that a number, a name or a path means."""
    return _find(name, "lectures", "lecture", root)


def find_solution(name: str | Path, root: Path | None = None) -> Path:
    """The notebook in solutions/ that a number, a name or a path means."""
    return _find(name, "solutions", "solution", root)


def _find(name: str | Path, folder: str, kind: str, root: Path | None) -> Path:
    given = Path(name)
    if given.suffix == ".ipynb" and given.is_file():
        return given
    if given.parent != Path():
        raise InputError(f"{given} does not exist: check the path, or give only the {kind}'s name or number")
    there = sorted(((root or course_root()) / folder).glob("*.ipynb"))
    wanted = given.name.removesuffix(".ipynb").lower()
    number = wanted.zfill(2) if wanted.isdigit() else wanted
    found = [path for path in there if path.stem.lower() == wanted or path.stem.split("_")[0] == number]
    found = found or [path for path in there if wanted.strip("0123456789") and wanted in path.stem.lower()]
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.stem for path in found or there) or "none yet"
    trouble = "could be more than one" if found else "is not there"
    raise InputError(f"the {kind} {str(name)!r} {trouble}: choose one of {names}")


def read(path: str | Path) -> NotebookNode:
    """The notebook at `path`, in format 4. Raises InputError where there is none or it is something else."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one .ipynb file in it")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the name of the notebook") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read as a notebook ({error}): save it again from JupyterLab") from error
    return parsed(content, path)


def parsed(content: bytes, name: str | Path) -> NotebookNode:
    """The notebook that a file holds, in format 4; `name` is the file's. Raises InputError where it is something else."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} cannot be read as a notebook ({error}): save it again from JupyterLab") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files older than format 4.5 have no cell ids, which is no fault of theirs
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
    except (AttributeError, TypeError, KeyError) as error:  # JSON, but of something else
        raise InputError(f"{name} is not a notebook (it has no cells): save it from JupyterLab as .ipynb") from error
    except Exception as error:  # nbformat raises a dozen kinds for a file that is something else
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{name} is not a notebook ({reason}): save it from JupyterLab as .ipynb") from error
    return notebook


def normalise(notebook: NotebookNode, stem: str) -> NotebookNode:
    """A copy in the one form that git keeps.

    `stem` is the file's name without its suffix; with a cell's grade id, or its text where it has none, it gives the
    cell's id. Dropped: papermill's cell and stamps, front ends' marks, frames of sliders, widget views and progress bars.
    """
    cells = [_normal_cell(cell) for cell in notebook.cells if not _is_injected(cell)]
    seen: Counter[str] = Counter()
    count = 0
    for cell in cells:
        key = cell.metadata.get("nbgrader", {}).get("grade_id") or f"{cell.cell_type}\0{cell.source}"
        cell["id"] = hashlib.sha256(f"{stem}\0{key}\0{seen[key]}".encode()).hexdigest()[:12]
        seen[key] += 1
        if cell.cell_type == "code" and cell.execution_count is not None:
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    kept = {name: notebook.metadata[name] for name in sorted(KEPT_NOTEBOOK_METADATA & set(notebook.metadata))}
    metadata = {**kept, "kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _is_injected(cell: NotebookNode) -> bool:
    return bool({"injected-parameters", "papermill-error-cell-tag"} & set(cell.metadata.get("tags", [])))


def _normal_cell(cell: NotebookNode) -> NotebookNode:
    source = cell.source.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    metadata = {name: cell.metadata[name] for name in sorted(KEPT_CELL_METADATA & set(cell.metadata))}
    metadata = {name: value for name, value in metadata.items() if value not in ({}, [])}
    plain: dict = {"id": "", "cell_type": cell.cell_type, "metadata": metadata, "source": source}
    if "attachments" in cell and cell.attachments:
        plain["attachments"] = cell.attachments
    if cell.cell_type == "code":
        plain["execution_count"] = cell.execution_count
        plain["outputs"] = list(_normal_outputs(cell.outputs))
    return nbformat.from_dict(plain)


def _normal_outputs(outputs: list[NotebookNode]) -> Iterator[dict]:
    """Outputs as a second run would give them: streams in one piece, no progress bars, no widgets, no frames."""
    previous = None
    for output in outputs:
        plain = nbformat.from_dict(output)
        if plain.output_type == "stream":
            plain.text = _without_progress_bars(plain.text) if plain.name == "stderr" else plain.text
            if not plain.text:
                continue
            if previous is not None and previous.output_type == "stream" and previous.name == plain.name:
                previous.text += plain.text
                continue
        elif "data" in plain:
            if WIDGET in plain.data:
                continue
            plain.data.pop(FRAMES, None)
        if previous is not None:
            yield previous
        previous = plain
    if previous is not None:
        yield previous


def _without_progress_bars(text: str) -> str:
    """A bar redraws its line after a carriage return, and it tells the time."""
    lines = text.replace("\r\n", "\n").split("\n")
    kept = "\n".join(line for line in lines if "\r" not in line)
    return kept if kept.strip() else ""


def faults(notebook: NotebookNode, stem: str) -> list[str]:
    """What forbids this notebook a place in git, a sentence each; none for a notebook that is fit."""
    found = []
    for number, cell in enumerate(notebook.cells):
        where = f"{stem}, cell {number}"
        for output in cell.get("outputs", []):
            text = _text_of(output)
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                found.append(
                    f"{where} ends in an error ({output.ename}: {output.evalue}): mend the cell and run it again"
                )
            elif match := MACHINE_PATH.search(text):
                path = text[match.start() : match.end() + 30].split()[0]
                found.append(f"{where} shows a path of one machine ({path}): print what the reader needs instead")
            elif match := ADDRESS.search(text):
                found.append(f"{where} shows an object's address ({match.group()}): print a value instead")
    size = len(dumps(notebook).encode())
    if size > LARGEST:
        found.append(f"{stem} is {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f} MB: draw smaller or fewer pictures")
    return found


def _text_of(output: NotebookNode) -> str:
    """All that a reader could see as text; pictures are left out, their base64 may spell anything."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join([output.evalue, *output.traceback])
    return "\n".join(str(value) for mime, value in output.data.items() if not mime.startswith("image/"))


def dumps(notebook: NotebookNode) -> str:
    """The text of the file: sorted keys, one space of indent, one newline at the end."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def write(notebook: NotebookNode, path: str | Path) -> bool:
    """Writes the normalised notebook to `path`, whole or not at all; says whether the file changed.

    Raises InputError for a notebook with error outputs, a machine's path in an output, or more than a megabyte.
    """
    path = Path(path)
    notebook = normalise(notebook, path.stem)
    wrong = faults(notebook, path.stem)
    if wrong:
        raise InputError(wrong[0])
    nbformat.validate(notebook)
    return write_atomically(dumps(notebook), path)
