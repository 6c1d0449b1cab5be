import io
import struct
import zipfile
import zlib
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits, Member
from beamscope.transforms.sources.archives.read_source import SourceReader, list_members
from beamscope.transforms.sources.archives.zips import list_zip, read_zip_member
from beamscope.transforms.xrays.names import FILM_NAMES
from tests.sources.archive_makers import (
    FILMS,
    Unseekable,
    as_source,
    encrypt_flag,
    make_zip,
    zip_link,
)

DEFAULTS = Limits()


def read_all(source, limits=DEFAULTS):
    listing = list_members(source, limits, FILM_NAMES)
    films, problems = {}, list(listing.problems)
    with closing(SourceReader(source, limits)) as reader:
        for member in listing.members:
            try:
                films[member.name] = reader.read_member(member)
            except InputError as error:
                problems.append(error)
    return listing, films, problems


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_read_as_they_were_written(tmp_path, method):
    _, films, problems = read_all(make_zip(tmp_path / "x.zip", method=method))
    assert films == FILMS
    assert not problems


def test_a_zip_after_other_data_and_one_whose_sizes_follow(tmp_path):
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILMS.items():
            archive.writestr(name, data)
    path = tmp_path / "x.zip"
    path.write_bytes(b"#!/bin/sh\n" + bytes(stream.data))
    _, films, _ = read_all(as_source(path))
    assert films == FILMS


def test_a_name_is_only_a_name(tmp_path):
    names = ["../../etc/passwd.jpg", "/abs/film.png", "C:\\film.jpg", "röntgen.dcm"]
    listing, films, _ = read_all(make_zip(tmp_path / "x.zip", dict.fromkeys(names, b"film")))
    assert list(films) == names
    assert not listing.problems


def test_members_are_read_in_their_own_order_whatever_the_directory_says(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILMS.items():
            archive.writestr(name, data)
        archive.filelist.reverse()
    listing, films, _ = read_all(as_source(path))
    assert [m.name for m in listing.members] == list(FILMS)
    assert films == FILMS


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_members_are_problems_and_the_others_are_served_errors(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.jpg", b"first")
        archive.writestr(zip_link("link.jpg"), "/etc/passwd")
        archive.writestr("inner.zip", b"PK")
        archive.writestr("secret.jpg", b"secret")
        archive.writestr("first.jpg", b"again")
        archive.writestr("bomb.dcm", bytes(4 << 20))
        archive.writestr("big.png", bytes(range(256)) * 8192)
        archive.writestr("folder/", b"")
        archive.writestr("bzip2.jpg", b"data", zipfile.ZIP_BZIP2)
        archive.writestr("__MACOSX/._first.jpg", b"")
        archive.writestr("labels.csv", b"")
        archive.writestr("last.jpg", b"last")
    path.write_bytes(encrypt_flag(path.read_bytes(), "secret.jpg"))
    listing, films, problems = read_all(as_source(path), Limits(max_member_bytes=1 << 20))
    assert films == {"first.jpg": b"first", "last.jpg": b"last"}
    assert {p.item_id.removeprefix("x.zip/"): p.kind for p in problems} == {
        "link.jpg": "link_member",
        "inner.zip": "nested_archive",
        "secret.jpg": "encrypted_member",
        "first.jpg": "duplicate_member",
        "bomb.dcm": "member_too_big",
        "big.png": "member_too_big",
        "bzip2.jpg": "unsupported_compression",
    }
    assert listing.skipped == {"clutter": 1, "not_an_image": 1}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda m: {"size": m.size - 1}, "corrupt_member", "declares"),
        (lambda m: {"crc": 1}, "corrupt_member", "CRC"),
        (lambda m: {"offset": 3}, "corrupt_member", "no header"),
        (lambda m: {"stored": 20}, "corrupt_member", "ends before"),
    ],
)
def test_a_member_that_is_not_what_was_declared_errors(tmp_path, change, kind, message):
    source = make_zip(tmp_path / "x.zip", {"a.jpg": bytes(range(256)) * 40})
    (member,) = list_members(source, Limits(), FILM_NAMES).members
    fields = {name: getattr(member, name) for name in Member.__slots__} | change(member)
    with (
        closing(SourceReader(source, Limits())) as reader,
        pytest.raises(InputError, match=message) as caught,
    ):
        reader.read_member(Member(**fields))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (Limits(max_member_bytes=1 << 20), "member_too_big"),
        (Limits(max_compression_ratio=100), "compression_ratio"),
    ],
)
def test_the_limits_hold_while_reading_when_the_archive_lies_about_sizes_errors(limits, kind):
    packed = zlib.compressobj(9, wbits=-15)
    data = packed.compress(bytes(64 << 20)) + packed.flush()
    header = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(data), 10, 5, 0)
    file = io.BytesIO(header + b"a.jpg" + data)
    lying = Member(0, "a.jpg", 10, len(data), True, 0)
    with pytest.raises(InputError) as caught:
        read_zip_member(file, lying, limits)
    assert caught.value.kind == kind
    assert file.tell() < 1 << 20


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kept", [0.55, 0.9])
def test_of_a_truncated_zip_the_whole_members_are_served(tmp_path, kept, streamed):
    target = Unseekable() if streamed else io.BytesIO()
    films = {f"{i}.jpg": bytes((i * j) % 251 for j in range(2000)) for i in range(9)}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in films.items():
            archive.writestr(name, data)
    raw = bytes(target.data) if streamed else target.getvalue()
    path = tmp_path / "x.zip"
    path.write_bytes(raw[: int(len(raw) * kept)])
    listing, found, _ = read_all(as_source(path))
    assert 0 < len(found) <= 9
    assert found == {name: films[name] for name in list(films)[: len(found)]}
    (problem,) = listing.archive_problems
    assert (problem.item_id, problem.uri) == ("x.zip", str(path))
    assert problem.kind == "truncated_archive"


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"PK\x03\x04", bytes(100)])
def test_what_is_no_zip_errors(tmp_path, data):
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    listing = list_members(as_source(path), Limits(), FILM_NAMES)
    assert not listing.members
    assert [p.kind for p in listing.archive_problems] == ["not_a_zip"]


def test_a_name_that_is_no_text_does_not_lose_the_archive(tmp_path):
    path = tmp_path / "x.zip"
    source = make_zip(path, {"röntgen.jpg": b"one", "b.jpg": b"two"})
    path.write_bytes(path.read_bytes().replace("ö".encode(), b"\xf6\xf6"))
    listing, films, _ = read_all(source)
    assert films == {"r\\xf6\\xf6ntgen.jpg": b"one", "b.jpg": b"two"}
    assert listing.archive_problems == ()


@settings(deadline=None)
@given(st.data())
def test_damage_anywhere_is_an_input_error_or_harmless(data):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILMS.items():
            archive.writestr(name, content)
    raw = bytearray(target.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    file = io.BytesIO(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        entries, _ = list_zip(file)
    except InputError:
        return
    for entry in entries:
        try:
            content = read_zip_member(file, entry.member, Limits(max_member_bytes=1 << 16))
        except InputError:
            continue
        assert len(content) <= 1 << 16
