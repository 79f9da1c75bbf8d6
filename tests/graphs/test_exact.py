"""Elimination and the junction tree against enumeration and, as an independent library, pgmpy."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gmnm_lib.errors import InputError
from gmnm_lib.graphs import elimination, enumeration
from gmnm_lib.graphs.junction_tree import JunctionTree
from gmnm_lib.graphs.models import DirectedModel, UndirectedModel, ising_grid
from tests.graphs.random_models import directed, tree, undirected

seeds = st.integers(0, 10**6)
everything = settings(max_examples=200, deadline=None, derandomize=True)


def close(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-9)


@everything
@given(seeds, st.booleans(), st.sampled_from(["min_fill", "min_degree"]))
def test_the_junction_tree_has_the_marginals_and_log_z_of_enumeration(seed, is_directed, order):
    model = directed(seed) if is_directed else undirected(seed)
    junction = JunctionTree(model, order=order)
    close(junction.marginals(), enumeration.marginals(model))
    torch.testing.assert_close(junction.log_partition, enumeration.log_partition(model))


@everything
@given(seeds)
def test_evidence_on_some_variables_changes_the_others_as_enumeration_says(seed):
    model = directed(seed)
    pick = random.Random(seed)
    case = {name: int(state[0]) for name, state in model.sample(1, torch.Generator().manual_seed(seed)).items()}
    seen = {name: case[name] for name in pick.sample(model.variables, pick.randint(0, len(model.variables) - 1))}
    junction = JunctionTree(model, seen)
    close(junction.marginals(), enumeration.marginals(model, seen))
    torch.testing.assert_close(junction.log_partition, elimination.log_partition(model, seen))
    for name in junction.marginals():
        torch.testing.assert_close(elimination.marginal(model, [name], seen), junction.marginals()[name])


@everything
@given(seeds)
def test_the_mode_is_the_most_probable_state_of_all(seed):
    model = undirected(seed)
    found, exact = JunctionTree(model).mode(), enumeration.mode(model)
    assert model.log_score(found) == pytest.approx(float(model.log_score(exact)), abs=1e-9)


def test_a_variable_without_a_factor_is_uniform_and_counts_in_z():
    model = UndirectedModel({"a": 3, "b": 2}).add(["b"], [0.0, 0.0])
    for log_z in (
        JunctionTree(model).log_partition,
        enumeration.log_partition(model),
        elimination.log_partition(model),
    ):
        assert float(log_z) == pytest.approx(math.log(6))
    assert JunctionTree(model).marginals()["a"].tolist() == pytest.approx([1 / 3] * 3)


def test_a_batch_of_cases_is_each_case_by_itself():
    model = ising_grid(3, 3, torch.linspace(-1, 1, 12), 0.3)
    corners = {"0,0": torch.tensor([0, 1, 1]), "2,2": torch.tensor([1, 1, 0])}
    batch = JunctionTree(model, corners)
    for case in range(3):
        alone = JunctionTree(model, {name: int(states[case]) for name, states in corners.items()})
        close({name: p[case] for name, p in batch.marginals().items()}, alone.marginals())
        torch.testing.assert_close(batch.log_partition[case], alone.log_partition)
        assert {name: int(state[case]) for name, state in batch.mode().items()} == {
            name: int(state) for name, state in alone.mode().items()
        }


def test_pgmpy_finds_the_same_marginals():
    from pgmpy.inference import VariableElimination

    from tests.graphs.with_pgmpy import network

    for seed in range(5):
        model = undirected(seed, zeros=False, arity=2)
        inference = VariableElimination(network(model))
        for name, p in JunctionTree(model).marginals().items():
            values = torch.as_tensor(inference.query([name], show_progress=False).values)  # up to a constant
            torch.testing.assert_close(p, values / values.sum(), atol=1e-9, rtol=0)


def test_a_joint_query_is_a_slice_of_the_joint_table():
    model = directed(3, most=6)
    query = [model.variables[-1], model.variables[0]]
    found = elimination.marginal(model, query)
    torch.testing.assert_close(found, enumeration.joint(model).onto(query).normalised())


def test_members_of_one_clique_can_be_asked_together_and_others_cannot():
    model = tree(0, 4)
    junction = JunctionTree(model)
    pair = list(model.factors[0].variables)
    torch.testing.assert_close(junction.marginal(pair), enumeration.joint(model).onto(pair).normalised())
    chain = (
        UndirectedModel({"a": 2, "b": 2, "c": 2}).add(["a", "b"], [[1, 0], [0, 1]]).add(["b", "c"], [[1, 0], [0, 1]])
    )
    with pytest.raises(InputError, match="no clique holds a, c together"):
        JunctionTree(chain).marginal(["a", "c"])


def test_draws_from_the_tree_have_the_joint_distribution():
    """20,000 draws of a 2 x 2 grid: each of 16 frequencies within 4.5 standard errors."""
    model, n = ising_grid(2, 2, 0.6, 0.2), 20_000
    torch.manual_seed(0)
    drawn = JunctionTree(model, {}).sample()
    assert all(state.dim() == 0 for state in drawn.values())
    batch = {"0,0": torch.randint(2, (n,))}
    others = JunctionTree(model, batch).sample()
    exact = enumeration.joint(model)
    for first in range(2):
        chosen = batch["0,0"] == first
        given_first = exact.given({"0,0": first}).normalised().flatten()
        cell = others["0,1"] * 4 + others["1,0"] * 2 + others["1,1"]
        counts = torch.bincount(cell[chosen], minlength=8).double() / chosen.sum()
        errors = (given_first * (1 - given_first) / chosen.sum()).sqrt()
        assert bool(((counts - given_first).abs() < 4.5 * errors).all())


@pytest.mark.parametrize(("model", "width"), [(tree(1, 50), 1), (ising_grid(4, 9), 4), (undirected(2, arity=2), None)])
def test_the_width_is_that_of_the_graph(model, width):
    junction = JunctionTree(model)
    if width is not None:
        assert junction.width == width
    by_hand = elimination.eliminate(model.neighbours(), model.variables)
    assert by_hand.width >= junction.width


def test_potentials_of_e_to_the_300_do_not_overflow():
    model = UndirectedModel({"a": 2, "b": 2}).add(["a", "b"], [[300.0, -300.0], [-300.0, 300.0]])
    model.add(["a"], [300.0, -300.0])
    assert float(JunctionTree(model).log_partition) == pytest.approx(600.0)
    assert JunctionTree(model).marginals()["b"].tolist() == pytest.approx([1.0, 0.0])


def test_inference_that_would_not_fit_is_refused_beforehand_with_width_and_bytes():
    with pytest.raises(InputError, match=r"width \d+ here and needs .* EB, more than the 2 GB"):
        JunctionTree(ising_grid(40, 40))
    with pytest.raises(InputError, match="exact inference has width"):
        enumeration.joint(ising_grid(6, 6))
    with pytest.raises(InputError, match="exact inference has width"):
        elimination.marginal(ising_grid(5, 5), ["0,0"], largest=100)


def test_evidence_of_probability_zero_is_refused():
    model = DirectedModel().add("a", 2, [1.0, 0.0]).add("b", 2, [[0.5, 0.5], [0.0, 1.0]], ["a"])
    assert float(JunctionTree(model, {"a": 1}).log_partition) == -math.inf
    for ask in (
        lambda: JunctionTree(model, {"a": 1}).marginals(),
        lambda: JunctionTree(model, {"a": 1}).mode(),
        lambda: elimination.marginal(model, ["b"], {"a": 1}),
        lambda: enumeration.marginals(model, {"a": 1}),
    ):
        with pytest.raises(InputError, match="probability zero"):
            ask()
    with pytest.raises(InputError, match=r"case 1 of the batch"):
        JunctionTree(model, {"a": torch.tensor([0, 1])}).marginals()


def test_an_order_must_hold_each_variable_once():
    with pytest.raises(InputError, match="each of the 4 variables once"):
        JunctionTree(ising_grid(2, 2), order=["0,0", "0,1"])
    with pytest.raises(InputError, match="choose 'min_fill' or 'min_degree'"):
        JunctionTree(ising_grid(2, 2), order="random")
    with pytest.raises(InputError, match="both asked for and observed"):
        elimination.marginal(ising_grid(2, 2), ["0,0"], {"0,0": 1})
