"""A job on Flink checks that its cluster answers before anything starts."""

import contextlib

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.main import main
from beamscope.pipelines.runners.flink import check_flink
from beamscope.transforms.problems import InputError
from tests.http_server import QuietHandler, http_server
from tests.runners.worker_pool import free_port


class _Flink(QuietHandler):
    """Answers as a JobManager's REST interface does, as far as a job asks it beforehand."""

    def do_GET(self):
        self.send_response(200 if self.path == "/overview" else 404)
        self.end_headers()
        self.wfile.write(b"{}")


class _Other(_Flink):
    def do_GET(self):
        self.send_error(404, "no such page")


@pytest.fixture
def serve():
    with contextlib.ExitStack() as servers:
        yield lambda handler: f"127.0.0.1:{servers.enter_context(http_server(handler))}"


def options(runner, master):
    return PipelineOptions(["--runner", runner, *([f"--flink_master={master}"] if master else [])])


@pytest.mark.parametrize("prefix", ["", "http://"])
def test_a_cluster_that_answers(serve, prefix):
    check_flink(options("FlinkRunner", prefix + serve(_Flink)))


def test_a_runner_by_its_short_name_is_asked_too():
    with pytest.raises(InputError, match="--flink_master: give the cluster's HOST:PORT"):
        check_flink(options("flink", ""))


@pytest.mark.parametrize(
    ("runner", "master"),
    [("FlinkRunner", "[local]"), ("DirectRunner", ""), ("DataflowRunner", "127.0.0.1:1")],
)
def test_nothing_to_ask(runner, master):
    check_flink(options(runner, master))


def test_check_flink_errors(serve):
    nobody, other = f"127.0.0.1:{free_port()}", serve(_Other)
    for master, kind, words in [
        ("", "missing_option", ["--flink_master", "HOST:PORT"]),
        (nobody, "bad_option", [f"--flink_master {nobody}", "Connection refused"]),
        (other, "bad_option", [f"--flink_master {other}", "no such page"]),
        ("http://", "bad_option", ["--flink_master http://", "no host"]),
        ("jobs:here", "bad_option", ["--flink_master jobs:here"]),
    ]:
        with pytest.raises(InputError) as raised:
            check_flink(options("apache_beam.runners.FlinkRunner", master))
        assert raised.value.kind == kind
        assert "\n" not in raised.value.message
        for word in words:
            assert word in raised.value.message


@pytest.mark.parametrize("job", ["slides", "xrays"])
def test_jobs_ask_first(job, tmp_path, capsys):
    flags = ["--input", str(tmp_path), "--model", "m", "--output", str(tmp_path / "output")]
    assert main([job, *flags, "--runner=FlinkRunner", "--flink_master=127.0.0.1:1"]) == 2
    assert "--flink_master 127.0.0.1:1: no Flink answers there" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()
