"""Folders as sources: with trash, unreadable folders, and broken links."""

import contextlib
import os

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.archives.read_source import SourceReader, list_members
from beamscope.transforms.sources.planning.plan_file import source_identity
from beamscope.transforms.sources.sources import find_sources
from beamscope.transforms.xrays.names import FILM_NAMES
from tests.shared_data import shared


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"film")
    return root


def listing_of(folder):
    (source,) = find_sources([str(folder)])
    return list_members(source, Limits(), FILM_NAMES)


def test_the_case_of_trash_and_thumbnails():
    listing = listing_of(shared("cases/xrays/nas_clutter/nas"))
    assert [member.name for member in listing.members] == ["00000001_000.png"]
    assert listing.skipped == {"clutter": 6}
    assert listing.problems == ()


@pytest.fixture
def locked(monkeypatch):
    """Folders of the name "locked" may not be opened, even by root."""
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.usefixtures("locked")
def test_a_folder_that_may_not_be_opened_is_a_problem_and_others_are_read(tmp_path):
    make(tmp_path / "films", "a/1.jpg", "b/locked/2.jpg", "c/3.jpg")
    listing = listing_of(tmp_path / "films")
    assert [member.name for member in listing.members] == ["a/1.jpg", "c/3.jpg"]
    (problem,) = listing.problems
    assert (problem.item_id, problem.member) == ("films/b/locked", "b/locked")
    assert problem.kind == "unreadable_file"
    assert "Permission denied" in problem.message
    # Neither the identity of the source nor the sources in it end the job for that.
    assert source_identity(listing.source) == source_identity(listing.source)


@pytest.mark.usefixtures("locked")
def test_a_source_that_may_not_be_opened_is_a_problem_of_the_source(tmp_path):
    make(tmp_path, "locked/1.jpg")
    listing = listing_of(tmp_path / "locked")
    (problem,) = listing.archive_problems
    assert (problem.kind, problem.member) == ("unreadable_file", None)


def test_a_link_to_nothing_is_a_film_that_cannot_be_read(tmp_path):
    make(tmp_path / "films", "1.jpg")
    (tmp_path / "films/2.jpg").symlink_to(tmp_path / "gone.jpg")
    listing = listing_of(tmp_path / "films")
    with contextlib.closing(SourceReader(listing.source, Limits())) as reader:
        assert reader.read_member(listing.members[0]) == b"film"
        with pytest.raises(InputError) as caught:
            reader.read_member(listing.members[1])
    assert caught.value.kind == "unreadable_file"


def test_loose_films_have_their_sizes(tmp_path):
    make(tmp_path, "1.jpg", "2.jpg")
    (source,) = find_sources([str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg")])
    assert [member.size for member in list_members(source, Limits(), FILM_NAMES).members] == [4, 4]


def test_an_archive_that_is_a_source_of_its_own_is_not_left_out(tmp_path):
    make(tmp_path / "films", "1.jpg", "a.zip", "b.TGZ", "c.tar.xz", "2.dcm.gz", "@eaDir/d.zip")
    sources = find_sources([str(tmp_path / "films")])
    assert [source.id for source in sources] == ["films", "a.zip", "b.TGZ"]
    assert list_members(sources[0], Limits(), FILM_NAMES).skipped == {"archive": 2, "clutter": 1}
