"""Tables and sources say what they are given."""

import inspect

from gmnm_lib.figures import source, table
from gmnm_lib.models.vae import VAE


def test_a_table_aligns_numbers_on_the_right_and_rounds_floats():
    assert table(("name", "value"), [("a", 1.23456), ("b", 2)]).data == (
        "| name | value |\n| :--- | ---: |\n| a | 1.235 |\n| b | 2 |"
    )


def test_a_bar_in_a_cell_does_not_end_it():
    assert table(("p(z|x)",), [("q(z|x)",)]).data == "| p(z\\|x) |\n| :--- |\n| q(z\\|x) |"


def test_source_is_the_librarys_own_text():
    shown = source(VAE.prior, VAE.encode).data
    assert [line.strip() for line in inspect.getsource(VAE.encode).split("\n") if line.strip()] == [
        line.strip() for line in shown[shown.index("def encode") :].split("\n") if line.strip()
    ]
    assert shown.startswith("def prior(self)")
