import gzip
import io
import tarfile
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import (
    SourceReader,
    list_members,
    stream_members,
)
from beamscope.transforms.sources.archives.tars import (
    BrokenArchiveError,
    list_tar,
    read_tar_member,
    stream_tar_gz,
)
from beamscope.transforms.xrays.names import FILM_NAMES
from tests.sources.archive_makers import FILMS, add_file, add_special, as_source, make_tar

BAD = {
    "link.jpg": "link_member",
    "hard.jpg": "link_member",
    "pipe.jpg": "device_member",
    "disk.jpg": "device_member",
    "inner.tar": "nested_archive",
    "big.png": "member_too_big",
    "first.jpg": "duplicate_member",
}


def hostile_tar(mode):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        add_file(archive, "first.jpg", b"first")
        add_special(archive, "folder", tarfile.DIRTYPE)
        add_special(archive, "link.jpg", tarfile.SYMTYPE, "/etc/passwd")
        add_special(archive, "hard.jpg", tarfile.LNKTYPE, "first.jpg")
        add_special(archive, "pipe.jpg", tarfile.FIFOTYPE)
        add_special(archive, "disk.jpg", tarfile.BLKTYPE)
        add_file(archive, "inner.tar", b"")
        add_file(archive, "big.png", bytes(5000))
        add_file(archive, "first.jpg", b"again")
        add_file(archive, "labels.csv", b"")
        add_file(archive, "../../abs/" + "long/" * 60 + "last.jpg", b"last")
    return target.getvalue()


DEFAULTS = Limits()


def read_all(source, limits=DEFAULTS):
    listing = list_members(source, limits, FILM_NAMES)
    with closing(SourceReader(source, limits)) as reader:
        return listing, {m.name: reader.read_member(m) for m in listing.members}


def test_members_read_as_they_were_written(tmp_path):
    listing, films = read_all(make_tar(tmp_path / "x.tar"))
    assert films == FILMS
    assert [m.name for m in listing.members] == list(FILMS)
    assert not listing.archive_problems


def test_a_tar_gz_streams_the_same(tmp_path):
    source = make_tar(tmp_path / "x.tar.gz", mode="w:gz")
    assert {e.member.name: read() for e, read in stream_members(source, Limits())} == FILMS


def test_members_may_be_passed_over_in_a_stream(tmp_path):
    source = make_tar(tmp_path / "x.tar.gz", mode="w:gz")
    last = [(e, read()) for e, read in stream_members(source, Limits()) if "4" in e.member.name]
    assert [data for _, data in last] == [FILMS["p4/film4.jpg"]]


