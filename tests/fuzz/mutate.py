"""Damage to bytes: seeded, from one flipped bit to pieces of a file in each other's places."""

from __future__ import annotations

import random

TOKENS = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"1e309", b"1e-320", b"9223372036854775808", b"4294967296", b"../../x",
    b"/etc/passwd", b"\x00", b"\xff\xfe", b"\xed\xb3\xa9", b"\x1b[31m", b"\r\n", b"\"", b"'", b"[", b"{", b"[" * 3000,
    b"=", b",", b"\\", b"%s", b"{0}", b"true", b"null", b"\xe2\x80\xae", b"9" * 5000, b"\x7f\xff\xff\xff", b"\x80" * 12,
)  # fmt: skip
"""What parsers stumble over."""


def mutated(data: bytes, random_: random.Random) -> bytes:
    """A damaged copy: one to eight injuries."""
    made = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 4, 8))):
        random_.choice(INJURIES)(made, random_)
    return bytes(made)


def _flip(data: bytearray, r: random.Random) -> None:
    if data:
        data[r.randrange(len(data))] ^= 1 << r.randrange(8)


def _byte(data: bytearray, r: random.Random) -> None:
    if data:
        data[r.randrange(len(data))] = r.choice((0, 1, 127, 128, 255, r.randrange(256)))


def _cut(data: bytearray, r: random.Random) -> None:
    del data[r.randrange(len(data) + 1) :]


def _remove(data: bytearray, r: random.Random) -> None:
    start = r.randrange(len(data) + 1)
    del data[start : start + r.choice((1, 2, 4, 16, 64))]


def _repeat(data: bytearray, r: random.Random) -> None:
    start = r.randrange(len(data) + 1)
    data[start:start] = data[start : start + r.choice((1, 8, 64))] * r.choice((1, 2, 50))


def _swap(data: bytearray, r: random.Random) -> None:
    a, b, size = r.randrange(len(data) + 1), r.randrange(len(data) + 1), r.choice((1, 4, 16))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def _token(data: bytearray, r: random.Random) -> None:
    at = r.randrange(len(data) + 1)
    data[at : at + r.choice((0, 0, 1, 4))] = r.choice(TOKENS)


def _number(data: bytearray, r: random.Random) -> None:
    """A number written out becomes another."""
    places = [k for k, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        at = r.choice(places)
        data[at : at + 1] = r.choice(TOKENS[:9])


INJURIES = (_flip, _flip, _byte, _cut, _remove, _repeat, _swap, _token, _number)
