"""`gmnm execute`: a lecture run from top to bottom in its still form, and kept as git keeps it."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbformat import NotebookNode

from gmnm_lib.course import WorkFailed
from gmnm_lib.course.notebooks import normalise, read, write
from gmnm_lib.errors import InputError

SAME_NUMBERS = {"GMNM_MATMUL": "default"}  # whichever path is faster here, a lecture's numbers come from the same one
TIMEOUT = 600  # seconds a cell: a lecture's quick profile takes sixty for all of them


def execute(path: Path, *, timeout: float = TIMEOUT, progress: bool = True) -> bool:
    """Runs the lecture with `interactive=False` and writes it in place; says whether the file changed.

    Raises InputError for a notebook without a parameters cell, WorkFailed for a cell that fails.
    """
    notebook = read(path)
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise InputError(f"{path.name} has no parameters cell: tag the cell that sets profile, seed and interactive")
    return write(run(notebook, {"interactive": False}, name=path.name, timeout=timeout, progress=progress), path)


def run(
    notebook: NotebookNode,
    parameters: Mapping[str, object],
    *,
    name: str,
    timeout: float = TIMEOUT,
    lecture_timeout: float = math.inf,
    progress: bool | dict[str, object] = True,
    so_far: Path | None = None,
) -> NotebookNode:
    """The notebook as papermill leaves it, run in an empty folder so that nothing it writes stays behind.

    timeout: seconds a cell; lecture_timeout: for all of them. progress: True, or how tqdm's bar is to look.
    so_far: where a run that fails or is interrupted leaves the notebook up to there.
    Raises WorkFailed for a cell that fails, hangs or loses its kernel.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    clock = _Clock(timeout, lecture_timeout)
    with tempfile.TemporaryDirectory(prefix="gmnm-execute-") as folder:
        source, target = Path(folder, "source.ipynb"), Path(folder, "executed.ipynb")
        nbformat.write(normalise(notebook, Path(name).stem), source)  # papermill asks for a kernel and a language
        try:
            with patch.dict(os.environ, SAME_NUMBERS):
                return papermill.execute_notebook(
                    source,
                    target,
                    parameters=dict(parameters),
                    kernel_name="python3",
                    cwd=folder,
                    progress_bar=progress,
                    request_save_on_cell_execute=so_far is not None,
                    timeout_func=clock.left,
                    extra_arguments=["--log-level=50"],  # what the kernel logs is not the reader's business
                )
        except BaseException as error:
            if so_far is not None and target.is_file():
                shutil.copyfile(target, so_far)
            if isinstance(error, PapermillExecutionError):
                line = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
                raise WorkFailed(f"{name} stopped at [{error.exec_count - bool(parameters)}] with {line}") from error
            if isinstance(error, CellTimeoutError):
                cell = f"[{clock.cells - bool(parameters)}]"
                if clock.is_over:
                    raise WorkFailed(
                        f"{name} took longer than {lecture_timeout:g} seconds and was ended in {cell}"
                    ) from error
                raise WorkFailed(f"the cell {cell} of {name} ran longer than {timeout:g} seconds") from error
            if isinstance(error, DeadKernelError):
                raise WorkFailed(f"the kernel of {name} died, perhaps for want of memory") from error
            raise


class _Clock:
    """How long the next cell may take: its own limit, or what is left of the lecture's. It starts when it is made."""

    def __init__(self, cell: float, lecture: float):
        self.cell, self.lecture = cell, lecture
        self.began = time.monotonic()
        self.cells = 0  # begun so far, as the kernel counts them
        self._current: NotebookNode | None = None

    def left(self, cell: NotebookNode) -> float:
        if cell is not self._current:  # nbclient asks more than once
            self._current = cell
            self.cells += 1
        return max(0.001, min(self.cell, self.began + self.lecture - time.monotonic()))  # nbclient takes 0 for no limit

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.began + self.lecture
