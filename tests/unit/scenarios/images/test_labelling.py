"""Neurons are given the class they fire for most, and answer by it."""

import numpy as np

from scenarios.images.labelling import NO_CLASS, assigned, scores

COUNTS = np.array([[4, 0, 0, 1], [0, 2, 0, 1], [0, 2, 0, 1]], dtype=np.uint16)
LABELS = np.array([0, 2, 2])


def test_a_neuron_stands_for_the_class_of_its_greatest_mean() -> None:
    counts = np.array([[3], [2], [2]])  # 4 of class 2 in the sum, but 2 in the mean
    assert assigned(counts, LABELS, 3).tolist() == [0]


def test_a_silent_neuron_stands_for_none() -> None:
    assert assigned(COUNTS, LABELS, 3).tolist() == [0, 2, NO_CLASS, 0]


def test_scores_are_means_over_the_neurons_of_a_class() -> None:
    found = scores(COUNTS, np.array([0, 2, NO_CLASS, 0]), 3)
    assert found.tolist() == [[2.5, -1.0, 0.0], [0.5, -1.0, 2.0], [0.5, -1.0, 2.0]]
