"""Compare a central directory with its file; `zipfile` writes it, and reads the valid members."""

import contextlib
import io
import random
import shutil
import struct
import subprocess
import zipfile
import zlib

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import SourceReader, list_members
from beamscope.transforms.sources.archives.zips import list_zip, read_zip_member
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.xrays.names import FILM_NAMES
from tests.shared_data import shared
from tests.sources.archive_makers import FILMS, as_source, make_zip

LIMITS = Limits()


def zipped(films, method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in films.items():
            archive.writestr(name, data)
    return target.getvalue()


def outcome(data):
    """What can be read, by name; problems of members; the problem of the archive."""
    file = io.BytesIO(data)
    entries, broken = list_zip(file)
    films, problems = {}, {}
    for entry in entries:
        name = entry.member.name
        try:
            if entry.refused:
                raise entry.refused
            films[name] = read_zip_member(file, entry.member, LIMITS)
        except InputError as error:
            problems[name] = error.kind
    return films, problems, broken and broken.kind


def central(name, offset=0, stored=5, size=5, flags=0, method=0, crc=0, extra=b"", disk=0):
    """A record of the central directory by hand (APPNOTE 4.3.12)."""
    return (
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, flags, method, 0, 0, crc, stored, size,
                    len(name), len(extra), 0, disk, 0, 0, offset)
        + name + extra
    )  # fmt: skip


def end(count, size, offset, disk=0, here=None):
    here = count if here is None else here
    return struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, here, count, size, offset, 0)


def local(name, data):
    crc = zlib.crc32(data)
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, crc, len(data), len(data),
                       len(name), 0) + name + data, crc  # fmt: skip


def archive_of(*records, body=None):
    """One film, a.jpg, and a directory of these records; "%crc" in them is the film's."""
    first, crc = local(b"a.jpg", b"12345")
    body = first if body is None else body
    directory = b"".join(record(crc) if callable(record) else record for record in records)
    return body + directory + end(len(records), len(directory), len(body))


def sound(crc):
    return central(b"a.jpg", crc=crc)


def zip64(*numbers):
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


BIG = 0xFFFFFFFF


def test_the_archive_by_hand_is_sound():
    assert outcome(archive_of(sound)) == ({"a.jpg": b"12345"}, {}, None)
    with zipfile.ZipFile(io.BytesIO(archive_of(sound))) as oracle:
        assert oracle.read("a.jpg") == b"12345"


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (central(b"b.jpg", offset=1 << 30), "corrupt_member"),
        (central(b"b.jpg", offset=40), "corrupt_member"),
        (central(b"b.jpg", stored=1 << 31), "corrupt_member"),
        # zip64: 2^63 - 1, 2^63 and 2^64 - 1 are more than int64, or any file, has.
        (central(b"b.jpg", offset=BIG, extra=zip64((1 << 63) - 1)), "corrupt_member"),
        (central(b"b.jpg", offset=BIG, extra=zip64((1 << 64) - 1)), "corrupt_member"),
        (central(b"b.jpg", stored=BIG, extra=zip64(1 << 63)), "corrupt_member"),
        (central(b"b.jpg", offset=BIG, extra=zip64()), "corrupt_member"),
        (central(b"b.jpg", offset=BIG, extra=b"\1\0\xff\xff1234"), "corrupt_member"),
        (central(b"b.jpg", disk=3), "split_archive"),
        (central(b"b.jpg", flags=1), "encrypted_member"),
        (central(b"b.jpg", flags=0x41), "encrypted_member"),
        (central(b"b.jpg", method=12), "unsupported_compression"),
    ],
)
def test_a_bad_record_costs_itself(record, kind):
    assert outcome(archive_of(sound, record)) == ({"a.jpg": b"12345"}, {"b.jpg": kind}, None)


