"""Right answers pass, each known mistake is told from the others, and the oracles agree with the library."""

import itertools
import math

import pytest
import torch

from gmnm_lib.course.checks import CheckFailed
from gmnm_lib.course.checks import diagnosis as check
from gmnm_lib.graphs import DirectedModel, UndirectedModel, enumeration
from gmnm_lib.graphs.separation import are_separated
from tests.course.checks.no_answer import ANYWHERE


def factors(cases, battery, fuel, gauge, fails):
    b, f = cases[:, 0], cases[:, 1]
    return torch.stack([torch.full((len(cases),), battery), torch.full((len(cases),), fuel), gauge[f], fails[b, f]], -1)


def log_joint(cases, *car):
    p = factors(cases, *car)
    return torch.where(cases == 1, p, 1 - p).log().sum(-1)


def parts(cases, *car):
    p = factors(cases, *car)
    return torch.where(cases == 1, p, 1 - p).log()


def joints(seen, *car):
    states = torch.tensor(list(itertools.product((0, 1), repeat=4)))
    agrees = ((seen[:, None] == states) | (seen[:, None] == -1)).all(-1)
    p = agrees * log_joint(states, *car).exp()
    return p @ states[:, :2].float(), p.sum(-1, keepdim=True)


def posterior(seen, *car):
    joint, evidence = joints(seen, *car)
    return joint / evidence


def unseen(seen, column):
    return seen.index_fill(1, torch.tensor([column]), -1)


def alone(states, unary):
    return unary[torch.arange(states.shape[1]), states].sum(-1)


def between(states, edges, pair):
    i, j = edges.T
    return pair[torch.arange(len(edges)), states[:, i], states[:, j]].sum(-1)


def log_score(states, unary, edges, pair):
    return alone(states, unary) + between(states, edges, pair)


def scores(unary, edges, pair):
    everything = torch.tensor(list(itertools.product(range(unary.shape[1]), repeat=len(unary))))
    return log_score(everything, unary, edges, pair)


def log_partition(*model):
    return scores(*model).logsumexp(0)


def model_of(arrows):
    """The library's model of these arrows, with tables that do not matter."""
    conditionals = {}
    for j in range(len(arrows)):
        parents = [str(i) for i in range(len(arrows)) if arrows[i, j]]
        conditionals[str(j)] = (2, parents, torch.full((2,) * (len(parents) + 1), 0.5))
    return DirectedModel.of(conditionals)


def separated_from(arrows, x, given):
    model, known = model_of(arrows), [str(i) for i in given.nonzero().flatten().tolist()]
    return torch.tensor([float(are_separated(model, [str(x)], [str(y)], known)) for y in range(len(arrows))])


def by_paths(collider):
    return lambda arrows, x, given: check._separated(arrows, x, given, collider=collider)


def chances(faults, strength, leak):
    return 1 - (1 - leak) * (1 - faults[:, None] * strength).prod(-1)


def noisy_or(faults, symptoms, strength, leak, *, chance=chances):
    p = chance(faults, strength, leak)
    return torch.where(symptoms == 1, p, 1 - p).log().sum(-1)


def added(faults, strength, leak):
    return (leak + faults @ strength.T).clamp(0, 1)


def with_nan(faults, symptoms, strength, leak):
    p = chances(faults, strength, leak)
    return (symptoms * p.log() + (1 - symptoms) * (1 - p).log()).sum(-1)


RIGHT = [
    (check.log_joint, log_joint),
    (check.log_joint, lambda cases, *car: log_joint(cases, *car).double().numpy()),
    (check.posterior, posterior),
    (check.log_partition, log_partition),
    (check.separated_from, separated_from),
    (check.separated_from, lambda *question: separated_from(*question) > 0),
    (check.mended_noisy_or, noisy_or),
]


@pytest.mark.parametrize(("task", "function"), RIGHT)
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_right_answer_passes_with_one_line(task, function, seed, capsys):
    task(function, seed=seed, draws=15)
    assert capsys.readouterr().out.count("\n") == 1


TASKS = list(dict.fromkeys(task for task, _ in RIGHT))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("function", "hint"), ANYWHERE)
def test_every_task_tells_what_is_no_answer_at_all(task, function, hint):
    with pytest.raises(CheckFailed, match=hint):
        task(function)


