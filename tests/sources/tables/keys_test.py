import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.sources.tables.keys import keys_of_path, normal_key, normal_keys


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("images/1.png", "images/1.png"),
        ("./images/1.png", "images/1.png"),
        ("././images/./1.png", "images/1.png"),
        ("images//1.png", "images/1.png"),
        ("images\\1.png", "images/1.png"),
        (".\\images\\1.png", "images/1.png"),
        ("/data/images/1.png", "data/images/1.png"),
        ("//server/share/1.png", "server/share/1.png"),
        ("\\\\server\\share\\1.png", "server/share/1.png"),
        ("C:\\data\\1.png", "data/1.png"),
        ("d:/data/1.png", "data/1.png"),
        ("gs://b/p/1.png", "b/p/1.png"),
        ("s3://b/p/1.png", "b/p/1.png"),
        ("file:///data/1.png", "data/1.png"),
        ("https://host/p/1.png", "host/p/1.png"),
        ("../images/1.png", "images/1.png"),
        ("a/../images/1.png", "images/1.png"),
        (" images/1.png\t", "images/1.png"),
        ("images/1.PNG", "images/1.png"),
        ("images/1.DCM", "images/1.dcm"),
        # Only the ending of a film: the rest of a name is somebody's identifier.
        ("Images/IM1.PNG", "Images/IM1.png"),
        ("1.2.840.A", "1.2.840.A"),
        ("1.2.840", "1.2.840"),
        ("", ""),
        ("  ", ""),
        ("/", ""),
        ("..", ""),
    ],
)
def test_normal_key(written, key):
    assert normal_key(written) == key
    assert normal_keys(pa.array([written, key, written])).to_pylist() == [key] * 3


def test_letters_with_accents_are_the_same_from_macos_and_elsewhere():
    name = "röntgen/é.png"
    assert normal_key(unicodedata.normalize("NFD", name)) == unicodedata.normalize("NFC", name)


_PIECES = st.sampled_from(
    ["/", "\\", ".", "..", ":", "gs://", "C:", " ", "\t", "a", "B", "1", ".PNG", ".jpg", "ö", "\0"]
)


@given(st.lists(st.lists(_PIECES, max_size=6).map("".join), max_size=8))
def test_a_column_is_written_as_each_key_of_it(keys):
    assert normal_keys(pa.array(keys, pa.string())).to_pylist() == list(map(normal_key, keys))


@pytest.mark.parametrize(
    ("path", "most", "keys"),
    [
        ("/d/x.zip/a/1.jpg", 2, ["a/1.jpg", "a/1", "1.jpg", "1"]),
        ("x.zip/a\\1.JPG", 2, ["a/1.jpg", "a/1", "1.jpg", "1"]),
        ("/d/1.2.3.4.5", 1, ["1.2.3.4.5"]),
        ("/d/1.2.3.4.5.dcm", 1, ["1.2.3.4.5.dcm", "1.2.3.4.5"]),
        ("/d/scan.v2", 1, ["scan.v2"]),
        ("1.png", 9, ["1.png", "1"]),
    ],
)
def test_keys_of_path(path, most, keys):
    assert list(keys_of_path(path, most)) == keys
