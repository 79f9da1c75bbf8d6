"""Early stopping and the bounds on whole sequences, with a plain RNN, whose bound is its log-likelihood."""

import pytest
import torch
from pytest import approx

from gmnm_lib.data.sequences import Sequences, pad
from gmnm_lib.models.rnn import RNN
from gmnm_lib.reproduce import find, sequence_tasks
from gmnm_lib.reproduce.run import Run
from gmnm_lib.reproduce.sequence_tasks import measure_sequences, negative_bound_of, parts_of, train_until_best
from gmnm_lib.reproduce.storn_music import TransposingSTORN, transposed
from gmnm_lib.reproduce.vrnn_ordering import MODELS, in_order


def some(seed, lengths=(3, 9, 1, 5, 5, 2)) -> Sequences:
    draw = torch.Generator().manual_seed(seed)
    return pad([(torch.rand(length, 4, generator=draw) < 0.3).float() for length in lengths])


def small_rnn() -> RNN:
    torch.manual_seed(0)
    return RNN(4, 6)


def a_run(folder) -> Run:
    return Run(find("vrnn-strokes"), "trial", 0, folder, quiet=True)


@pytest.mark.parametrize("numbers", [1, 40, 10**6])
def test_every_sequence_is_in_one_part_as_long_as_it_is(numbers):
    whole = some(1)
    parts = list(parts_of(whole, numbers))
    assert [length for part in parts for length in part.lengths.tolist()] == [1, 2, 3, 5, 5, 9]
    assert all(part.x.numel() <= numbers or len(part.x) == 1 for part in parts)
    assert sum(float(part.x[part.mask].sum()) for part in parts) == float(whole.x.sum())


def test_parts_measured_together_are_the_whole_by_both_averages(tmp_path, monkeypatch):
    model, whole = small_rnn(), some(2)
    monkeypatch.setattr(sequence_tasks, "parts_of", lambda sequences: parts_of(sequences, 40))
    with torch.no_grad():
        each = model.log_weights(whole)
    found = measure_sequences(a_run(tmp_path), "test", model, whole, k=3)
    for name in ("bound", "iwae"):
        assert found[f"{name} per_frame"] == approx(-float(each.sum() / whole.lengths.sum()), rel=1e-5)
        assert found[f"{name} per_sequence"] == approx(-float((each / whole.lengths).mean()), rel=1e-5)
    assert negative_bound_of(a_run(tmp_path), model, whole) == approx(found["bound per_frame"], rel=1e-5)


def trained(folder) -> RNN:
    return train_until_best(
        a_run(folder), "rnn", small_rnn(), some(3), some(4), epochs=60, lr=0.1, rounds=6, batch_size=3
    )


def test_the_parameters_kept_are_those_of_the_best_look_and_of_no_later_one(tmp_path):
    run, model = a_run(tmp_path), trained(tmp_path)
    looks = [run.once(f"rnn_valid_{i}", lambda progress: {})["bound"] for i in range(1, 7)]
    assert looks.index(min(looks)) < 5  # noise cannot be learned: the last look is not the best
    assert negative_bound_of(run, model, some(4)) == approx(min(looks), rel=1e-6)


def test_early_stopping_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole").state_dict()
    looks = iter(range(3))

    def interrupted(*arguments):
        if next(looks, None) is None:
            raise KeyboardInterrupt
        return negative_bound_of(*arguments)

    monkeypatch.setattr(sequence_tasks, "negative_bound_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "broken")
    monkeypatch.setattr(sequence_tasks, "negative_bound_of", negative_bound_of)
    again = trained(tmp_path / "broken").state_dict()
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_the_figure_of_an_order_is_its_smallest_step():
    found = {name: [place - 0.1, float(place), place + 0.1] for place, name in enumerate(MODELS)}
    outcome = in_order(found)
    assert (outcome.ours, outcome.others["steps of the order that hold, of 5"]) == (approx(1), 5)
    assert outcome.stderr == approx((2 * 0.1**2 / 3) ** 0.5)
    exchanged = in_order(found | {"VRNN-GMM": found["VRNN-Gauss"], "VRNN-Gauss": found["VRNN-GMM"]})
    assert (exchanged.ours, exchanged.others["steps of the order that hold, of 5"]) == (approx(-1), 4)


def test_a_transposed_roll_is_the_roll_of_notes_so_many_keys_higher():
    x = torch.zeros(3, 1, 6)
    x[:, 0, 1] = x[:, 0, 4] = 1
    moved = transposed(x, torch.tensor([1, -2, 0]))
    assert [row[0].nonzero().flatten().tolist() for row in moved] == [[2, 5], [2], [1, 4]]


def test_transpositions_are_for_learning_alone():
    model = TransposingSTORN(4, 6, 2)
    model.most, batch = 2, some(5)
    epsilon = torch.zeros(6, 9, 2)
    learning = {float(model.train().loss(batch, epsilon=epsilon).total.detach()) for _ in range(4)}
    measured = {float(model.eval().loss(batch, epsilon=epsilon).total.detach()) for _ in range(4)}
    assert len(learning) > 1 and len(measured) == 1
