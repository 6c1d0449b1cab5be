"""Data after the end mark of a tar is never silently lost.

The members that are expected are those that `tarfile` wrote; GNU tar lists the same with
--ignore-zeros.
"""

import functools
import gzip
import io
import tarfile

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.broken import BrokenArchiveError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.tars import list_tar, read_tar_member, stream_tar_gz
from tests.shared_data import shared
from tests.sources.archive_makers import add_file

# Without the time, so that every process names the cases alike.
pack = functools.partial(gzip.compress, mtime=0)

LIMITS = Limits()
JUNK = b"<html>not found</html>" * 40


def tar(*names, records=20):
    """An archive whose films are their names, filled up with zeroes to so many blocks."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in names:
            add_file(archive, name, name.encode() * 200)
    data = target.getvalue().rstrip(b"\0")
    data += bytes(-len(data) % 512)
    return data + bytes(512 * records)


A, B = tar("a1.jpg", "a2.jpg"), tar("b1.jpg", "b2.jpg")
TWO, FOUR = ["a1.jpg", "a2.jpg"], ["a1.jpg", "a2.jpg", "b1.jpg", "b2.jpg"]


def listed(data):
    """Names of a plain tar, each read and held against what was written, and what is wrong."""
    file = io.BytesIO(data)
    entries, broken = list_tar(file)
    for entry in entries:
        name = entry.member.name
        assert read_tar_member(file, entry.member, LIMITS) == name.encode() * 200
    return [entry.member.name for entry in entries], broken and broken.kind


def streamed(packed):
    names, kind = [], None
    try:
        for entry, read in stream_tar_gz(io.BytesIO(packed), LIMITS):
            assert read() == entry.member.name.encode() * 200
            names.append(entry.member.name)
    except BrokenArchiveError as error:
        kind = error.kind
    return names, kind


ENDS = [
    ("one", A, TWO, None),
    ("two", A + B, FOUR, None),
    ("three", A + B + tar("c.jpg"), [*FOUR, "c.jpg"], None),
    ("one mark of an end between", tar(*TWO, records=1) + B, FOUR, None),
    ("no mark of an end between", tar(*TWO, records=0) + B, FOUR, None),
    ("an empty archive first", tar() + B, FOUR[2:], None),
    ("an empty archive last", A + tar(), TWO, None),
    ("an empty archive alone", tar(), [], None),
    ("no zeroes beyond the mark", tar(*TWO, records=2), TWO, None),
    ("a megabyte of zeroes", tar(*TWO, records=2048), TWO, None),
    ("zeroes of any length", A + bytes(7), TWO, None),
    ("junk", A + JUNK, TWO, "trailing_data"),
    ("little junk", A + b"x", TWO, "trailing_data"),
    ("junk after many zeroes", A + bytes(1 << 20) + JUNK, TWO, "trailing_data"),
    ("junk, and an archive", A + JUNK + B, TWO, "trailing_data"),
    ("half of another archive", A + B[:1024], FOUR[:3], "truncated_archive"),
    ("no end", tar(*TWO, records=0), TWO, "truncated_archive"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "names", "kind"), [end[1:] for end in ENDS],
                         ids=[end[0] for end in ENDS])  # fmt: skip
def test_what_follows_an_end_is_read_or_a_problem(data, names, kind):
    if data == A + B[:1024]:
        # The header of b1.jpg is there, and the first 512 of its 1200 bytes.
        names = TWO
    assert listed(data) == (names, kind)
    assert streamed(pack(data)) == (names, kind)


@pytest.mark.parametrize(
    ("packed", "names", "kind"),
    [
        (pack(A) + pack(B), FOUR, None),
        # One archive in several members of gzip, as pigz and bgzip write it.
        (b"".join(pack(A[i : i + 700]) for i in range(0, len(A), 700)), TWO, None),
        (pack(A) + pack(b""), TWO, None),
        (pack(A) + bytes(1), TWO, None),
        (pack(A) + bytes(100_000), TWO, None),
        (pack(A) + bytes(512) + pack(B), FOUR, None),
        (pack(A) + JUNK, TWO, "trailing_data"),
        (pack(A) + b"\x1f", TWO, "trailing_data"),
        (pack(A) + bytes(100_000) + b"x", TWO, "trailing_data"),
        (pack(A) + B, TWO, "trailing_data"),
        (pack(A) + pack(JUNK), TWO, "trailing_data"),
        (pack(A) + pack(B)[:-3], FOUR, "truncated_archive"),
        (pack(A)[:-5] + b"xxxxx", TWO, "corrupt_archive"),
        # Not compressed at all, as browsers leave what they inflate while they download.
        (A + B, FOUR, None),
    ],
)
def test_gzip_is_read_to_its_end(packed, names, kind):
    assert streamed(packed) == (names, kind)


@pytest.mark.parametrize("name", ["ab.tar", "abz.tar.gz"])
def test_the_case_of_two_archives_in_one_file(name):
    expected = [f"images/0000000{i}_000.png" for i in range(1, 7)]
    with (shared("cases/xrays/tar_concatenated") / name).open("rb") as file:
        if name.endswith(".gz"):
            found = [(entry, read()) for entry, read in stream_tar_gz(file, LIMITS)]
        else:
            entries, broken = list_tar(file)
            assert broken is None
            found = [(entry, read_tar_member(file, entry.member, LIMITS)) for entry in entries]
    assert [entry.member.name for entry, _ in found] == expected
    assert {data[:8] for _, data in found} == {b"\x89PNG\r\n\x1a\n"}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (pack(A), "gzip data: rename it to .tar.gz"),
        (b"PK\x03\x04" + bytes(600), "a zip archive"),
        (b"\xfd7zXZ\x00" + bytes(600), "xz data: unpack it"),
        (b"<!DOCTYPE html>" * 50, "fetch the archive again"),
    ],
)
def test_what_is_no_tar_says_what_it_is_errors(data, what):
    with pytest.raises(InputError, match=what) as caught:
        list_tar(io.BytesIO(data))
    assert caught.value.kind == "not_a_tar"
