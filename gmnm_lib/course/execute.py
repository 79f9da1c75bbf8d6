"""`gmnm execute`: a lecture run from top to bottom in its still form, and kept as git keeps it."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from gmnm_lib.course.notebooks import normalise, read, write
from gmnm_lib.errors import InputError

TIMEOUT = 600  # seconds a cell: a lecture's quick profile takes sixty for all of them


class ExecutionFailed(Exception):
    """A cell of a notebook raised, hung or lost its kernel. The message is one sentence."""


def execute(path: Path, *, timeout: float = TIMEOUT, progress: bool = True) -> bool:
    """Runs the lecture with `interactive=False` and writes it in place; says whether the file changed.

    Raises InputError for a notebook without a parameters cell, ExecutionFailed for a cell that fails.
    """
    notebook = read(path)
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise InputError(f"{path.name} has no parameters cell: tag the cell that sets profile, seed and interactive")
    return write(run(notebook, {"interactive": False}, name=path.name, timeout=timeout, progress=progress), path)


def run(
    notebook: NotebookNode, parameters: dict[str, object], *, name: str, timeout: float = TIMEOUT, progress: bool = True
) -> NotebookNode:
    """The notebook as papermill leaves it, run in an empty folder so that nothing it writes stays behind."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="gmnm-execute-") as folder:
        source, target = Path(folder, "source.ipynb"), Path(folder, "executed.ipynb")
        nbformat.write(normalise(notebook, Path(name).stem), source)  # papermill asks for a kernel and a language
        try:
            return papermill.execute_notebook(
                source,
                target,
                parameters=parameters,
                kernel_name="python3",
                cwd=folder,
                progress_bar=progress,
                request_save_on_cell_execute=False,
                execution_timeout=timeout,
                extra_arguments=["--log-level=40"],  # the kernel's own advice is not the reader's business
            )
        except PapermillExecutionError as error:
            line = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
            raise ExecutionFailed(f"{name} stopped at [{error.exec_count}] with {line}") from error
        except CellTimeoutError as error:
            raise ExecutionFailed(f"A cell of {name} ran longer than {timeout:g} seconds.") from error
        except DeadKernelError as error:
            raise ExecutionFailed(f"The kernel of {name} died, perhaps for want of memory.") from error
