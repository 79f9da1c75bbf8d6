"""What benchmarks write is complete, and says what was measured."""

import json
import subprocess
import sys

import pytest

from benchmarks import record
from benchmarks.record import RESULTS
from benchmarks.timing import paired

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
    assert "ratio 3.00" in line and "limit" not in line and "limit" not in written
    assert [path.name for path in results.iterdir()] == ["sum.json"]


def test_where_the_least_work_was_timed_the_limit_is_the_peers_time_over_its(results):
    told = {"peer_name": "numpy", "goal": "-", "unit": "s", "command": "-"}
    line = record.speed("sum", ours=[1.0, 2.0, 10.0], peer=[3.0, 8.0, 20.0], least=[1.0, 2.0, 4.0], **told)
    assert json.loads((results / "sum.json").read_text())["limit"] == 4.0
    assert "ratio 3.00, limit 4 " in line


def test_a_dry_run_is_told_and_not_recorded(results):
    told = {"peer_name": "numpy", "goal": "-", "unit": "s", "command": "-"}
    assert "ratio 3.00" in record.speed("sum", ours=[1.0], peer=[3.0], dry=True, **told)
    assert not results.exists()


def test_contestants_take_turns_and_the_first_round_is_not_counted():
    order = []
    contestants = {name: lambda name=name: order.append(name) for name in "abc"}
    rounds = []
    taken = paired(
        contestants, 3, measure=lambda work: work() or len(order), after_round=lambda t: rounds.append(len(t["a"]))
    )
    assert order == [*"abc", *"abc", *"bca", *"cab"]
    assert taken == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}
    assert rounds == [1, 2, 3]


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


def test_what_benchmarks_share_with_the_tests_is_found_though_a_dependency_has_a_package_called_tests():
    """`python -m benchmarks.slider_latency` does not ask pytest where `tests` is."""
    import_it = [sys.executable, "-c", "import benchmarks.slider_latency, tests; print(tests.__path__[0])"]
    done = subprocess.run(import_it, cwd=RESULTS.parents[1], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == (str(RESULTS.parents[1] / "tests"), "")
