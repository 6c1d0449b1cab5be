"""The sizes and headers of a tar are checked against the file before anything is allocated."""

import gzip
import io
import tarfile
import tracemalloc

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.archives.tars import list_tar, read_tar_member, stream_tar_gz
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.xrays.names import FILM_NAMES
from tests.shared_data import shared

LIMITS = Limits()
GOOD = b"film" * 100


def block(name, size=0, kind=b"0", magic=b"ustar\x0000", tail=b""):
    """A header by hand, as POSIX 1003.1 lays it out; a size of 8^11 and more, or below 0, is GNU's.

    `tail` is what old GNU headers have after the magic: 386 bytes into the block the sparse map.
    """
    base256 = size.to_bytes(12, "big", signed=True)
    # GNU marks a number of base 256 by its first bit; one below zero is 255 throughout.
    field = b"%011o\0" % size if 0 <= size < 8**11 else (base256 if size < 0 else
             bytes([0x80 | base256[0]]) + base256[1:])  # fmt: skip
    raw = bytearray(512)
    raw[: len(name)] = name
    raw[100:124] = b"0000644\0" + b"0000000\0" * 2
    raw[124:136] = field
    raw[136:148] = b"00000000000\0"
    raw[148:156] = b" " * 8
    raw[156:157] = kind
    raw[257:265] = magic
    raw[386 : 386 + len(tail)] = tail
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def padded(data):
    return data + bytes(-len(data) % 512)


def film(name, data=GOOD, kind=b"0"):
    return block(name, len(data), kind) + padded(data)


def extended(records, kind=b"x"):
    return block(b"pax", len(records), kind) + padded(records)


def record(key, value):
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


END = bytes(1024)
LONG = b"folder/" * 42 + b"1234.jpg"


def outcome(data):
    """Names of the members that can be read, and kinds of problems: of members, of the archive."""
    file = io.BytesIO(data)
    entries, broken = list_tar(file)
    names = []
    problems = []
    for entry in entries:
        if entry.refused:
            problems.append((entry.member.name, entry.refused.kind))
        else:
            names.append(entry.member.name)
            assert read_tar_member(file, entry.member, LIMITS) == GOOD
    return names, problems, broken and broken.kind


def streamed(data):
    names, problems, kind = [], [], None
    try:
        for entry, read in stream_tar_gz(io.BytesIO(gzip.compress(data)), LIMITS):
            if entry.refused:
                problems.append((entry.member.name, entry.refused.kind))
                continue
            try:
                assert read() == GOOD
                names.append(entry.member.name)
            except InputError as error:
                kind = error.kind
                if kind != "member_too_big":
                    raise
                problems.append((entry.member.name, kind))
    except InputError as error:
        kind = error.kind
    return names, problems, kind


