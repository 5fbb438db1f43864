"""The one way in which samples are held out: stratified, and the same for every run.

Why never by the run's seed: two seeds of one rule, or two rules, must be judged on the same
samples, or the difference between them is partly a difference between test sets.

The split is scikit-learn's `train_test_split(..., stratify=y, random_state=0)`, so that other
programs can repeat it in one line.
"""

from __future__ import annotations

import numpy as np

from biosim.errors import DataError
from scenarios.data.dataset import Int64s

RANDOM_STATE = 0


def stratified_split(
    where: str, y: Int64s, fraction: float, advice: str = "add samples"
) -> tuple[Int64s, Int64s]:
    """Hold out a fraction of the samples, of each class in proportion.

    Args:
        where: what is split, for the message.
        y: (n_samples,) labels.
        fraction: of the samples to hold out, between 0 and 1; their number is rounded up.
        advice: what to do where there are too few samples.

    Returns:
        The positions (n_kept,) and (n_held_out,), both shuffled.

    Raises:
        DataError: a class has a single sample, or either side would get fewer samples than
            there are classes.
    """
    # Not at the head of the file: it takes a second, and most runs split nothing.
    from sklearn.model_selection import train_test_split

    present, counts = np.unique(y, return_counts=True)
    n_held_out = int(np.ceil(fraction * len(y)))
    if len(y) == 0 or counts.min() < 2 or len(present) > min(n_held_out, len(y) - n_held_out):
        rarest = int(counts.min(initial=len(y)))
        raise DataError(
            f"{where}: cannot hold out {n_held_out} of {len(y)} samples of {len(present)} classes "
            f"in proportion (the rarest class has {rarest}), expected two samples of every class "
            f"and on each side at least as many samples as classes: {advice}"
        )
    kept, held_out = train_test_split(
        np.arange(len(y), dtype=np.int64),
        test_size=fraction,
        stratify=y,
        random_state=RANDOM_STATE,
    )
    return kept, held_out
