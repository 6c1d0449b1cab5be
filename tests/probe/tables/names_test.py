import pytest

from beamscope.transforms.probe.tables.names import Index, matching, names_of, plain_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.svs", "a"),
        ("TCGA-CR-7395-01A-01-TS1.9F2B.svs", "TCGA-CR-7395-01A-01-TS1.9F2B"),
        ("1.2.840.10008.1", "1.2.840.10008.1"),
        ("features/slide_7.h5", "features/slide_7"),
        ("C:\\films\\x.JPEG", "films/x"),
        (" spaced ", "spaced"),
    ],
)
def test_plain_names(text, expected):
    assert plain_name(text) == expected


def test_names_of_a_path():
    assert names_of("films/a/b.png") == ["films/a/b", "a/b", "b"]


def test_the_longest_name_is_found_first():
    index = Index.of(["b.png", None, "a/b.jpg", "c", "c"])
    assert index.find(names_of("films/a/b.png")) == 2
    assert index.find(names_of("films/x/b.png")) == 0
    assert index.find(["c"]) == 3
    assert index.find(names_of("films/d.png")) is None


def test_a_table_may_write_more_folders():
    index = Index.of(["data/a/x.h5", "data/b/x.h5", "data/b/y.h5"])
    assert index.find(["y"], ["y"]) == 2
    # Two names of the table end in x, and one in a/x.
    assert index.find(["x"], ["x"]) is None
    assert index.find(["a/x", "x"], ["a/x"]) == 0
    # The end of both names alone is no match.
    assert index.find(["c/y", "y"], ["c/y"]) is None


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (r"(person\d+)_", "train/person12_bacteria_3.jpeg", "person12"),
        (r"person\d+", "train/person12_bacteria_3.jpeg", "person12"),
        (r"person\d+", "IM-0122.jpeg", None),
        (None, "a", None),
    ],
)
def test_what_a_pattern_takes(pattern, name, expected):
    assert matching(pattern, name) == expected
