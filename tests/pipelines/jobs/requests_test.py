from pathlib import Path

import pytest

from beamscope.pipelines.jobs.requests import merged_requests, not_asked_for
from beamscope.pipelines.jobs.slides import JOB as SLIDES
from beamscope.pipelines.jobs.xrays import JOB as XRAYS
from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.requests_file import (
    read_requests,
    requests_path,
    write_requests,
)
from beamscope.transforms.output.run_record import RunRecord, write_run_record
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.storage import files

A, B, C = (SlideRequest(name, f"/slides/{name}.svs", 0.5) for name in "abc")


def output(directory: Path, *requests, job=SLIDES, embedded=True) -> str:
    """An output that was asked to hold `requests`, with a finished block where one is wanted."""
    root = str(directory)
    record = RunRecord(job.name, 3, job.table_name, Fingerprint({}), Fingerprint({"plan": "x"}))
    write_run_record(root, record)
    write_requests(root, requests)
    if embedded:
        files.write_bytes(record.layout(root).part(BlockKey("a", 0), 4), b"part")
    return root


def merged(root, now, *, job=SLIDES, add=False, only_these=False):
    return merged_requests(job, root, now, add=add, only_these=only_these)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([], [A], []),
        ([A, B], [A, B], []),
        ([A, B], [A, B, C], []),
        ([A, B], [B], [A]),
        # A slide that has moved is still the slide of that name.
        ([A], [SlideRequest("a", "/elsewhere/a.svs")], []),
    ],
)
def test_not_asked_for(before, now, expected):
    assert not_asked_for(SLIDES, now, before) == expected


def test_a_source_of_the_same_name_elsewhere_is_another_one():
    before, now = Source("x.zip", "/a/x.zip", "zip"), Source("x.zip", "/b/x.zip", "zip")
    assert not_asked_for(XRAYS, [now], [before]) == [before]


def test_an_output_of_nothing_or_of_a_part_of_it_takes_what_is_asked_for(tmp_path):
    assert merged(str(tmp_path / "none"), [C, A]) == [C, A]
    root = output(tmp_path / "some", A, B)
    assert merged(root, [A, B, C]) == [A, B, C]


def test_what_would_be_dropped_is_refused_and_named(tmp_path):
    slides = [SlideRequest(f"s{i}", f"s{i}.svs") for i in range(5)]
    root = output(tmp_path, *slides)
    with pytest.raises(InputError, match=r"holds 4 slides that are not requested now") as raised:
        merged(root, slides[:1])
    assert raised.value.kind == "dropped_items"
    assert "(s1, s2, s3, …). Give --add to keep them" in raised.value.message


def test_add_keeps_and_only_these_drops(tmp_path):
    root = output(tmp_path, B, A)
    assert merged(root, [C], add=True) == [A, B, C]
    newer = SlideRequest("b", "/new/b.svs")
    assert merged(root, [C, newer], add=True) == [A, newer, C]
    assert merged(root, [C], only_these=True) == [C]


def test_as_long_as_nothing_is_embedded_nothing_is_dropped(tmp_path):
    assert merged(output(tmp_path, A, B, embedded=False), [C]) == [C]


def test_two_sources_of_one_id_are_refused(tmp_path):
    before, now = Source("x.zip", "/a/x.zip", "zip"), Source("x.zip", "/b/x.zip", "zip")
    root = output(tmp_path, before, job=XRAYS)
    with pytest.raises(
        InputError, match=r"two of the sources have the id 'x\.zip', one in the output"
    ) as raised:
        merged(root, [now], job=XRAYS, add=True)
    assert raised.value.kind == "duplicate_id"


def test_requests_of_another_job_are_left_to_the_claim(tmp_path):
    root = output(tmp_path, A, B)
    assert merged(root, [Source("x.zip", "/a/x.zip", "zip")], job=XRAYS)


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        (SlideRequest, SlideRequest("a", "a.svs", 0.25, "m.png")),
        (Source, Source("f", "/f", "files", ("a.png", "b.png"))),
    ],
)
def test_requests_read_back(tmp_path, kind, request_):
    assert read_requests(str(tmp_path), kind) == []
    write_requests(str(tmp_path), [request_])
    assert read_requests(str(tmp_path), kind) == [request_]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"requests": [{"slide": "a"}]}', b"null"])
def test_read_requests_errors(tmp_path, content):
    files.write_bytes(requests_path(str(tmp_path)), content)
    with pytest.raises(DamagedError, match=r"requests\.json: it "):
        read_requests(str(tmp_path), SlideRequest)
