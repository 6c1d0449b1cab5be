"""Films in a bucket: Beam's own interface to file systems, with one that lives in memory."""

import io

import numpy as np
import pytest
from apache_beam.io.filesystem import CompressionTypes, FileMetadata, FileSystem

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.sources import find_sources, list_directory, open_file
from tests.xrays.archive_makers import make_tar, make_zip
from tests.xrays.reading.films_test import all_films, jpegs

FILES = {}


class MemoryFileSystem(FileSystem):
    """Files by uri; only what reading takes."""

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, base, *paths):
        return "/".join([base, *paths])

    def split(self, path):
        return path.rpartition("/")[::2]

    def has_dirs(self):
        return False

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        if path not in FILES:
            raise FileNotFoundError(path)
        assert compression_type == CompressionTypes.UNCOMPRESSED
        return io.BytesIO(FILES[path])

    def _list(self, dir_or_prefix):
        for path, data in FILES.items():
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(data))

    def _unused(self, *args, **options):
        raise NotImplementedError

    mkdirs = create = copy = rename = exists = size = last_updated = checksum = _unused
    metadata = delete = _unused


@pytest.fixture
def bucket(tmp_path):
    films = jpegs(6)
    make_zip(tmp_path / "x.zip", films)
    make_tar(tmp_path / "x.tar", films)
    make_tar(tmp_path / "x.tar.gz", films, "w:gz")
    FILES.clear()
    for name in ("x.zip", "x.tar", "x.tar.gz"):
        FILES[f"memory://bucket/{name}"] = (tmp_path / name).read_bytes()
    FILES.update({f"memory://bucket/folder/{name}": data for name, data in films.items()})
    FILES["memory://bucket/folder/labels.csv"] = b""
    yield films
    FILES.clear()


def test_archives_and_directories_in_a_bucket_read_as_local_ones(bucket):
    (folder,) = find_sources(["memory://bucket/folder/"])
    expected, rows, problems = all_films(folder)
    assert [row["member"] for row in rows] == sorted(bucket)
    assert not problems
    uris = ["memory://bucket/x.zip", "memory://bucket/x.tar", "memory://bucket/x.tar.gz"]
    loose = [f"memory://bucket/folder/{name}" for name in bucket]
    sources = (*find_sources(uris), *find_sources(loose))
    assert sorted(source.kind for source in sources) == ["files", "tar", "tgz", "zip"]
    for source in sources:
        pixels, _, problems = all_films(source)
        np.testing.assert_array_equal(pixels, expected)
        assert not problems


def test_a_directory_is_listed_by_name_with_sizes(bucket):
    listed = list_directory("memory://bucket/folder")
    assert [name for name, _ in listed] == sorted([*bucket, "labels.csv"])
    assert dict(listed)["labels.csv"] == 0


def test_a_missing_file_errors():
    with pytest.raises(InputError, match="memory://bucket/none") as caught:
        open_file("memory://bucket/none.zip")
    assert caught.value.kind == "unreadable_file"
