"""Beam's own runners on this machine; all others are compared with one worker."""

import pytest

from tests.runners.jobs import assert_same


def test_one_worker(prepared, expected):
    # What was expected is sound by itself: reading it has checked that nothing is lost or twice.
    assert expected.rows.num_rows > 20
    assert expected.embeddings.std(axis=0).max() > 0.1
    assert len(expected.problems) == 1


@pytest.mark.slow
def test_all_cores(prepared, expected, tmp_path):
    assert_same(prepared.run(tmp_path, "--runner_config=direct_parallel"), expected)


@pytest.mark.slow
def test_direct_runner_as_beam_resolves_it(prepared, expected, tmp_path):
    assert_same(prepared.run(tmp_path, "--runner=DirectRunner"), expected)
