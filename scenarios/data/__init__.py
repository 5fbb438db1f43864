"""Data sets: where they come from, how they are split, what they are checked for."""

from scenarios.data.dataset import Dataset, Split, check_dataset
from scenarios.data.digits import digits
from scenarios.data.events import Events
from scenarios.data.mnist import fashion_mnist, mnist
from scenarios.data.nmnist import nmnist
from scenarios.data.registry import DATASETS, load
from scenarios.data.user_file import encode_labels, load_inputs, user_file

__all__ = [
    "DATASETS",
    "Dataset",
    "Events",
    "Split",
    "check_dataset",
    "digits",
    "encode_labels",
    "fashion_mnist",
    "load",
    "load_inputs",
    "mnist",
    "nmnist",
    "user_file",
]
