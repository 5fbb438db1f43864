"""Runs in the formats of others, and their recordings as runs.

Why here: what is exchanged are stored columns, which need no rule, data set or cluster. Only NIR
needs the network itself, which whoever asks has to give. One file a format; each loads its
library when it is used, because all of them are optional.
"""

from biosim.exchange.electrodes import read_electrodes
from biosim.exchange.files import check_free, whole
from biosim.exchange.neo_block import neo_block, write_neo
from biosim.exchange.nwb import read_nwb, write_nwb
from biosim.exchange.parquet import write_parquet
from biosim.exchange.recording import Imported, Recording, Units, write_recording
from biosim.exchange.sonata import read_sonata, write_sonata
from biosim.exchange.stored import unfinished

__all__ = [
    "Imported",
    "Recording",
    "Units",
    "check_free",
    "neo_block",
    "read_electrodes",
    "read_nwb",
    "read_sonata",
    "unfinished",
    "whole",
    "write_neo",
    "write_nwb",
    "write_parquet",
    "write_recording",
    "write_sonata",
]