@pytest.mark.parametrize("size", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_size_beyond_any_film_is_refused_before_it_is_read(tmp_path, size):
    path = tmp_path / "x.zip"
    first, _ = local(b"a.jpg", b"12345")
    second, crc = local(b"b.jpg", b"12345")
    record = central(b"b.jpg", len(first), size=BIG, crc=crc, extra=zip64(size))
    path.write_bytes(archive_of(record, body=first + second))
    listing = list_members(as_source(path), LIMITS, FILM_NAMES)
    assert listing.members == ()
    assert [problem.kind for problem in listing.problems] == ["member_too_big"]


def test_one_member_that_is_listed_thousands_of_times_is_one_film_and_one_problem(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(archive_of(*[sound] * 5000))
    listing = list_members(as_source(path), LIMITS, FILM_NAMES)
    assert [member.name for member in listing.members] == ["a.jpg"]
    assert listing.problems == ()
    (problem,) = listing.archive_problems
    assert problem.kind == "corrupt_archive"
    assert problem.message.startswith("4999 of its members lie on the bytes of others, 'a.jpg'")


def test_members_that_share_bytes_under_many_names_are_one_problem():
    names = [f"{i}.jpg".encode() for i in range(3000)]
    records = [lambda crc, name=name: central(name, crc=crc) for name in names]
    assert outcome(archive_of(*records)) == ({"0.jpg": b"12345"}, {}, "corrupt_archive")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_often_is_two_rows_and_a_count(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(50):
            archive.writestr("a.jpg", b"%d" % i)
    listing = list_members(as_source(path), LIMITS, FILM_NAMES)
    assert len(listing.members) == 1
    assert [problem.kind for problem in listing.problems] == ["duplicate_member"]
    assert listing.skipped == {"duplicate": 48}
    with contextlib.closing(SourceReader(listing.source, LIMITS)) as reader:
        assert reader.read_member(listing.members[0]) == b"0"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-22] + end(5, 1 << 31, 0),
        lambda raw: raw[:-22] + end(5, len(raw), 0),
        lambda raw: raw[:-22] + end(5, 60, len(raw) + 100),
        lambda raw: raw[:-22] + end(5, len(raw) - 22, 0),
        lambda raw: raw[:-22] + struct.pack("<4sLQL", b"PK\6\7", 0, 1 << 63, 1) + raw[-22:],
        lambda raw: raw.replace(b"PK\1\2", b"PK\1\3"),
        lambda raw: raw[:-30] + raw[-22:],
    ],
)
def test_of_a_damaged_directory_the_members_are_found_from_the_start(spoil):
    films, problems, kind = outcome(spoil(zipped(FILMS)))
    assert (films, problems, kind) == (FILMS, {}, "truncated_archive")


def test_the_hostile_case_of_a_negative_offset():
    source = Source("m51.zip", str(shared("cases/hostile/m51.zip")), "zip")
    listing = list_members(source, LIMITS, FILM_NAMES)
    (problem,) = listing.archive_problems
    assert problem.kind == "truncated_archive"
    sizes = {}
    with contextlib.closing(SourceReader(source, LIMITS)) as reader:
        for member in listing.members[:5]:
            sizes[member.name] = len(reader.read_member(member))
        # unzip -l says the same sizes of these; the last member is damaged itself.
        assert list(sizes.values()) == [6397, 7653, 7885, 7424, 7249]
        with pytest.raises(InputError) as caught:
            reader.read_member(listing.members[5])
    assert caught.value.kind == "corrupt_member"


def test_the_case_of_backslashes():
    source = Source("win.zip", str(shared("cases/xrays/zip_backslash/win.zip")), "zip")
    listing = list_members(source, LIMITS, FILM_NAMES)
    names = [f"images\\0000000{i}_000.png" for i in (1, 2, 3)]
    assert [member.name for member in listing.members] == names
    assert (listing.problems, listing.archive_problems) == ((), ())
    # Of "images\" there is nothing to count; two are Thumbs.db and .DS_Store.
    assert listing.skipped == {"clutter": 3}


@pytest.mark.parametrize("name", ["images/", "images\\", "a\\b\\"])
def test_folders_are_no_films(name):
    assert outcome(zipped({name: b"", "x.jpg": b"1"})) == ({"x.jpg": b"1"}, {}, None)


@pytest.mark.parametrize("broken", [False, True])
def test_archives_in_one_file_are_all_read(broken):
    one, two = zipped({"a.jpg": b"1", "b.jpg": b"2"}), zipped({"c.jpg": b"3"})
    three = zipped({"d.jpg": b"4"})
    if broken:
        one = one[:-22]
    films = {"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3", "d.jpg": b"4"}
    expected = "truncated_archive" if broken else None
    assert outcome(one + two + three) == (films, {}, expected)


def test_a_program_before_an_archive_is_no_archive():
    assert outcome(b"MZ" + bytes(5000) + zipped(FILMS)) == (FILMS, {}, None)


@pytest.mark.parametrize("comment", [b"", b"films of 2017", b"x" * 65535])
def test_a_comment_at_the_end(comment):
    target = io.BytesIO(zipped(FILMS))
    with zipfile.ZipFile(target, "a") as archive:
        archive.comment = comment
    assert outcome(target.getvalue()) == (FILMS, {}, None)


