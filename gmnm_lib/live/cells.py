"""Which cell made a panel: running the cell again closes what it made before."""

from typing import Protocol


class Closable(Protocol):
    def close(self) -> None: ...


_made: dict[str, tuple[int, list[Closable]]] = {}  # cell id: (execution count, panels)


def adopt(panel: Closable) -> None:
    """Count `panel` to the cell that runs now, and close the panels of that cell's earlier runs."""
    cell, run = current_cell()
    if not cell:
        return
    earlier, panels = _made.get(cell, (run, []))
    if earlier != run:
        for old in panels:
            old.close()
        panels = []
    _made[cell] = run, [*panels, panel]


def current_cell() -> tuple[str, int]:
    """The running cell's id and execution count; an empty id outside a notebook, or where the front end does not tell."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return "", 0
    return shell.kernel.get_parent("shell").get("metadata", {}).get("cellId", ""), shell.execution_count
