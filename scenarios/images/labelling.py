"""How neurons that learnt without labels answer: each is given the class it fires for most.

Labels of training samples are used here, and nowhere else: the assignment is a read-out that is
supervised, though nothing in it is learnt by a synapse.

Source: Diehl & Cook 2015, section 2.7.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

NO_CLASS = -1
"""Of a neuron that never fired."""


def assigned(counts: npt.NDArray[np.integer], labels: Int64s, classes: int) -> Int64s:
    """Return the class for which each neuron fired most in the mean, (N,), or `NO_CLASS`.

    Args:
        counts: (n_samples, N) spikes of each neuron while a sample was shown.
        labels: (n_samples,) of the samples.
        classes: how many there are.
    """
    sums = np.zeros((classes, counts.shape[1]), dtype=np.int64)
    for k in range(classes):
        sums[k] = counts[labels == k].sum(axis=0, dtype=np.int64)
    samples = np.bincount(labels, minlength=classes)
    mean = sums / np.maximum(samples, 1)[:, None]
    return np.where(sums.any(axis=0), mean.argmax(axis=0), NO_CLASS)


def scores(
    counts: npt.NDArray[np.integer], assignment: Int64s, classes: int
) -> npt.NDArray[np.float64]:
    """Return the mean count over the neurons of each class, (n_samples, classes).

    A class without neurons has -1: it is never the answer.
    """
    found = np.full((len(counts), classes), -1.0)
    for k in range(classes):
        of_class = assignment == k
        if of_class.any():
            found[:, k] = counts[:, of_class].sum(axis=1, dtype=np.int64) / of_class.sum()
    return found
