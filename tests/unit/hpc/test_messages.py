"""What one rank packs another unpacks, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biosim.events import NEVER, STOP, Event, Kind, Mode, Presentation
from hpc.messages import ALIGNED, DTYPES, HEAD, WORDS, Bytes, packed, room, unpacked

OF = Presentation(2, 31, 1, Mode.PROBE, 3)
WORD = st.integers(-(1 << 63), (1 << 63) - 1)
SHAPES = st.sampled_from([(), (0,), (1,), (7,), (0, 3), (3, 0), (1, 1), (5, 9), (17, 64)])


def event(payload: torch.Tensor | None = None) -> Event:
    return Event(12, Kind.FEEDBACK, 4, 5, 6, OF, payload)


def carried(events: list[Event], wake: int = NEVER) -> list[Event]:
    """Return the events of the message of these, as another rank has them."""
    return unpacked(arrived(packed(events, wake)))


def arrived(message: Bytes) -> Bytes:
    found = room(len(message))
    found[:] = message
    return found


def filled(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Return any bits of this type: of floats also those that are no number."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    if dtype == torch.bool:
        raw &= 1
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(raw).view(dtype).reshape(shape)


def bits(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.contiguous().numpy().tobytes()


def same(one: Event, other: Event) -> bool:
    mine, theirs = one.payload, other.payload
    if one[:-1] != other[:-1] or (mine is None) != (theirs is None):
        return False
    return mine is None or theirs is None or bits(mine) == bits(theirs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (0, 3), (3, 0), (5, 9)], ids=str)
def test_every_type_and_shape_arrives_bit_for_bit(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    sent = event(filled(shape, dtype))
    (found,) = carried([sent])
    assert same(sent, found)


EVENTS = st.lists(
    st.builds(
        Event,
        *(WORD, st.sampled_from(Kind), WORD, WORD, WORD),
        st.builds(Presentation, WORD, WORD, WORD, st.sampled_from(Mode), WORD),
        st.none() | st.builds(filled, SHAPES, st.sampled_from(DTYPES), st.integers(0, 9)),
    ),
    max_size=6,
)


@given(EVENTS, WORD)
def test_every_field_of_every_event_arrives_in_order(events: list[Event], wake: int) -> None:
    message = packed(events, wake)
    assert message[:24].view(np.int64).tolist() == [len(message), wake, len(events)]
    found = unpacked(arrived(message))
    assert len(found) == len(events)
    assert all(map(same, events, found))
    assert all(type(e.kind) is Kind and type(e.presentation.mode) is Mode for e in found)


@given(EVENTS)
def test_payloads_begin_where_torch_puts_tensors(events: list[Event]) -> None:
    message = arrived(packed(events, 0))
    assert len(message) % ALIGNED == 0
    payloads = [e.payload for e in unpacked(message) if e.payload is not None]
    assert all(p.data_ptr() % ALIGNED == 0 for p in payloads)
    assert all(p.is_contiguous() for p in payloads)


def test_a_difference_in_any_field_would_be_seen() -> None:
    one = event(filled((2, 3), torch.float32))
    others: list[dict[str, Any]] = [
        *({"tick": 13}, {"kind": Kind.SPIKE}, {"source": 0}, {"target": 0}, {"projection": 0}),
        *({"presentation": OF._replace(part=0)}, {"payload": None}),
        {"payload": filled((3, 2), torch.float32)},
        {"payload": filled((2, 3), torch.int32)},
        {"payload": filled((2, 3), torch.float32, seed=1)},
    ]
    assert same(one, one)
    assert not any(same(one, one._replace(**change)) for change in others)


def test_what_is_not_contiguous_or_learns_is_sent_as_it_reads() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    for payload in (whole.T, whole[:, 1::2], whole[1:3, 2], whole.clone().requires_grad_()):
        (found,) = carried([event(payload)])
        assert found.payload is not None
        assert not found.payload.requires_grad
        assert torch.equal(found.payload, payload.detach())


@pytest.mark.parametrize("wake", [0, STOP, NEVER])
def test_nothing_to_say_is_a_message_too(wake: int) -> None:
    message = packed([], wake)
    assert len(message) == ALIGNED
    assert message[8:16].view(np.int64) == wake
    assert unpacked(arrived(message)) == []


def test_a_message_is_as_long_as_its_parts() -> None:
    words = -(-8 * (HEAD + WORDS) // ALIGNED) * ALIGNED
    assert len(packed([event()], 0)) == words
    assert len(packed([event(torch.zeros(1, dtype=torch.uint8))], 0)) == words + ALIGNED
    assert len(packed([event(torch.zeros(16))], 0)) == words + ALIGNED
    assert len(packed([event(torch.zeros(17))], 0)) == words + 2 * ALIGNED


def test_payloads_are_not_copied_on_arrival() -> None:
    message = arrived(packed([event(torch.ones(3))], 0))
    (found,) = unpacked(message)
    message[-ALIGNED:] = 0
    assert found.payload is not None
    assert found.payload.tolist() == [0, 0, 0]


def test_what_is_sent_may_change_afterwards() -> None:
    payload = torch.ones(3)
    message = packed([event(payload)], 0)
    payload.zero_()
    (found,) = unpacked(arrived(message))
    assert found.payload is not None
    assert found.payload.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (torch.zeros(2, 3, 4), r"a payload of torch.float32, \(2, 3, 4\) is not sent"),
        (torch.zeros(2, dtype=torch.float16), r"a payload of torch.float16, \(2,\) is not sent"),
        (torch.zeros(1, 2, dtype=torch.complex64), r"of torch.complex64, \(1, 2\) is not sent"),
    ],
)
def test_what_is_not_sent_is_refused(payload: torch.Tensor, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        packed([event(), event(payload)], 0)
