"""Recordings of an event camera: brightness that rose or fell at a pixel, with its time.

Why addresses and not coordinates: an event of a pixel and polarity is a spike of one input, and
the number of that input is the feature in which `Split.x` counts the pixel's events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Events:
    """The events of several recordings, one recording after the other.

    Attributes:
        time_us: (n_events,) since the beginning of the recording, in microseconds.
        address: (n_events,) which feature of a sample the event belongs to.
        offsets: (n_samples + 1,) recording k is time_us[offsets[k]:offsets[k + 1]].
    """

    time_us: npt.NDArray[np.int32]
    address: npt.NDArray[np.uint16]
    offsets: Int64s

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.offsets) - 1

    def of(self, sample: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
        """Return the times and addresses of a recording."""
        place = slice(self.offsets[sample], self.offsets[sample + 1])
        return self.time_us[place], self.address[place]

    def take(self, which: Int64s) -> Self:
        """Return copies of the recordings at the positions (n_taken,), in that order."""
        lengths = np.diff(self.offsets)[which]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[which] - offsets[:-1], lengths)
        return type(self)(self.time_us[places], self.address[places], offsets)

    def counts(self, features: int) -> npt.NDArray[np.float32]:
        """Return how many events each feature has in each recording, (n_samples, features)."""
        found = np.empty((len(self), features), dtype=np.float32)
        for sample in range(len(self)):
            found[sample] = np.bincount(self.of(sample)[1], minlength=features)
        return found


def joined(recordings: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]]) -> Events:
    """Return recordings, given by their times and addresses, as one."""
    lengths = [len(times) for times, _ in recordings]
    return Events(
        np.concatenate([times for times, _ in recordings]),
        np.concatenate([addresses for _, addresses in recordings]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