def test_bad_members_are_problems_and_the_others_are_served_errors(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(hostile_tar("w"))
    listing, films = read_all(as_source(path), Limits(max_member_bytes=4096))
    assert list(films.values()) == [b"first", b"last"]
    assert {p.item_id.removeprefix("x.tar/"): p.kind for p in listing.problems} == BAD
    assert listing.skipped == {"not_an_image": 1}


@pytest.mark.parametrize(
    ("length", "whole"),
    [
        (1536 + 10, 1),  # inside the second header
        (1536 + 512, 1),  # after it
        (1536 + 1000, 1),  # inside the second film
        (3072, 2),  # after the second film, without an end of the archive
        (6144, 4),
    ],
)
def test_of_a_truncated_tar_what_came_before_is_served_errors(tmp_path, length, whole):
    path = tmp_path / "x.tar"
    source = make_tar(path, {f"{i}.jpg": bytes([i]) * 600 for i in range(4)})
    path.write_bytes(path.read_bytes()[:length])
    listing, films = read_all(source)
    assert list(films) == [f"{i}.jpg" for i in range(whole)]
    assert [p.kind for p in listing.archive_problems] == ["truncated_archive"]


def test_a_damaged_header_loses_what_follows_and_says_so_errors(tmp_path):
    path = tmp_path / "x.tar"
    source = make_tar(path, {f"{i}.jpg": bytes(500) for i in range(4)})
    raw = bytearray(path.read_bytes())
    raw[2048:2060] = b"\xff" * 12
    path.write_bytes(raw)
    listing, films = read_all(source)
    assert list(films) == ["0.jpg", "1.jpg"]
    assert "byte 2048" in listing.archive_problems[0].message


@pytest.mark.parametrize("data", [b"", b"<html>" * 200, b"PK\x03\x04" * 300])
def test_what_is_no_tar_errors(tmp_path, data):
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    listing = list_members(as_source(path), Limits(), FILM_NAMES)
    assert [p.kind for p in listing.archive_problems] == ["not_a_tar"]
    with pytest.raises(InputError):
        list(stream_tar_gz(io.BytesIO(gzip.compress(data)), Limits()))


@pytest.mark.parametrize("lost", [10, 200, 2000])
def test_of_a_truncated_tar_gz_what_came_before_is_served_errors(lost):
    target = io.BytesIO()
    noise = {f"{i}.jpg": bytes((i * 7 + j * j) % 256 for j in range(3000)) for i in range(20)}
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, data in noise.items():
            add_file(archive, name, data)
    packed = gzip.compress(target.getvalue())
    served = {}

    def serve():
        for entry, read in stream_tar_gz(io.BytesIO(packed[: len(packed) - lost]), Limits()):
            served[entry.member.name] = read()

    with pytest.raises(BrokenArchiveError) as caught:
        serve()
    assert caught.value.kind == "truncated_archive"
    assert served == {name: noise[name] for name in list(noise)[: len(served)]}


def test_a_tar_gz_that_does_not_match_its_checksum_errors():
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        add_file(archive, "a.jpg", b"film")
    packed = bytearray(gzip.compress(target.getvalue()))
    packed[-8] ^= 1
    with pytest.raises(BrokenArchiveError, match="damaged"):
        list(stream_tar_gz(io.BytesIO(bytes(packed)), Limits()))


def test_a_stream_that_inflates_beyond_reason_is_stopped_errors():
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        info = tarfile.TarInfo("bomb.jpg")
        info.size = 200 << 20
        file.write(info.tobuf())
        for _ in range(200):
            file.write(bytes(1 << 20))
    packed.seek(0)
    limits = Limits(max_member_bytes=1 << 20, max_compression_ratio=100)
    with pytest.raises(BrokenArchiveError) as caught:
        list(stream_tar_gz(packed, limits))
    assert caught.value.kind == "compression_ratio"


def test_a_tar_gz_has_no_listing_errors(tmp_path):
    with pytest.raises(ValueError, match="streamed"):
        list_members(make_tar(tmp_path / "x.tar.gz", mode="w:gz"), Limits(), FILM_NAMES)


@settings(deadline=None)
@given(st.data())
def test_damage_anywhere_is_an_input_error_or_harmless(data):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (FILMS | {"ä" * 120 + ".jpg": b"long"}).items():
            add_file(archive, name, content)
    raw = bytearray(target.getvalue()[:8192])
    header = data.draw(st.integers(0, len(raw) // 512 - 1)) * 512
    for _ in range(data.draw(st.integers(1, 8))):
        raw[header + data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    # A checksum that fits lets the damage through to what reads the fields.
    raw[header + 148 : header + 156] = b" " * 8
    raw[header + 148 : header + 156] = b"%06o\0 " % sum(raw[header : header + 512])
    limits = Limits(max_member_bytes=1 << 16)
    file = io.BytesIO(bytes(raw))
    try:
        entries, _ = list_tar(file)
        for entry in entries:
            if entry.refused is None and entry.member.size <= 1 << 16:
                read_tar_member(file, entry.member, limits)
    except InputError:
        pass
    try:
        for _, read in stream_tar_gz(io.BytesIO(gzip.compress(bytes(raw), 1)), limits):
            read()
    except InputError:
        pass
