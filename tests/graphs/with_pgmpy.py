"""Our models in pgmpy's form, for tests and benchmarks."""

from pgmpy.factors.discrete import DiscreteFactor
from pgmpy.models import DiscreteMarkovNetwork

from gmnm_lib.graphs import UndirectedModel


def network(model: UndirectedModel) -> DiscreteMarkovNetwork:
    """The same pairwise model; pgmpy wants a factor for each variable, so each gets one of ones."""
    theirs = DiscreteMarkovNetwork()
    theirs.add_nodes_from(model.variables)
    for factor in model.factors:
        if len(factor.variables) == 2:
            theirs.add_edge(*factor.variables)
        shape = [model.cardinality(name) for name in factor.variables]
        theirs.add_factors(DiscreteFactor(factor.variables, shape, factor.log.exp().numpy()))
    for name in model.variables:
        theirs.add_factors(DiscreteFactor([name], [model.cardinality(name)], [1.0] * model.cardinality(name)))
    return theirs
