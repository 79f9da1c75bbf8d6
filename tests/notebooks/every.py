"""All notebooks of the course, and what is in them."""

import ast
from pathlib import Path

from gmnm_lib.course.judge import judge
from gmnm_lib.course.notebooks import course_root

ROOT = course_root(Path(__file__).parent)
LECTURES = [  # each is listed here, so that none is forgotten
    "01_graphical_and_neural_models",
    "02_models_in_both_families",
    "03_variational_bayes",
    "04_variational_autoencoder",
    "05_recurrent_latent_variables",
    "06_sentences_and_dialogue",
    "07_draw",
    "08_denoising_autoencoders_and_scores",
    "09_sampling_with_denoisers",
    "10_generative_stochastic_networks",
    "11_open_questions",
]
EXERCISES = LECTURES
FOLDERS = {"lectures": LECTURES, "solutions": EXERCISES, "exercises": EXERCISES}
EVERY = [ROOT / folder / f"{name}.ipynb" for folder, names in FOLDERS.items() for name in names]


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def calls_of(notebook, name):
    """The calls of a function of that name, as syntax trees."""
    nodes = [node for cell in code_of(notebook) for node in ast.walk(ast.parse(cell.source))]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    return [call for call in calls if name in (getattr(call.func, "id", ""), getattr(call.func, "attr", ""))]


def titled(path):
    return f"{path.parent.name}/{path.stem}"


def failures(notebook):
    """The code cells that nbval finds wanting, each with what it says."""
    outcomes = zip(code_of(notebook), judge(notebook, cell_timeout=180, timeout=420), strict=True)
    return [(cell.source.split("\n")[0], outcome) for cell, outcome in outcomes if outcome.status != "passed"]
