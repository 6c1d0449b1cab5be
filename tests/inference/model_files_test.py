import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import tensorflow as tf

from beamscope.transforms.inference import model_files
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_files import local_model, model_digest, version_taken
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.s3 import BUCKET, s3_server


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "remote" / "path-50x1-remedis-m"
    (directory / "variables").mkdir(parents=True)
    (directory / "assets").mkdir()
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables" / "variables.index").write_bytes(b"index")
    (directory / "variables" / "variables.data-00000-of-00001").write_bytes(b"\0" * 5000)
    (directory / "assets" / "words.gz").write_bytes(b"not really gzip")
    return directory


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    server = gcs_emulator if request.param == "gs" else s3_server
    with server(tmp_path_factory.mktemp(request.param)) as bucket:
        yield bucket


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are copied, by name; the temporary directory is the test's own."""
    names = []
    copy_file = files.copy_file

    def counting(file: files.FileInfo, target: Path) -> None:
        names.append(target.name)
        copy_file(file, target)

    monkeypatch.setattr(files, "copy_file", counting)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget(monkeypatch)
    return names


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets, as a new process would, what has been copied."""
    monkeypatch.setattr(model_files, "_leases", {})


@pytest.fixture
def remote(bucket: str, model: Path, copied: list[str], request: pytest.FixtureRequest) -> str:
    uri = f"{bucket}/{request.node.originalname}/{model.name}"
    for path in model.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{uri}/{path.relative_to(model)}", path.read_bytes())
    return uri


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_local_model_of_a_path(model: Path) -> None:
    assert local_model(str(model)) == model
    assert local_model(f"file://{model}") == model


def test_local_model_copies_once(remote: str, model: Path, copied: list[str]) -> None:
    copy = local_model(remote)
    assert contents(copy) == contents(model)
    assert copy.name == model.name
    assert local_model(remote) == copy
    assert len(copied) == 4


def test_local_model_of_a_name_with_brackets(remote: str, model: Path) -> None:
    # The second is what the first would match if it were taken for a glob.
    for name in ("m[v2]", "mv"):
        files.write_bytes(f"{remote}/{name}/saved_model.pb", name.encode())
    copy = local_model(f"{remote}/m[v2]")
    assert contents(copy) == {"saved_model.pb": b"m[v2]"}


def test_local_model_copies_the_highest_version_alone(
    remote: str, model: Path, copied: list[str]
) -> None:
    served = f"{remote}-served"
    for version, size in (("2", 10), ("10", 20)):
        files.write_bytes(f"{served}/{version}/saved_model.pb", b"g" * size)
    files.write_bytes(f"{served}/10/variables/variables.index", b"index")
    copy = local_model(served)
    assert contents(copy) == {
        "saved_model.pb": b"g" * 20,
        "variables/variables.index": b"index",
    }
    assert sorted(copied) == ["saved_model.pb", "variables.index"]
    assert str(version_taken(served)) == "version 10 is taken, the highest of 2, 10"


def test_local_model_copies_nothing_of_several_models(remote: str, copied: list[str]) -> None:
    for name in ("a", "b"):
        files.write_bytes(f"{remote}-all/{name}/saved_model.pb", b"graph")
    with pytest.raises(InputError, match=rf"2 models in .*\(a, b\).* such as {remote}-all/a$"):
        local_model(f"{remote}-all")
    assert copied == []


def test_tensorflow_loads_a_model_of_a_name_with_brackets(
    bucket: str, copied: list[str], tmp_path: Path
) -> None:
    module = tf.Module()
    module.weights = tf.Variable([1.0, 2.0])
    local = tmp_path / "a [1]*" / "m[v2]"
    tf.saved_model.save(module, str(tmp_path / "plain"))
    shutil.copytree(tmp_path / "plain", local)
    for path in local.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{bucket}/loaded/m[v2]/{path.relative_to(local)}", path.read_bytes())
    for uri in (str(local), f"{bucket}/loaded/m[v2]"):
        # Twice: the link is there already then.
        for _ in range(2):
            loaded = tf.saved_model.load(str(local_model(uri)))
        assert loaded.weights.numpy().tolist() == [1.0, 2.0]


def test_local_model_of_a_single_file(remote: str) -> None:
    copy = local_model(f"{remote}/saved_model.pb")
    assert (copy.name, copy.read_bytes()) == ("saved_model.pb", b"graph")


def test_local_model_beside_the_object_of_a_folder(remote: str, model: Path) -> None:
    files.write_bytes(f"{remote}/m/saved_model.pb", b"graph")
    if remote.startswith("gs:"):
        files.write_bytes(f"{remote}/m/", b"")
    else:
        name = f"{remote}/m/".removeprefix(f"s3://{BUCKET}/")
        boto3.client("s3").put_object(Bucket=BUCKET, Key=name, Body=b"")
    assert contents(local_model(f"{remote}/m")) == {"saved_model.pb": b"graph"}


def test_local_model_reuses_the_copy_of_another_process(
    remote: str, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = local_model(remote)
    forget(monkeypatch)
    assert local_model(remote + "/") == copy
    assert len(copied) == 4

    files.write_bytes(f"{remote}/saved_model.pb", b"grapH")
    forget(monkeypatch)
    assert contents(local_model(remote))["saved_model.pb"] == b"grapH"


def test_local_model_leaves_nothing_half_copied(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: files.FileInfo, target: Path) -> None:
        raise ConnectionError("cut")

    monkeypatch.setattr(files, "copy_file", refuse)
    with pytest.raises(InputError, match="model cut"):
        local_model(remote)
    caches = list(tmp_path.glob("beamscope-models-*"))
    assert caches
    assert not [path for path in caches[0].rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_local_model_errors(bucket: str, copied: list[str]) -> None:
    with pytest.raises(InputError, match=f"model {bucket}/none: there is no such file or"):
        local_model(f"{bucket}/none")
    scheme = bucket.partition("://")[0]
    with pytest.raises(InputError, match=f"model {scheme}://no-such-bucket/.*no such file or"):
        local_model(f"{scheme}://no-such-bucket/m")
    with pytest.raises(InputError, match="https://m: there is no storage"):
        local_model("https://m")


def test_local_model_refuses_a_folder_that_others_can_write(remote: str, tmp_path: Path) -> None:
    local_model(remote).parents[1].chmod(0o777)
    with pytest.raises(InputError, match="can be written by others"):
        local_model(f"{remote}/assets")


def test_model_digest_is_that_of_sha256sum(model: Path) -> None:
    (model / ".DS_Store").write_bytes(b"hidden")
    (model / ".git").mkdir()
    (model / ".git" / "HEAD").write_bytes(b"hidden")
    names = [
        "assets/words.gz",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    listing = subprocess.run(["sha256sum", *names], cwd=model, capture_output=True, check=True)
    assert model_digest(model) == hashlib.sha256(listing.stdout).hexdigest()


def test_model_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    for name in ("a.model", "b.model"):
        (tmp_path / name).write_bytes(b"weights")
        assert model_digest(tmp_path / name) == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("change", ["content", "name", "added", "removed"])
def test_model_digest_changes_with_the_files(model: Path, change: str) -> None:
    before = model_digest(model)
    index = model / "variables" / "variables.index"
    match change:
        case "content":
            index.write_bytes(b"indeX")
        case "name":
            index.rename(index.with_name("variables.inde"))
        case "added":
            (model / "assets" / "empty").touch()
        case "removed":
            index.unlink()
    assert model_digest(model) != before


@pytest.mark.usefixtures("copied")
def test_a_pinned_model_is_that_model(bucket: str, model: Path) -> None:
    uri = f"{bucket}/pinned/m"
    for path in model.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{uri}/{path.relative_to(model)}", path.read_bytes())
    digest = model_digest(model)
    for place in (uri, str(model)):
        for given in (digest, digest.upper(), None):
            found = find_model(ModelSettings(place, model_sha256=given))
            assert model_digest(found.path) == digest
        with pytest.raises(InputError) as caught:
            find_model(ModelSettings(place, model_sha256="0" * 64))
        assert caught.value.kind == "bad_model"
        assert caught.value.message == (
            f"model {place}: its SHA-256 is {digest}, and {'0' * 64} is expected: the model was "
            "changed, or is another one"
        )
