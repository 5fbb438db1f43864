"""Events as bytes: what one rank sends another in one exchange.

A message is 64-bit words, then the payloads as they lie in memory. The words are the length of
the message in bytes, the sender's wake, the number of events, and for each event its fields, the
type and the shape of its payload. Nothing is pickled.

Payloads begin at multiples of 64 bytes, where torch puts tensors: a product of matrices that lie
elsewhere may have other bits.
"""

from __future__ import annotations

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

ALIGNED = 64
"""Bytes: where torch begins a tensor."""

Bytes = npt.NDArray[np.uint8]


def packed(events: Sequence[Event], wake: Tick) -> Bytes:
    """Return the message of these events.

    Raises:
        TypeError: a payload has more than two dimensions or a type that is not sent.
    """
    words = [0, wake, len(events)]
    payloads: list[Bytes] = []
    at = _aligned(8 * (HEAD + WORDS * len(events)))
    for event in events:
        payload = event.payload
        form = [-1, 0, 0, 0, 0]
        if payload is not None:
            if payload.dim() > 2 or payload.dtype not in _NUMBER:
                raise TypeError(f"a payload of {payload.dtype}, {tuple(payload.shape)} is not sent")
            raw = payload.detach().cpu().contiguous().numpy().reshape(-1).view(np.uint8)
            shape = [*payload.shape, 0, 0][:2]
            form = [_NUMBER[payload.dtype], payload.dim(), *shape, at]
            payloads.append(raw)
            at = _aligned(at + len(raw))
        tick, kind, source, target, projection, of, _ = event
        words += [tick, kind, source, target, projection, *of, *form]
    words[0] = at
    message = np.empty(at, dtype=np.uint8)
    message[: 8 * len(words)].view(np.int64)[:] = words
    at = _aligned(8 * len(words))
    for raw in payloads:
        message[at : at + len(raw)] = raw
        at = _aligned(at + len(raw))
    return message


def room(length: int) -> Bytes:
    """Return an array for a message that arrives: (length,) bytes, aligned."""
    return torch.empty(length, dtype=torch.uint8).numpy()


def _aligned(at: int) -> int:
    return -(-at // ALIGNED) * ALIGNED


def unpacked(message: Bytes) -> list[Event]:
    """Return the events of a message in a `room`; payloads are views of it."""
    words = message.view(np.int64)
    events = []
    for i in range(int(words[2])):
        row = words[HEAD + WORDS * i : HEAD + WORDS * (i + 1)].tolist()
        tick, kind, source, target, projection, epoch, batch, phase, mode, part = row[:10]
        number, dims, *shape, at = row[10:]
        payload = None
        if number >= 0:
            size = tuple(shape[:dims])
            count = int(np.prod(size))
            length = count * DTYPES[number].itemsize
            payload = torch.empty(size, dtype=DTYPES[number])
            if count:
                raw = torch.from_numpy(message[at : at + length])
                payload = raw.view(DTYPES[number]).reshape(size)
        of = Presentation(epoch, batch, phase, Mode(mode), part)
        events.append(Event(tick, Kind(kind), source, target, projection, of, payload))
    return events
