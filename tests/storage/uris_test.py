import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.uris import (
    is_local,
    join,
    local_path,
    name_of,
    normalize,
    scheme_of,
    split,
)


@pytest.mark.parametrize(
    ("uri", "expected", "local"),
    [
        ("/data/a.svs", "/data/a.svs", True),
        ("a.svs", "a.svs", True),
        ("", "", True),
        ("odd: name.svs", "odd: name.svs", True),
        ("case:1/a.svs", "case:1/a.svs", True),
        ("case:/a.svs", "case:/a.svs", True),
        ("dir//a.svs", "dir//a.svs", True),
        ("/data/*[1].svs", "/data/*[1].svs", True),
        ("file:///data/a.svs", "/data/a.svs", True),
        ("file://localhost/data/a.svs", "/data/a.svs", True),
        ("FILE:///data/a.svs", "/data/a.svs", True),
        ("file:/data/a.svs", "/data/a.svs", True),
        ("file:///a%20b/%C3%BC%5B1%5D.svs", "/a b/ü[1].svs", True),
        ("file:///100%.svs", "/100%.svs", True),
        ("gs://bucket/a.svs", "gs://bucket/a.svs", False),
        ("gs://bucket", "gs://bucket", False),
        ("GS://Bucket/A.svs", "gs://Bucket/A.svs", False),
        ("s3://bucket/a%20b.svs", "s3://bucket/a%20b.svs", False),
    ],
)
def test_normalize(uri: str, expected: str, local: bool) -> None:
    assert normalize(uri) == expected
    assert is_local(uri) is local
    assert normalize(expected) == expected


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("https://example.org/m.tiff", r"there is no storage https://;"),
        ("az://container/a", r"there is no storage az://;"),
        ("hdfs://node/a", r"there is no storage hdfs://;"),
        ("gcs://bucket/a", r"there is no storage gcs:// \(did you mean gs://\?\)"),
        ("s3a://bucket/a", r"there is no storage s3a:// \(did you mean s3://\?\)"),
        ("gss://bucket/a", r"there is no storage gss:// \(did you mean gs://\?\)"),
        ("S33://bucket/a", r"there is no storage S33:// \(did you mean s3://\?\)"),
        ("s3:/bucket/a", "s3: needs two slashes"),
        ("gs:/bucket/a", "gs: needs two slashes"),
        ("https:/example.org/a", "https: needs two slashes"),
        ("gs://", "there is no bucket after gs://"),
        ("s3:///a", "there is no bucket after s3://"),
        ("file://server/a", "server is no folder of this machine; write file:///"),
        ("file://", "nothing is no folder of this machine; write file:///"),
    ],
)
def test_normalize_errors(uri: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        normalize(uri)
    assert caught.value.kind == "unknown_scheme"
    assert caught.value.message.startswith(f"{uri}: ")
    assert caught.value.message.endswith("there are local paths, file:///, gs://, s3://")


def test_parts_of_a_uri() -> None:
    assert scheme_of("S3://bucket/a") == "s3"
    assert split("gs://bucket/a/b") == ("bucket", "a/b")
    assert split("gs://bucket") == ("bucket", "")
    assert name_of("gs://bucket/a/b/") == "b"
    assert name_of("/a/b") == "b"
    assert str(local_path("file:///a%20b")) == "/a b"
    assert str(local_path("a%20b")) == "a%20b"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("out", "qc", "a.jpg"), "out/qc/a.jpg"),
        (("/out/", ""), "/out/"),
        (("gs://bucket/out/", "qc", "a.jpg"), "gs://bucket/out/qc/a.jpg"),
        (("s3://bucket", "a.jpg"), "s3://bucket/a.jpg"),
        (("s3://bucket/a", ""), "s3://bucket/a/"),
        (("s3://bucket/a/", ""), "s3://bucket/a/"),
    ],
)
def test_join(parts: tuple[str, ...], expected: str) -> None:
    assert join(*parts) == expected
