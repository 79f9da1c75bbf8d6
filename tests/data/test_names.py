"""The table of data sets in the README."""

import re
from pathlib import Path

from gmnm_lib.data import LOADERS, describe, names

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("\n## Data\n")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| `")]
OF_NAME = {name: row for row in ROWS for name in re.findall("`([^`]+)`", row[0])}


def test_the_readme_lists_every_data_set_and_no_other():
    assert sorted(OF_NAME) == sorted(names())


def test_the_readme_has_the_licence_of_each_card():
    assert {name: row[3] for name, row in OF_NAME.items()} == {name: LOADERS[name].CARD.licence for name in names()}


def test_the_readme_says_what_is_bundled_and_what_only_gmnm_data_has(monkeypatch, tmp_path):
    monkeypatch.setenv("GMNM_DATA", str(tmp_path))
    where = {card.name: found for card, found in describe()}
    for said, found in (("bundled", "bundled"), ("only from `GMNM_DATA`", "needs GMNM_DATA")):
        assert {name for name, row in OF_NAME.items() if said in row[2]} == {n for n in where if where[n] == found}


def test_the_readme_counts_the_sentences_and_dialogues():
    for name in ("grammar", "chitchat", "tatoeba", "ptb"):
        assert OF_NAME[name][1].split()[0] == f"{sum(LOADERS[name].CARD.sizes):,}"
