"""Analysis of stored columns, of runs and of real recordings: functions from xarray to xarray.

Functions on spikes take `tree["spikes/NAME"]` of `biosim.open_run`, or what `spike_columns` makes
of two arrays, and read it a part at a time. Functions on activity, weights and traces take labelled
arrays with the store's dimensions, and read them a slice at a time. Every result says its unit.

What is established and has a library is not here: for SPADE, unitary events, spike-train distances
and the like, use Elephant.

Modules say `import scipy` and no more: its parts are imported when they are first used, for every
command would wait half a second for them.
"""

from biosim.analysis.binning import group_counts, spike_counts
from biosim.analysis.connectome import dynamic_connectome, pairwise_affinity
from biosim.analysis.correlation import pairwise_correlation
from biosim.analysis.correlogram import cross_correlogram
from biosim.analysis.dimensionality import participation_ratio, principal_components
from biosim.analysis.distribution import weight_distribution
from biosim.analysis.intervals import interval_histogram, interval_statistics, intervals
from biosim.analysis.matching import match_neurons
from biosim.analysis.rates import binned_rate, kernel_rate, mean_rate
from biosim.analysis.selectivity import class_selectivity, sparseness, tuning
from biosim.analysis.similarity import (
    dissimilarity,
    linear_cka,
    procrustes_distance,
    representational_similarity,
)
from biosim.analysis.spectrum import population_spectrum
from biosim.analysis.spikes import spike_columns
from biosim.analysis.stored import population_dissimilarities, population_similarities
from biosim.analysis.synchrony import spike_synchrony, synchrony
from biosim.analysis.tiling import tiling_coefficient
from biosim.analysis.trials import psth, trial_counts
from biosim.analysis.variability import fano_factor, fano_factor_of_counts
from biosim.analysis.weights import (
    alignment,
    layer_rotation,
    layer_rotations,
    update_alignment,
    weight_histogram,
    weight_statistics,
)

__all__ = [
    "alignment",
    "binned_rate",
    "class_selectivity",
    "cross_correlogram",
    "dissimilarity",
    "dynamic_connectome",
    "fano_factor",
    "fano_factor_of_counts",
    "group_counts",
    "interval_histogram",
    "interval_statistics",
    "intervals",
    "kernel_rate",
    "layer_rotation",
    "layer_rotations",
    "linear_cka",
    "match_neurons",
    "mean_rate",
    "pairwise_affinity",
    "pairwise_correlation",
    "participation_ratio",
    "population_dissimilarities",
    "population_similarities",
    "population_spectrum",
    "principal_components",
    "procrustes_distance",
    "psth",
    "representational_similarity",
    "sparseness",
    "spike_columns",
    "spike_counts",
    "spike_synchrony",
    "synchrony",
    "tiling_coefficient",
    "trial_counts",
    "tuning",
    "update_alignment",
    "weight_distribution",
    "weight_histogram",
    "weight_statistics",
]
