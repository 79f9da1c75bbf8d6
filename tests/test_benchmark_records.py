"""What benchmarks write is complete, and says what was measured."""

import json

import pytest

from benchmarks import record
from benchmarks.record import RESULTS

SPEED = {"name", "kind", "ours", "peer", "peer_name", "ratio", "goal", "runs", "unit", "command", "versions"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_a_speed_is_recorded_with_the_median_ratio_of_its_pairs(results):
    line = record.speed(
        "sum",
        ours=[1.0, 2.0, 10.0],
        peer=[3.0, 8.0, 20.0],
        peer_name="numpy",
        goal=">= 2 x",
        unit="s",
        command="-",
        packages=["numpy"],
    )
    written = json.loads((results / "sum.json").read_text())
    assert set(written) >= SPEED
    assert (written["ours"], written["peer"], written["ratio"], written["runs"]) == (2.0, 8.0, 3.0, 3)
    assert set(written["versions"]) == {"python", "torch", "numpy"}
    assert "ratio 3.00" in line
    assert [path.name for path in results.iterdir()] == ["sum.json"]


def test_numbers_keep_three_digits():
    assert (record.significant(123.456), record.significant(0.00123456)) == (123.0, 0.00123)


def test_the_95th_percentile_of_a_hundred_numbers_leaves_five_above():
    numbers = list(range(100))
    assert sum(number > record.percentile(numbers, 95) for number in numbers) == 5


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_committed_result_has_every_field(path):
    result = json.loads(path.read_text())
    assert result["name"] == path.stem
    if result["kind"] == "speed":
        assert set(result) >= SPEED
        assert result["command"].startswith("python -m benchmarks.")
