"""Models are what was said of them, and nonsense is refused by name."""

import math

import pytest
import torch

from gmnm_lib.errors import InputError
from gmnm_lib.graphs import enumeration
from gmnm_lib.graphs.models import DirectedModel, UndirectedModel, ising_grid
from gmnm_lib.graphs.separation import are_separated
from gmnm_lib.graphs.text import from_text
from tests.graphs.random_models import directed

SPRINKLER = """
rain: no, yes
sprinkler: off, on
wet: dry, wet
p(rain) = 0.8 0.2
p(sprinkler | rain) = 0.6 0.4; 0.99 0.01
p(wet | rain, sprinkler) =      # rain moves slowest
    1.0 0.0;  0.1 0.9
    0.2 0.8;  0.01 0.99
"""


def test_a_directed_joint_is_the_product_of_its_conditionals_and_sums_to_one():
    model = from_text(SPRINKLER)
    case = {"rain": "yes", "sprinkler": "off", "wet": "wet"}
    assert float(model.log_score(case)) == pytest.approx(math.log(0.2 * 0.99 * 0.8))
    assert float(enumeration.log_partition(model)) == pytest.approx(0.0, abs=1e-12)


def test_the_sprinkler_explains_the_rain_away():
    model = from_text(SPRINKLER)
    wet = float(enumeration.marginals(model, {"wet": "wet"})["rain"][1])
    both = float(enumeration.marginals(model, {"wet": "wet", "sprinkler": "on"})["rain"][1])
    assert wet == pytest.approx(
        (0.2 * (0.99 * 0.8 + 0.01 * 0.99)) / (0.8 * 0.4 * 0.9 + 0.2 * (0.99 * 0.8 + 0.01 * 0.99))
    )
    assert both < wet


def test_potentials_by_text_are_those_by_hand():
    text = from_text("a: 0, 1\nb: 0, 1\nphi(a, b) = 2 1; 0 2\nlog phi(a) = 0.5 0")
    if not isinstance(text, UndirectedModel):
        raise AssertionError("phi makes an undirected model")
    assert float(enumeration.log_partition(text)) == pytest.approx(math.log(3 * math.exp(0.5) + 2))


def test_draws_have_the_models_marginals():
    """Seeded, 20,000 draws, within 4.5 standard errors."""
    model, n = directed(11), 20_000
    drawn = model.sample(n, torch.Generator().manual_seed(0))
    for name, p in enumeration.marginals(model).items():
        share = torch.bincount(drawn[name], minlength=len(p)) / n
        assert bool(((share - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt() + 1e-12).all())


def test_an_ising_grid_weighs_states_by_its_energy():
    model = ising_grid(2, 2, coupling=0.7, field=torch.tensor([[0.1, -0.2], [0.3, 0.0]]))
    spins = {"0,0": 1, "0,1": 0, "1,0": 1, "1,1": 1}
    energy = 0.7 * (-1 - 1 + 1 + 1) + 0.1 + 0.2 + 0.3
    assert float(model.log_score(spins)) == pytest.approx(energy)


@pytest.mark.parametrize("seed", range(30))
def test_separation_promises_independences_that_the_numbers_keep(seed):
    model = directed(seed, most=6)
    joint = enumeration.joint(model)
    names = model.variables
    for one in names:
        for other in names:
            rest = [name for name in names if name not in (one, other)][:2]
            if one != other and are_separated(model, [one], [other], rest):
                log = joint.onto([one, other, *rest]).normalised()
                given = log.sum((0, 1), keepdim=True)
                product = log.sum(1, keepdim=True) * log.sum(0, keepdim=True)
                torch.testing.assert_close(log * given, product, atol=1e-12, rtol=0)


def test_a_collider_separates_until_it_or_its_descendant_is_seen():
    model = from_text(SPRINKLER.replace("p(sprinkler | rain) = 0.6 0.4; 0.99 0.01", "p(sprinkler) = 0.6 0.4"))
    model.add("slippery", 2, [[0.9, 0.1], [0.2, 0.8]], ["wet"])
    assert are_separated(model, ["rain"], ["sprinkler"])
    assert not are_separated(model, ["rain"], ["sprinkler"], ["wet"])
    assert not are_separated(model, ["rain"], ["sprinkler"], ["slippery"])
    assert are_separated(model, ["rain"], ["slippery"], ["wet"])
    assert are_separated(ising_grid(1, 3), ["0,0"], ["0,2"], ["0,1"])


def a_cycle():
    half = [[0.5, 0.5], [0.5, 0.5]]
    DirectedModel.of({"a": (2, ["b"], half), "b": (2, ["a"], half)})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DirectedModel().add("a", 2, [0.5, 0.6]), r"p\(a\) does not sum to one \(a row sums to 1.1\)"),
        (lambda: DirectedModel().add("a", 2, [1.5, -0.5]), "negative or no number"),
        (lambda: DirectedModel().add("a", 2, [0.2, 0.3, 0.5]), r"over \(a\) has shape \(3,\): it needs \(2,\)"),
        (lambda: DirectedModel().add("a", 2, [0.5, 0.5], ["b"]), "no variable 'b'"),
        (lambda: DirectedModel().add("a", 1, [1.0]).add("a", 1, [1.0]), "'a' is there already"),
        (lambda: DirectedModel().add("a", ["x", "x"], [0.5, 0.5]), "each with its own name"),
        (a_cycle, "the arrows make a cycle"),
        (lambda: DirectedModel.of({"a": (2, ["b"], [[1, 0], [0, 1]])}), "'b', but it is a parent"),
        (lambda: UndirectedModel({"a": 2}).add(["a"], [math.nan, 0]), "NaN or"),
        (lambda: UndirectedModel({"a": 2}).add(["b"], [0, 0]), "no variable 'b'"),
        (lambda: ising_grid(0, 3), "at least one row"),
        (lambda: from_text(SPRINKLER).log_score({"rain": "yes"}), "lacks sprinkler, wet"),
        (lambda: from_text(SPRINKLER).given({"rain": "snow"}), "no state 'snow': choose one of no, yes"),
        (lambda: from_text(SPRINKLER).given({"rain": 2}), "its states are 0 to 1"),
        (lambda: from_text(SPRINKLER).given({"rain": 0.5}), "give its name, its number"),
        (lambda: from_text(SPRINKLER).given({"snow": 1}), "no variable 'snow'"),
        (lambda: from_text("a: 0, 1\np(a) = 0.5 0.5\nphi(a) = 1 1"), "either directed or undirected"),
        (lambda: from_text("a: 0, 1\np(a) = 0.5 x"), "not all numbers"),
        (lambda: from_text("a: 0, 1"), None),
        (lambda: from_text("what is this"), "line 1 is not understood"),
        (lambda: from_text("p(a) = 1"), "'a', which no line declares"),
        (lambda: from_text("a: 0, 1\nb: 0, 1\np(a) = 1 0"), "'b' has no distribution"),
        (lambda: from_text("a: 0, 1\nphi(a) = -1 1"), "negative potential"),
        (lambda: from_text("a: 0, 1\nphi(a | a) = 1 1"), "potentials condition on nothing"),
        (lambda: are_separated(ising_grid(1, 2), ["x"], ["0,0"]), "no variable 'x'"),
    ],
)
def test_nonsense_is_refused_by_name(make, said):
    if said is None:
        assert isinstance(make(), UndirectedModel)  # variables without a factor are a uniform distribution
        return
    with pytest.raises(InputError, match=said):
        make()
