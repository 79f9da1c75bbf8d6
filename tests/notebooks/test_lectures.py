"""Every lecture runs as its reader runs it."""

import pytest
from nbformat.v4 import new_code_cell

from gmnm_lib.course.notebooks import read
from tests.notebooks.every import LECTURES, ROOT, calls_of, failures

# Runs after a lecture's last cell: what a reader meets who goes back to its sliders. A draw that fails there fails here.
TO_BOTH_ENDS = """
from gmnm_lib.live.explore import open_explorers
from gmnm_lib.live.pictures import picture_of

for explorer in open_explorers:
    start = {name: slider.start for name, slider in explorer.sliders.items()}
    picture_of(explorer.draw, **start)
    for name, slider in explorer.sliders.items():
        for end in (slider.low, slider.high):
            picture_of(explorer.draw, **start | {name: slider.check(name, end)})
assert len(open_explorers) >= NUMBER, len(open_explorers)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", LECTURES)
def test_a_lecture_runs_from_top_to_bottom_and_its_sliders_to_both_ends(name):
    """By nbval, with live panels."""
    notebook = read(ROOT / "lectures" / f"{name}.ipynb")
    if explorers := len(calls_of(notebook, "explore")):
        notebook.cells.append(new_code_cell(TO_BOTH_ENDS.replace("NUMBER", str(explorers))))
    assert failures(notebook) == []