BAD = b"bad.jpg"
TABLE = [
    # CVE-2025-8194: a negative size sends tarfile back to where it has been.
    ("a size of -512", block(BAD, -512), [], "corrupt_archive", False),
    ("a size of -1", block(BAD, -1), [], "corrupt_archive", False),
    ("a negative size of a folder", block(b"bad/", -512, b"5"), [], "corrupt_archive", False),
    ("a negative size of a link", block(BAD, -1024, b"2"), [], "corrupt_archive", False),
    ("a negative size of a pax header", block(b"p", -512, b"x"), [], "corrupt_archive", False),
    ("a negative size of a long name", block(b"p", -512, b"L"), [], "corrupt_archive", False),
    ("a pax header of 2^40 bytes", block(b"p", 1 << 40, b"x"), [], "corrupt_archive", False),
    ("a long name of 2^33 bytes", block(b"p", 1 << 33, b"L"), [], "corrupt_archive", False),
    ("a long link of 2^63 - 1 bytes", block(b"p", (1 << 63) - 1, b"K"), [], "corrupt_archive",
     False),
    ("a size for all members", extended(record(b"size", b"1"), b"g"), [], "corrupt_archive", False),
    ("a length of 20 digits", extended(b"99999999999999999999 path=x\n") + film(BAD),
     [("bad.jpg", "corrupt_member")], None, True),
    ("a length of 0", extended(b"0 path=x\n") + film(BAD), [("bad.jpg", "corrupt_member")], None,
     True),
    ("a length beyond the header", extended(b"99 path=x\n") + film(BAD),
     [("bad.jpg", "corrupt_member")], None, True),
    ("no record at all", extended(b"path=x") + film(BAD), [("bad.jpg", "corrupt_member")], None,
     True),
    ("a pax size that is no number", extended(record(b"size", b"1e3")) + film(BAD),
     [("bad.jpg", "corrupt_member")], None, True),
    ("a pax size below 0", extended(record(b"size", b"-512")) + film(BAD),
     [("bad.jpg", "corrupt_member")], None, True),
    ("a pax size of 40 digits", extended(record(b"size", b"9" * 40)) + film(BAD),
     [("bad.jpg", "corrupt_member")], None, True),
    ("a sparse map of the old kind, which goes on",
     block(BAD, 400, b"S", b"ustar  \0", b"00000000000\0" * 8 + b"\1") + bytes(504) + b"\1" +
     bytes(7) + bytes(512) + padded(GOOD), [("bad.jpg", "unsupported_member")], None, True),
    ("a sparse map in a pax header", extended(record(b"GNU.sparse.map", b"0,x")) + film(BAD),
     [("bad.jpg", "unsupported_member")], None, True),
    ("sparse 1.0 that claims 10^9 holes",
     extended(record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")) +
     film(BAD, b"1000000000\n"), [("bad.jpg", "unsupported_member")], None, True),
    ("a member that begins in another volume", film(BAD, GOOD, b"M"),
     [("bad.jpg", "unsupported_member")], None, True),
    ("an unknown type", film(BAD, GOOD, b"Q"), [("bad.jpg", "unsupported_member")], None, True),
    ("a device with a size", block(BAD, 1 << 40, b"3"), [("bad.jpg", "device_member")], None,
     True),
    ("a pax header before the end", extended(record(b"path", b"x")), [], "truncated_archive",
     False),
]  # fmt: skip


@pytest.mark.parametrize(("data", "problems", "kind", "goes_on"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_a_bad_header_costs_itself(data, problems, kind, goes_on):
    archive = film(b"1.jpg") + data + (b"" if kind == "truncated_archive" else film(b"2.jpg")) + END
    names = ["1.jpg", "2.jpg"] if goes_on else ["1.jpg"]
    assert outcome(archive) == (names, problems, kind)
    assert streamed(archive) == (names, problems, kind)


@pytest.mark.parametrize("size", [8**11 - 1, 1 << 40, (1 << 63) - 1, 1 << 63, 1 << 80])
@pytest.mark.parametrize("pax", [False, True])
def test_a_size_beyond_the_file_ends_the_archive(size, pax):
    if pax:
        bad = extended(record(b"size", b"%d" % size)) + block(BAD)
        if size >= 10**19:
            pytest.skip("of more digits than a pax size has")
    else:
        bad = block(BAD, size)
    archive = film(b"1.jpg") + bad + film(b"2.jpg") + END
    assert outcome(archive) == (["1.jpg"], [], "truncated_archive")
    # A stream does not know its end: it is refused first, then passed over to the end.
    assert streamed(archive) == (
        ["1.jpg"], [("bad.jpg", "member_too_big")], "truncated_archive"
    )  # fmt: skip


def test_sound_headers_of_every_kind_are_followed():
    archive = (
        extended(record(b"comment", b"of git"), b"g")
        + film(b"folder/", b"", b"\0")
        + block(b"folder", 0, b"5")
        + block(b"label", 0, b"V")
        + film(b"1.jpg", GOOD, b"\0")
        + film(b"2.jpg", GOOD, b"7")
        + extended(record(b"path", b"3 \xc3\xb6.jpg") + record(b"size", b"400") + bytes(9))
        + block(b"short.jpg")
        + padded(GOOD)
        + block(b"././@LongLink", len(LONG) + 1, b"L", b"ustar  \0")
        + padded(LONG + b"\0")
        + film(LONG[:100])
        + extended(record(b"path", b"a\nb=c.jpg") + record(b"mtime", b"1.5"), b"X")
        + film(b"x")
        + END
    )
    names = ["1.jpg", "2.jpg", "3 ö.jpg", LONG.decode(), "a\nb=c.jpg"]
    assert len(LONG) > 300
    assert outcome(archive) == (names, [], None)
    assert streamed(archive) == (names, [], None)
    with tarfile.open(fileobj=io.BytesIO(archive)) as oracle:
        assert [info.name for info in oracle if info.isreg()] == names


def test_memory_is_bounded_by_what_is_there():
    archive = film(b"1.jpg") + block(b"p", (1 << 30), b"x") + END
    chain = film(b"1.jpg") + extended(record(b"path", b"x")) * 20_000 + film(b"y") + END
    for data, names in ((archive, ["1.jpg"]), (chain, ["1.jpg", "x"])):
        tracemalloc.start()
        found = outcome(data)[0]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found == names
        assert peak < 4 << 20


@pytest.mark.parametrize(
    ("name", "members", "problems"),
    [
        ("t_neg512_reg.tar", ["g.jpg"], [(None, "corrupt_archive")]),
        ("pax0.tar", [], [("g.jpg", "corrupt_member"), (None, "truncated_archive")]),
    ],
)
def test_hostile_archives_end(name, members, problems):
    source = Source(name, str(shared("cases/hostile") / name), "tar")
    listing = list_members(source, LIMITS, FILM_NAMES)
    assert [member.name for member in listing.members] == members
    found = [*listing.problems, *listing.archive_problems]
    assert [(problem.member, problem.kind) for problem in found] == problems
