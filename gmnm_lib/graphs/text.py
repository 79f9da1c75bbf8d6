"""Models from a few lines of text.

    rain: no, yes                          a variable and its states
    p(rain) = 0.8 0.2                      a distribution over them
    p(wet | rain, sprinkler) =             one row for each combination of the parents, the last one moving fastest
        1.0 0.0;  0.2 0.8
        0.1 0.9;  0.01 0.99
    phi(a, b) = 2 1; 1 2                   or potentials, as they are or as logs: log phi(a, b) = 0.7 0; 0 0.7

Blank lines and what follows a # are left out. A text has either conditionals or potentials.
"""

from __future__ import annotations

import math
import re

import torch

from gmnm_lib.errors import InputError
from gmnm_lib.graphs.models import DirectedModel, UndirectedModel

VARIABLE = re.compile(r"^\s*([\w.-]+)\s*:\s*(.+?)\s*$")
TABLE = re.compile(r"^\s*(p|phi|log phi)\s*\(([^)|]*)(?:\|([^)]*))?\)\s*=\s*(.*)$")


def from_text(text: str) -> DirectedModel | UndirectedModel:
    """The model that the text describes. InputError, with the line, where it is not understood."""
    states: dict[str, tuple[str, ...]] = {}
    tables: list[tuple[int, str, list[str], list[str], list[str]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.split("#")[0]
        if match := TABLE.match(line):
            kind, own, parents, numbers = match.groups()
            tables.append((number, kind, _names(own), _names(parents or ""), [numbers]))
        elif match := VARIABLE.match(line):
            states[match[1]] = tuple(_names(match[2]))
        elif line.strip() and tables and not re.search(r"[=:|()]", line):
            tables[-1][4].append(line)
        elif line.strip():
            raise InputError(
                f"line {number} is not understood ({line.strip()!r}): write 'name: states' or 'p(name | parents) = ...'"
            )
    kinds = {kind for _, kind, *_ in tables}
    if "p" in kinds and len(kinds) > 1:
        raise InputError("the text has both p(...) and phi(...): a model is either directed or undirected")
    return _undirected(states, tables) if "p" not in kinds else _directed(states, tables)


def _directed(states: dict, tables: list) -> DirectedModel:
    conditionals = {}
    for number, _, own, parents, lines in tables:
        if len(own) != 1:
            raise InputError(f"line {number} gives p of {len(own)} variables: one at a time, the rest behind a |")
        unknown = [name for name in (*own, *parents) if name not in states]
        if unknown:
            raise InputError(
                f"line {number} speaks of {unknown[0]!r}, which no line declares: add '{unknown[0]}: its, states'"
            )
        if own[0] in conditionals:
            raise InputError(f"line {number} gives p({own[0]}) again: keep one of them")
        conditionals[own[0]] = (states[own[0]], parents, _numbers(lines, number))
    lacking = [name for name in states if name not in conditionals]
    if lacking:
        raise InputError(f"the variable {lacking[0]!r} has no distribution: add a line p({lacking[0]}) = ...")
    return DirectedModel.of(conditionals)


def _undirected(states: dict, tables: list) -> UndirectedModel:
    model = UndirectedModel(states)
    for number, kind, own, parents, lines in tables:
        if parents:
            raise InputError(f"line {number} puts a | into a potential: potentials condition on nothing")
        values = _numbers(lines, number)
        if kind == "phi" and min(values) < 0:
            raise InputError(f"line {number} has a negative potential: give positive ones, or their logs by 'log phi'")
        logs = values if kind == "log phi" else [math.log(value) if value else -math.inf for value in values]
        model.add(own, torch.tensor(logs, dtype=torch.float64))
    return model


def _names(text: str) -> list[str]:
    return [name for name in re.split(r"[\s,]+", text.strip()) if name]


def _numbers(lines: list[str], number: int) -> list[float]:
    words = re.split(r"[\s,;]+", " ".join(lines).strip())
    try:
        return [float(word) for word in words if word]
    except ValueError as error:
        raise InputError(f"the table of line {number} is not all numbers ({error}): separate them by spaces") from None