WRONG = {
    check.log_joint: [
        (lambda x, b, f, g, s: log_joint(x, b, f, g, s.T), "battery and fuel exchanged"),
        (lambda *a: log_joint(*a).exp(), "this is p itself"),
        (lambda x, *car: log_joint(1 - x, *car), "for a 0 it is one minus that"),
        (lambda *a: factors(*a).log().sum(-1), "every factor has the probability of 1"),
        (lambda *a: parts(*a)[:, :2].sum(-1), "only the two faults"),
        (lambda *a: parts(*a)[:, 2:].sum(-1), "only the two symptoms"),
        (lambda *a: log_joint(*a) / 4, "the factors are averaged"),
        (lambda *a: -log_joint(*a), "the sign is flipped"),
        (lambda *a: log_joint(*a) / math.log(2), "in bits"),
        (lambda *a: log_joint(*a).sum(), "summed over the batch"),
        (parts, "these are the factors"),
        (lambda *a: log_joint(*a)[:, None], "`keepdim`"),
        (
            lambda x, *car: (x * factors(x, *car).log() + (1 - x) * (1 - factors(x, *car)).log()).sum(-1),
            "of 0 gives -inf",
        ),
    ],
    check.posterior: [
        (lambda *a: joints(*a)[0], "divide by p\\(seen\\)"),
        (lambda *a: joints(*a)[1].expand(-1, 2), "this is p\\(seen\\)"),
        (lambda *a: posterior(*a).flip(-1), "the columns are exchanged"),
        (lambda *a: 1 - posterior(*a), "this is the probability of 0"),
        (lambda seen, b, f, *_: torch.tensor([b, f]).expand(len(seen), 2), "before anything was seen"),
        (lambda seen, *car: posterior(seen.clamp_min(0), *car), "-1 was taken for a 0"),
        (lambda *a: posterior(*a).log(), "these are logarithms"),
        (lambda seen, *car: posterior(unseen(seen, 2), *car), "the gauge is ignored"),
        (lambda seen, *car: posterior(unseen(seen, 3), *car), "whether it starts is ignored"),
        (lambda *a: posterior(*a).T, "transposed"),
        (lambda *a: posterior(*a)[:, 0], "one column for each fault"),
    ],
    check.log_partition: [
        (lambda *a: log_partition(*a).exp(), "this is Z"),
        (lambda *a: -log_partition(*a), "the sign is flipped"),
        (lambda *a: scores(*a).max(), "the largest score"),
        (lambda *a: scores(*a).sum(), "the scores are added"),
        (lambda *a: scores(*a).exp().mean().log(), "Z is their sum"),
        (lambda u, e, p: log_partition(u, e, 0 * p), "the pairs are missing"),
        (lambda *a: log_partition(*a) / math.log(2), "in bits"),
        (scores, "logsumexp them"),
        (lambda *a: scores(*a).exp().sum().log(), "leave the range"),
    ],
    check.separated_from: [
        (lambda *a: 1 - separated_from(*a), "1 means separated"),
        (lambda arrows, x, given: separated_from(arrows, x, 0 * given), "nothing is blocked"),
        (by_paths("chain"), "treated as a chain"),
        (by_paths("never"), "nothing ever passes"),
        (by_paths("itself"), "a descendant that is given"),
        (by_paths("always"), "the path is always open"),
        (lambda arrows, x, given: separated_from(arrows.T, x, given), "read backwards"),
        (lambda arrows, x, given: 1 - (arrows + arrows.T)[x], "follow whole paths"),
        (lambda *a: separated_from(*a).sum(), "one entry for every node"),
    ],
    check.mended_noisy_or: [
        (lambda *a: noisy_or(*a, chance=added), "the failures multiply"),
        (lambda *a: noisy_or(*a) / 5, "averaged over the symptoms"),
        (lambda *a: noisy_or(*a, chance=added) / 5, "the failures multiply; and averaged over"),
        (with_nan, "0 \\* log 0 is nan"),
        (lambda *a: with_nan(*a).nan_to_num(0), "0 \\* log 0 is nan"),
        (lambda *a: noisy_or(*a, chance=lambda *b: chances(*b).clamp(1e-6)), "do not clamp"),
        (lambda f, s, w, leak: noisy_or(f, s, w, 0 * leak), "the leak is gone"),
        (lambda f, *a: noisy_or(torch.ones_like(f), *a), "absent faults act too"),
        (lambda f, s, *a: noisy_or(f, 1 - s, *a), "are exchanged"),
        (lambda *a: noisy_or(*a).sum(), "one number for the whole batch"),
    ],
}


@pytest.mark.parametrize(
    ("task", "function", "hint"), [(task, *answer) for task, answers in WRONG.items() for answer in answers]
)
def test_a_known_mistake_gets_its_own_hint(task, function, hint):
    with pytest.raises(CheckFailed, match=hint) as failure:
        task(function)
    assert "\n" not in str(failure.value)


def test_the_oracle_of_the_car_agrees_with_the_librarys_enumeration():
    battery, fuel, gauge, fails = car = check._car(torch.Generator().manual_seed(4))

    def table(ones):
        return torch.stack([1 - ones, ones], -1)

    model = DirectedModel()
    model.add("b", 2, table(torch.tensor(battery))).add("f", 2, table(torch.tensor(fuel)))
    model.add("g", 2, table(gauge), ["f"]).add("s", 2, table(fails), ["b", "f"])
    found = check._posteriors(torch.tensor([[-1, -1, 1, 1]]), car)[0]
    marginals = enumeration.marginals(model, {"g": 1, "s": 1})
    expected = torch.stack([marginals["b"][1], marginals["f"][1]])
    torch.testing.assert_close(found.float(), expected.float())


def test_the_oracle_of_the_potentials_agrees_with_the_librarys_enumeration():
    unary, edges, pair = check._potentials(torch.Generator().manual_seed(4))
    model = UndirectedModel({str(i): check.STATES for i in range(check.VARIABLES)})
    for i, potential in enumerate(unary):
        model.add([str(i)], potential)
    for (i, j), potential in zip(edges.tolist(), pair, strict=True):
        model.add([str(i), str(j)], potential)
    exact = enumeration.log_partition(model)
    check.log_partition(log_partition)
    torch.testing.assert_close(log_partition(unary, edges, pair).float(), exact.float())


def test_every_path_and_the_librarys_moral_graph_say_the_same_on_random_graphs():
    by = torch.Generator().manual_seed(0)
    for _ in range(150):
        for question in (check._question(by), check._below_a_meeting(by)):
            assert check._separated(*question).tolist() == separated_from(*question).tolist()


def test_the_noisy_or_adds_up_to_one_over_all_symptoms():
    by = torch.Generator().manual_seed(2)
    symptoms = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    faults = torch.tensor([1.0, 0.0, 1.0]).expand(16, 3)
    p = check._noisy_or(faults, symptoms, torch.rand(4, 3, generator=by), torch.rand(4, generator=by)).exp()
    assert float(p.sum()) == pytest.approx(1)
