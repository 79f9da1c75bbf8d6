"""Messages, mean field, the tree-reweighted bound and Gibbs, each where enumeration knows better."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gmnm_lib.chains import Chain
from gmnm_lib.errors import InputError
from gmnm_lib.graphs import enumeration, gibbs
from gmnm_lib.graphs.belief_propagation import belief_propagation
from gmnm_lib.graphs.junction_tree import JunctionTree
from gmnm_lib.graphs.mean_field import mean_field, sweeps
from gmnm_lib.graphs.models import DirectedModel, UndirectedModel, ising_grid
from gmnm_lib.graphs.tree_reweighted import appearance, tree_reweighted
from tests.graphs.random_models import tree, undirected

seeds = st.integers(0, 10**6)
many = settings(max_examples=60, deadline=None, derandomize=True)


@many
@given(seeds, st.integers(2, 9), st.sampled_from([0.0, 0.4]))
def test_messages_are_exact_on_a_tree_and_so_is_bethe(seed, variables, damping):
    model = tree(seed, variables, states=2)
    found = belief_propagation(model, damping=damping)
    assert found.converged
    for name, p in enumeration.marginals(model).items():
        torch.testing.assert_close(found.marginals[name], p, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.log_partition, enumeration.log_partition(model), rtol=0, atol=1e-7)


def test_messages_pass_through_factors_of_three_and_through_zeros():
    model = DirectedModel().add("a", 2, [0.5, 0.5]).add("b", 3, [0.2, 0.3, 0.5])
    sure = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1], [1, 1, 2]]), 3).double()  # c = a + b > 0, and so on
    model.add("c", 3, sure, ["a", "b"]).add("d", 2, [[1, 0], [0.5, 0.5], [0, 1]], ["c"])
    found = belief_propagation(model, {"d": 1})
    for name, p in enumeration.marginals(model, {"d": 1}).items():
        torch.testing.assert_close(found.marginals[name], p, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.log_partition, enumeration.log_partition(model, {"d": 1}))


def test_max_product_finds_the_mode_of_a_tree():
    for seed in range(20):
        model = tree(seed, 7)
        found = belief_propagation(model, maximise=True)
        mode = JunctionTree(model).mode()
        assert {name: int(p.argmax()) for name, p in found.marginals.items()} == {n: int(s) for n, s in mode.items()}


def test_on_a_loop_messages_converge_near_the_truth_and_say_how():
    model = ising_grid(3, 3, 0.3, 0.2)
    found = belief_propagation(model, damping=0.2)
    exact = enumeration.marginals(model)
    worst = max(float((found.marginals[name] - exact[name]).abs().max()) for name in exact)
    assert found.converged
    assert 1e-6 < worst < 0.02
    assert found.residuals[-1] <= 1e-9 < found.residuals[0]
    frustrated = ising_grid(6, 6, 4 * torch.randn(60, generator=torch.Generator().manual_seed(1)), 0.1)
    hard = belief_propagation(frustrated, iterations=50)
    assert not hard.converged
    assert hard.iterations == 50


def test_a_batch_of_evidence_is_each_case_by_itself():
    model = tree(4, 8)
    states = torch.tensor([0, 2, 1])
    batch = belief_propagation(model, {"x3": states})
    for case, state in enumerate(states.tolist()):
        alone = belief_propagation(model, {"x3": state})
        torch.testing.assert_close(batch.log_partition[case], alone.log_partition)
        torch.testing.assert_close(batch.marginals["x5"][case], alone.marginals["x5"])


@many
@given(seeds)
def test_mean_field_never_lets_the_bound_fall_and_never_passes_log_z(seed):
    model = undirected(seed, zeros=False)
    bounds = torch.stack([now.bound for now in itertools.islice(sweeps(model), 12)])
    assert bool((bounds.diff() >= -1e-9).all())
    assert float(bounds[-1]) <= float(enumeration.log_partition(model)) + 1e-9


def test_mean_field_is_exact_where_all_are_independent_and_its_bound_is_log_z_less_the_divergence():
    alone = UndirectedModel({"a": 2, "b": 3}).add(["a"], [0.3, -1.0]).add(["b"], [1.0, 2.0, 0.0])
    torch.testing.assert_close(mean_field(alone).bound, enumeration.log_partition(alone))
    model = ising_grid(2, 2, 0.5, 0.3)
    found = mean_field(model)
    p = enumeration.joint(model).normalised()
    q = torch.einsum("a,b,c,d->abcd", *found.marginals.values())
    divergence = (q * (q.log() - p.log())).sum()
    torch.testing.assert_close(found.bound, enumeration.log_partition(model) - divergence)


def test_two_starts_of_a_strongly_coupled_grid_end_in_two_modes():
    model = ising_grid(3, 3, 1.0)
    up = mean_field(model, start={"0,1": torch.tensor([0.01, 0.99])})
    down = mean_field(model, start={"0,1": torch.tensor([0.99, 0.01])})
    assert float(up.marginals["2,2"][1]) > 0.9
    assert float(down.marginals["2,2"][0]) > 0.9
    torch.testing.assert_close(up.bound, down.bound)


@many
@given(seeds)
def test_the_tree_reweighted_value_is_above_log_z(seed):
    generator = torch.Generator().manual_seed(seed)
    model = ising_grid(3, 3, torch.randn(12, generator=generator), torch.randn(3, 3, generator=generator))
    found = tree_reweighted(model)
    if found.converged:
        assert float(found.log_partition) >= float(enumeration.log_partition(model)) - 1e-7


def test_on_a_tree_every_edge_is_in_the_tree_and_the_bound_is_log_z():
    model = tree(2, 6)
    found = tree_reweighted(model)
    torch.testing.assert_close(found.rho, torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(found.log_partition, enumeration.log_partition(model), rtol=0, atol=1e-6)


def test_edges_appear_as_often_as_in_all_spanning_trees():
    """The triangle with a tail: three spanning trees, each without one side of the triangle."""
    edges = torch.tensor([[0, 1], [1, 2], [0, 2], [2, 3]])
    torch.testing.assert_close(appearance(edges, 4), torch.tensor([2 / 3, 2 / 3, 2 / 3, 1.0]).double())


@pytest.mark.parametrize("is_blocked", [False, True])
def test_gibbs_has_the_exact_distribution_in_the_end(is_blocked):
    """Seeded: 4,000 chains of 40 sweeps, each marginal and one pair within 4.5 standard errors."""
    generator = torch.Generator().manual_seed(3)
    model = ising_grid(2, 3, 0.5 * torch.randn(7, generator=generator), 0.3)
    model.add(["0,0", "0,1", "1,0"], torch.randn(2, 2, 2, generator=generator))
    rows = [["0,0", "0,1", "0,2"], ["1,0", "1,1"]]
    seen = {"1,2": "+"}
    step = gibbs.block_gibbs_step(model, rows, seen) if is_blocked else gibbs.gibbs_step(model, seen)
    torch.manual_seed(0)
    states = Chain(step, start=gibbs.start(model, 4000, seen), seed=0)[40 if not is_blocked else 12]
    assert bool((states[:, model.variables.index("1,2")] == 1).all())
    found = gibbs.frequencies(model, states)
    for name, p in enumeration.marginals(model, seen).items():
        assert bool(((found[name] - p).abs() <= 4.5 * (p * (1 - p) / 4000).sqrt()).all())
    pair = enumeration.joint(model, seen).onto(["0,0", "1,1"]).normalised()[1, 1]
    both = (states[:, model.variables.index("0,0")] * states[:, model.variables.index("1,1")]).double().mean()
    assert abs(float(both - pair)) <= 4.5 * float((pair * (1 - pair) / 4000).sqrt())


def test_a_variable_of_three_states_is_drawn_as_it_should():
    model = UndirectedModel({"a": 3, "b": 2}).add(["a", "b"], [[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])
    torch.manual_seed(0)
    state, step = gibbs.start(model, 5000), gibbs.gibbs_step(model)
    for _ in range(20):
        state = step(state)
    for name, p in enumeration.marginals(model).items():
        share = gibbs.frequencies(model, state)[name]
        assert bool(((share - p).abs() <= 4.5 * (p * (1 - p) / 5000).sqrt()).all())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: belief_propagation(ising_grid(2, 2), damping=1.0), "damping is 1"),
        (lambda: tree_reweighted(ising_grid(2, 2), damping=-0.1), "damping is -0.1"),
        (
            lambda: tree_reweighted(
                UndirectedModel({"a": 2, "b": 2, "c": 2}).add(["a", "b", "c"], torch.zeros(2, 2, 2))
            ),
            "pairwise",
        ),
        (lambda: mean_field(ising_grid(1, 2), start={"9,9": torch.ones(2)}), "no free variable '9,9'"),
        (lambda: gibbs.block_gibbs_step(ising_grid(1, 2), [["0,0"]]), "each of the 2 free variables once"),
        (lambda: gibbs.gibbs_step(ising_grid(1, 2), {"0,0": torch.tensor([0, 1])}), "is a batch"),
        (
            lambda: belief_propagation(
                DirectedModel().add("a", 2, [1, 0]).add("b", 2, [[1, 0], [0, 1]], ["a"]), {"b": 1}
            ),
            "zero",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_a_forbidden_start_is_seen():
    model = UndirectedModel({"a": 2, "b": 2}).add(["a", "b"], [[0.0, -torch.inf], [-torch.inf, 0.0]])
    assert gibbs.is_possible(model, torch.tensor([[0, 0], [0, 1], [1, 1]])).tolist() == [True, False, True]
