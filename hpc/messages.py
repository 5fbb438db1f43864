"""Events as bytes: what one rank sends another in one exchange.

A message is 64-bit words, then the payloads as they lie in memory. The words are the length of
the message in bytes, the sender's wake, the number of events, and for each event its fields, the
type and the shape of its payload. Nothing is pickled.

Payloads begin at multiples of 64 bytes, where torch puts tensors: a product of matrices that lie
elsewhere may have other bits.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from biosim.events import Event, Kind, Mode, Presentation, Tick

HEAD = 3
"""Words before the events."""

WORDS = 15
"""Words of an event."""

DTYPES = (
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float32, torch.float64,
    torch.bool,
)  # fmt: skip
_NUMBER = {dtype: number for number, dtype in enumerate(DTYPES)}

_KIND, _MODE = tuple(Kind), tuple(Mode)
"""By their numbers; quicker than to ask the enumerations."""

NO_PAYLOAD = -1, 0, 0, 0, 0

ALIGNED = 64
"""Bytes: where torch begins a tensor."""

Bytes = npt.NDArray[np.uint8]


def packed(events: Sequence[Event], wake: Tick, place: Bytes | None = None) -> Bytes:
    """Return the message of these events.

    Args:
        events: to send.
        wake: of the sender.
        place: where the message is written if it fits.

    Raises:
        TypeError: a payload has more than two dimensions or a type that is not sent.
    """
    words = [0, wake, len(events)]
    payloads: list[tuple[int, Bytes]] = []
    at = _aligned(8 * (HEAD + WORDS * len(events)))
    for tick, kind, source, target, projection, of, payload in events:
        words += tick, kind, source, target, projection, *of
        if payload is None:
            words += NO_PAYLOAD
            continue
        if payload.dim() > 2 or payload.dtype not in _NUMBER:
            raise TypeError(f"a payload of {payload.dtype}, {tuple(payload.shape)} is not sent")
        raw = payload.detach().cpu().contiguous().numpy().reshape(-1).view(np.uint8)
        words += _NUMBER[payload.dtype], payload.dim(), *[*payload.shape, 0, 0][:2], at
        payloads.append((at, raw))
        at = _aligned(at + len(raw))
    words[0] = at
    fits = place is not None and at <= len(place)
    message: Bytes = place[:at] if fits else np.empty(at, dtype=np.uint8)  # type: ignore[index]
    struct.pack_into(f"={len(words)}q", message.data, 0, *words)
    for at, raw in payloads:
        message[at : at + len(raw)] = raw
    return message


def room(length: int) -> Bytes:
    """Return an array for a message that arrives: (length,) bytes, aligned."""
    return torch.empty(length, dtype=torch.uint8).numpy()


def _aligned(at: int) -> int:
    return -(-at // ALIGNED) * ALIGNED


def head(message: Bytes) -> tuple[int, Tick, int]:
    """Return length in bytes, wake and number of events of a message, of which it may be a part."""
    length, wake, events = struct.unpack_from("=3q", message.data)
    return length, wake, events


def unpacked(message: Bytes) -> list[Event]:
    """Return the events of a message in a `room`; payloads are views of it."""
    _, _, count = head(message)
    rows = struct.unpack_from(f"={WORDS * count}q", message.data, 8 * HEAD)
    events = []
    for i in range(0, WORDS * count, WORDS):
        tick, kind, source, target, projection, epoch, batch, phase, mode, part = rows[i : i + 10]
        number, dims, *shape, at = rows[i + 10 : i + WORDS]
        of = Presentation(epoch, batch, phase, _MODE[mode], part)
        payload = None if number < 0 else _payload(message[at:], DTYPES[number], shape[:dims])
        events.append(Event(tick, _KIND[kind], source, target, projection, of, payload))
    return events


def _payload(raw: Bytes, dtype: torch.dtype, shape: Sequence[int]) -> torch.Tensor:
    """Return what lies at the beginning of some bytes."""
    length = math.prod(shape) * dtype.itemsize
    if not length:  # there may be nothing at that place any more
        return torch.empty(shape, dtype=dtype)
    payload = torch.from_numpy(raw[:length])
    if dtype != torch.uint8:
        payload = payload.view(dtype)
    return payload if len(shape) == 1 else payload.view(shape)
