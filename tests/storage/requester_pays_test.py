"""Buckets whose requester pays: every request names who does, and one that does not is refused."""

import json

import pytest
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.requester_pays import BillingOptions, billing_project
from tests.faulty_proxy import Fault, faulty_proxy

ANSWER = json.dumps(
    {"error": {"code": 400, "message": "Bucket is a requester pays bucket but no user project "
                                       "provided."}}
)  # fmt: skip
# The session of a large upload belongs to the project that has begun it.
UNPAID = r"^(?!.*[?&](userProject=payer|upload_id=))"


@pytest.fixture
def options(monkeypatch):
    """Beam's options of this process, which a job sets, as before at the end."""
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)


@pytest.fixture
def paid(buckets, options):
    """A proxy before the emulator that refuses what names no payer, as Google's store does."""
    del options
    with faulty_proxy("STORAGE_EMULATOR_HOST") as proxy:
        proxy.body = ANSWER.encode()
        proxy.faults.append(Fault(400, UNPAID, times=float("inf")))
        yield proxy


def use_everything(folder, tmp_path):
    files.write_bytes(f"{folder}/a", b"0123456789")
    large = bytes(9 << 20)
    files.write_bytes(f"{folder}/large", large)
    assert files.create_if_absent(f"{folder}/b", b"1")
    assert not files.create_if_absent(f"{folder}/b", b"2")
    assert files.read_bytes(f"{folder}/a") == b"0123456789"
    (one,) = RemoteSource(f"{folder}/a").request([(2, 3)])
    assert one() == b"234"
    assert len(files.list_files(folder)) == 3
    assert files.exists(f"{folder}/b")
    assert files.is_directory(folder)
    files.copy_file(files.stat(f"{folder}/large"), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large
    files.delete([f"{folder}/b"])
    assert not files.exists(f"{folder}/b")
    files.delete_tree(folder)


def test_every_request_names_the_project(buckets, paid, monkeypatch, tmp_path):
    monkeypatch.setenv("GS_USER_PROJECT", "payer")
    use_everything(f"{buckets['gs']}/paid", tmp_path)
    assert len(paid.requests) > 12
    assert paid.met == []
    methods = {line.split()[0] for line in paid.requests}
    assert {"GET", "POST", "DELETE"} <= methods


def test_without_a_project_the_line_says_what_to_give(buckets, paid):
    for use in (
        lambda: files.list_files(f"{buckets['gs']}/unpaid"),
        lambda: files.stat(f"{buckets['gs']}/unpaid/a"),
        lambda: files.write_bytes(f"{buckets['gs']}/unpaid/a", b"1"),
    ):
        with pytest.raises(PermissionError, match="give --billing_project PROJECT") as error:
            use()
        assert "\n" not in str(error.value)
    assert len(paid.met) == 3  # Nothing is tried again.


def test_the_option_goes_before_the_environment(options, monkeypatch):
    assert billing_project() is None
    monkeypatch.setenv("GS_USER_PROJECT", "mine")
    assert billing_project() == "mine"
    FileSystems.set_options(PipelineOptions(["--billing_project=ours"]))
    assert billing_project() == "ours"
    # A worker gets what the submitting process has sent.
    sent = PipelineOptions(["--billing_project=ours"]).get_all_options(drop_default=True)
    received = PipelineOptions.from_dictionary(sent)
    assert received.view_as(BillingOptions).billing_project == "ours"


def test_a_job_pays_for_all_of_it(buckets, paid, tmp_path, capfd):
    class Mean(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    tf.saved_model.save(Mean(), str(tmp_path / "model"))
    write_sample_slide(tmp_path / "a.svs", SampleSlide(width=500, height=400, mpp=0.5, seed=1))
    cloud = f"{buckets['gs']}/paid-job"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GS_USER_PROJECT", "payer")
        for path in tmp_path.rglob("*"):
            if path.is_file():
                files.write_bytes(f"{cloud}/{path.relative_to(tmp_path)}", path.read_bytes())
    job = ["slides", f"--input={cloud}/a.svs", f"--model={cloud}/model", f"--output={cloud}/out"]
    assert main(job) == 2
    assert "give --billing_project PROJECT" in capfd.readouterr().err
    paid.met.clear()
    assert main([*job, "--billing_project=payer"]) == 0
    assert paid.met == []
    FileSystems.set_options(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GS_USER_PROJECT", "payer")
        assert main(["status", f"{cloud}/out"]) == 0
    assert paid.met == []


@pytest.mark.parametrize("value", ["requester", None])
def test_s3_says_who_pays_if_asked(buckets, monkeypatch, tmp_path, value):
    if value:
        monkeypatch.setenv("AWS_REQUEST_PAYER", value)
    with faulty_proxy("AWS_ENDPOINT_URL") as proxy:
        use_everything(f"{buckets['s3']}/paid", tmp_path)
        assert len(proxy.headers) > 12
        assert {headers.get("x-amz-request-payer") for headers in proxy.headers} == {value}
        if value:
            signed = {"x-amz-request-payer" in one["authorization"] for one in proxy.headers}
            assert signed == {True}
