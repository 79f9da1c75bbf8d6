"""How good is a model? Bounds with their standard errors, and exact answers where a model is small enough to have them."""

from gmnm_lib.evaluate.annealing import AnnealingPath, LogPartition, RBMPath, ais, reverse_ais
from gmnm_lib.evaluate.bounds import Estimate, estimate_elbo, estimate_iwae
from gmnm_lib.evaluate.enumeration import log_likelihood, log_partition, states
from gmnm_lib.evaluate.quadrature import Grid, kl_to_posterior, log_evidence, log_joint, posterior
from gmnm_lib.evaluate.sequences import (
    SequenceEstimate,
    estimate_by_particles,
    estimate_sequence_elbo,
    estimate_sequence_iwae,
)

__all__ = [
    "AnnealingPath",
    "Estimate",
    "Grid",
    "LogPartition",
    "RBMPath",
    "SequenceEstimate",
    "ais",
    "estimate_by_particles",
    "estimate_elbo",
    "estimate_iwae",
    "estimate_sequence_elbo",
    "estimate_sequence_iwae",
    "kl_to_posterior",
    "log_evidence",
    "log_joint",
    "log_likelihood",
    "log_partition",
    "posterior",
    "reverse_ais",
    "states",
]