def test_zip64_is_read_as_zipfile_writes_it():
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in FILMS.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    raw = target.getvalue()
    assert outcome(raw) == (FILMS, {}, None)
    # And with the record of zip64 at its end, as archives of 65,536 films have it.
    directory_size, directory = struct.unpack("<2L", raw[-10:-2])
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 5, 5, directory_size, directory)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(raw) - 22, 1)
    last = end(0xFFFF, BIG, BIG)
    data = raw[:-22] + record + locator + last
    with zipfile.ZipFile(io.BytesIO(data)) as oracle:
        assert {name: oracle.read(name) for name in oracle.namelist()} == FILMS
    assert outcome(data) == (FILMS, {}, None)


def test_seventy_thousand_films():
    films = {f"{i}.jpg": b"" for i in range(70_000)}
    entries, broken = list_zip(io.BytesIO(zipped(films, zipfile.ZIP_STORED)))
    assert broken is None
    assert [entry.member.name for entry in entries] == list(films)


@pytest.mark.parametrize(
    "last",
    [
        end(2, 60, 100, disk=1),
        end(2, 60, 100, disk=0, here=1),
        struct.pack("<4sLQL", b"PK\6\7", 2, 0, 3) + end(2, 60, 100),
    ],
)
def test_one_volume_of_several_says_what_to_do_errors(tmp_path, last):
    path = tmp_path / "x.zip"
    path.write_bytes(bytes(500) + last)
    listing = list_members(as_source(path), LIMITS, FILM_NAMES)
    assert listing.members == ()
    (problem,) = listing.archive_problems
    assert (problem.kind, problem.member) == ("split_archive", None)
    assert "zip -s 0" in problem.message


def test_the_first_volume_under_another_name_errors():
    with pytest.raises(InputError, match="join its volumes") as caught:
        list_zip(io.BytesIO(b"PK\7\x08" + zipped(FILMS)[:300]))
    assert caught.value.kind == "split_archive"


@pytest.mark.skipif(not shutil.which("zip"), reason="Info-ZIP is not installed")
def test_a_split_archive_as_info_zip_makes_it_errors(tmp_path):
    noise = random.Random(0).randbytes
    films = {f"{i}.jpg": noise(40_000) for i in range(6)}
    make_zip(tmp_path / "whole.zip", films)
    command = ["zip", "-q", "-s", "64k", "whole.zip", "--out", "split.zip"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert sorted(path.name for path in tmp_path.glob("split.*")) == [
        "split.z01", "split.z02", "split.z03", "split.zip",
    ]  # fmt: skip
    for name in ("split.zip", "split.z01"):
        with pytest.raises(InputError) as caught, (tmp_path / name).open("rb") as file:
            list_zip(file)
        assert caught.value.kind == "split_archive"
    command = ["zip", "-q", "-s", "0", "split.zip", "--out", "joined.zip"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert outcome((tmp_path / "joined.zip").read_bytes()) == (films, {}, None)


@pytest.mark.parametrize(
    ("raw", "flags", "extra", "name"),
    [
        ("röntgen.jpg".encode(), 0x800, b"", "röntgen.jpg"),
        # Without a flag: UTF-8 where it is, as on Linux and macOS, else code page 437.
        ("röntgen.jpg".encode(), 0, b"", "röntgen.jpg"),
        ("röntgen.jpg".encode("cp437"), 0, b"", "röntgen.jpg"),
        (b"?.jpg", 0, struct.pack("<2HBL", 0x7075, 10, 1, 0) + "ö.jpg"[:5].encode()[:5],
         "ö.jp"),
        (b"r\xf6.jpg", 0x800, b"", "r\\xf6.jpg"),
        (b"a.jpg\0.exe", 0, b"", "a.jpg"),
        (b"f/" * 146 + b"1234.jpg", 0, b"", "f/" * 146 + "1234.jpg"),
    ],
)  # fmt: skip
def test_names_are_text(raw, flags, extra, name):
    data = archive_of(lambda crc: central(raw, crc=crc, flags=flags, extra=extra))
    entries, broken = list_zip(io.BytesIO(data))
    assert broken is None
    assert [entry.member.name for entry in entries] == [name]


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "empty"), (b"<html>" * 30, "HTML"), (b"7z\xbc\xaf\x27\x1c" + bytes(90), "7-Zip"),
     (b"\x1f\x8b\x08" + bytes(90), "rename it to .tar.gz")],
)  # fmt: skip
def test_what_is_no_zip_says_what_it_is_errors(data, message):
    with pytest.raises(InputError, match=message) as caught:
        list_zip(io.BytesIO(data))
    assert caught.value.kind == "not_a_zip"
