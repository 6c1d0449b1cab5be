import pickle

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import (
    Entry,
    Limits,
    Member,
    make_listing,
    readable_name,
)
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.xrays.names import FILM_NAMES

SOURCE = Source("films.zip", "/data/films.zip", "zip")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("röntgen.jpg", "röntgen.jpg"),
        (b"r\xf6ntgen.jpg", "r\\xf6ntgen.jpg"),
        ("r\udcf6ntgen.jpg", "r\\xf6ntgen.jpg"),
    ],
)
def test_readable_name(raw, text):
    assert readable_name(raw) == text
    assert text.encode()


def member(name, offset=0, size=10, stored=10):
    return Member(offset, name, size, stored)


def test_a_listing_is_in_the_order_of_the_archive_whatever_the_order_of_its_entries():
    entries = [Entry(member(f"{9 - i}.jpg", offset=i)) for i in range(10)]
    forwards = make_listing(SOURCE, entries, Limits(), FILM_NAMES)
    backwards = make_listing(SOURCE, entries[::-1], Limits(), FILM_NAMES)
    assert [m.offset for m in forwards.members] == list(range(10))
    assert backwards == forwards


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (Entry(member("inner.zip", 5)), "nested_archive"),
        (Entry(member("good.jpg", 5)), "duplicate_member"),
        (Entry(member("big.jpg", 5, size=2001, stored=2001)), "member_too_big"),
        (Entry(member("x.jpg", 5), InputError("encrypted_member", "it is")), "encrypted_member"),
    ],
)
def test_make_listing_errors(bad, kind):
    good = [Entry(member("good.jpg", 1)), Entry(member("last.png", 9)), Entry(member("a.txt", 3))]
    listing = make_listing(SOURCE, [*good, bad], Limits(max_member_bytes=2000), FILM_NAMES)
    assert [m.name for m in listing.members] == ["good.jpg", "last.png"]
    (problem,) = listing.problems
    assert (problem.kind, problem.uri, problem.stage) == (kind, SOURCE.uri, "plan")
    assert problem.item_id == f"films.zip/{bad.member.name}"
    assert listing.skipped == {"not_an_image": 1}


def test_a_declared_ratio_is_refused_only_where_it_can_hurt():
    small = Entry(member("flat.dcm", 0, size=1 << 19, stored=100))
    large = Entry(member("bomb.dcm", 1, size=1 << 21, stored=100))
    listing = make_listing(SOURCE, [small, large], Limits(), FILM_NAMES)
    assert [m.name for m in listing.members] == ["flat.dcm"]
    assert [p.kind for p in listing.problems] == ["compression_ratio"]


def test_a_member_is_small_when_pickled():
    one = Member(123456, "files/p10/p10000032/s50414267/film.jpg", 300000, 299000, True, 12345)
    many = tuple(
        Member(i, f"files/p10/p10000032/s{i}/film.jpg", 300000, 299000, True, i) for i in range(256)
    )
    assert pickle.loads(pickle.dumps(one)) == one
    assert len(pickle.dumps(many)) < 256 * 100
