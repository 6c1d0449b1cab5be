"""Damage files: bits, bytes, pieces, and the fields of their headers, by a seed."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

import tifffile

# What a field is set to, besides random numbers: where signs and sums overflow.
_EXTREMES = (
    0, 1, 2, 255, 256, 32767, 32768, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
    1 << 32, 1 << 50, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
)  # fmt: skip

Place = Callable[[random.Random], int]


def mutate(data: bytes, rng: random.Random, place: Place | None = None) -> tuple[str, bytes]:
    """Damage a file in one of several ways.

    Args:
      data: of the file.
      rng: chooses how and where.
      place: returns a byte to damage; any by default.

    Returns:
      what was done, for a person, and the file.
    """
    at = place(rng) if place else rng.randrange(len(data))
    out = bytearray(data)
    how = rng.choice(_WAYS)
    what = how(out, at, rng)
    return f"{what} at {at}", bytes(out)


def _flip(out: bytearray, at: int, rng: random.Random) -> str:
    bits = rng.choice((1, 1, 2, 8))
    for _ in range(bits):
        place = min(len(out) - 1, at + rng.randrange(64))
        out[place] ^= 1 << rng.randrange(8)
    return f"{bits} bits flipped"


def _overwrite(out: bytearray, at: int, rng: random.Random) -> str:
    length = rng.choice((1, 4, 16, 200, 4096))
    out[at : at + length] = rng.randbytes(min(length, len(out) - at))
    return f"{length} random bytes"


def _fill(out: bytearray, at: int, rng: random.Random) -> str:
    length, value = rng.choice((4, 64, 512, 4096)), rng.choice((0, 0, 255))
    out[at : at + length] = bytes([value]) * min(length, len(out) - at)
    return f"{length} bytes of {value}"


def _field(out: bytearray, at: int, rng: random.Random) -> str:
    form = rng.choice(("<H", ">H", "<L", ">L", "<Q", ">Q"))
    size = struct.calcsize(form)
    value = rng.choice(_EXTREMES) & ((1 << 8 * size) - 1)
    out[at : at + size] = struct.pack(form, value)
    return f"a field of {value}"


def _cut(out: bytearray, at: int, rng: random.Random) -> str:
    del out[max(1, at) :]
    return "cut"


def _insert(out: bytearray, at: int, rng: random.Random) -> str:
    length = rng.choice((1, 2, 7, 512))
    out[at:at] = rng.randbytes(length)
    return f"{length} bytes put in"


def _delete(out: bytearray, at: int, rng: random.Random) -> str:
    length = rng.choice((1, 2, 7, 512))
    del out[at : at + length]
    return f"{length} bytes taken out"


def _move(out: bytearray, at: int, rng: random.Random) -> str:
    length, source = rng.choice((8, 512, 4096)), rng.randrange(len(out))
    piece = bytes(out[source : source + length])[: max(0, len(out) - at)]
    out[at : at + len(piece)] = piece
    return f"{len(piece)} bytes from {source}"


_WAYS = (_flip, _flip, _overwrite, _fill, _field, _field, _cut, _insert, _delete, _move)


def tiff_place(data: bytes) -> Place:
    """Return a choice of bytes in a TIFF: half of them in directories, the rest in tiles."""
    entries: list[int] = []
    tiles: list[tuple[int, int]] = []
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for page in tiff.pages:
            page = page.aspage()
            for tag in page.tags:
                entries += [tag.offset, tag.offset + 2, tag.offset + 4, tag.offset + 8]
                if tag.valueoffset != tag.offset + 8 and tag.code != 37724:
                    entries.append(tag.valueoffset)
            tiles += [
                (offset, length)
                for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True)
                if length
            ]

    def place(rng: random.Random) -> int:
        if not tiles or rng.random() < 0.5:
            return min(rng.choice(entries) + rng.choice((0, 0, 0, 1, 3, 4)), len(data) - 1)
        offset, length = rng.choice(tiles)
        return min(offset + rng.randrange(length), len(data) - 1)

    return place


def sign_place(data: bytes, signs: tuple[bytes, ...], within: int) -> Place:
    """Return a choice of bytes: two thirds of them just behind one of some signatures."""
    starts: list[int] = []
    for sign in signs:
        at = data.find(sign)
        while at >= 0 and len(starts) < 10_000:
            starts.append(at)
            at = data.find(sign, at + 1)

    def place(rng: random.Random) -> int:
        if not starts or rng.random() < 1 / 3:
            return rng.randrange(len(data))
        return min(rng.choice(starts) + rng.randrange(within), len(data) - 1)

    return place


def mutate_tar(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Damage a field of a tar's header, and make its checksum right again; or anything else."""
    if rng.random() < 0.4:
        return mutate(data, rng)
    headers = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(headers)
    out = bytearray(data)
    name, start, length = rng.choice(
        (("name", 0, 100), ("mode", 100, 8), ("size", 124, 12), ("size", 124, 12), ("type", 156, 1),
         ("link", 157, 100), ("magic", 257, 8), ("prefix", 345, 155))
    )  # fmt: skip
    value = rng.choice((
        rng.randbytes(length), b"7" * length, b"\x80" + b"\xff" * (length - 1), b"\xff" * length,
        b"\x80" + bytes(length - 9) + struct.pack(">Q", (1 << 63) - 1) if length == 12 else b"-1",
        bytes([rng.choice(b"0123456789LKxgSMDV\0")]) * length, b" " * length,
    ))  # fmt: skip
    out[at + start : at + start + length] = value[:length].ljust(length, b"\0")
    out[at + 148 : at + 156] = b" " * 8
    out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return f"{name} {value[:12]!r} at {at}", bytes(out)
