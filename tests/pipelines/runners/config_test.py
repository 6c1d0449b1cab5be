"""Runner configs and Beam's options: unknown names are refused, none is dropped."""

import types
from pathlib import Path

import pytest
import yaml
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    FlinkRunnerOptions,
    PortableOptions,
    PrismRunnerOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.runners.config import (
    CONFIGS,
    add_runner_arguments,
    cache_directory,
    config_names,
    parse_job,
)
from beamscope.transforms.problems import InputError

FETCHED = ("prism", "flink-job-server.jar")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache in which every runner has been fetched."""
    directory = tmp_path / "cache"
    directory.mkdir()
    for name in FETCHED:
        (directory / name).touch()
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(directory))
    return directory


def parse(*arguments):
    parser = Parser()
    parser.add_argument("--output")
    add_runner_arguments(parser)
    return parse_job(parser, arguments)


def runner_of(options):
    return options.view_as(StandardOptions).runner


@pytest.mark.parametrize("name", config_names())
def test_every_config_parses_with_nothing_left_over(name):
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    _, options = parse(f"--runner_config={name}")
    known = options.get_all_options(drop_default=False)
    for key in content:
        assert known.get(key) is not None, key
    assert runner_of(options) == content["runner"]


@pytest.mark.parametrize("name", config_names())
def test_no_config_names_a_machine(name):
    text = (CONFIGS / f"{name}.yaml").read_text()
    assert str(Path.home()) not in text
    assert not any(word.startswith("/") for word in text.split())


@pytest.mark.parametrize(
    ("arguments", "runner"),
    [
        ([], "apache_beam.runners.portability.fn_api_runner.FnApiRunner"),
        (["--runner=DirectRunner"], "DirectRunner"),
        (["--runner", "DirectRunner"], "DirectRunner"),
        (["--runner_config=prism"], "PrismRunner"),
        (["--runner_config=prism", "--runner=DirectRunner"], "DirectRunner"),
    ],
)
def test_which_runner(arguments, runner):
    _, options = parse(*arguments)
    assert runner_of(options) == runner


def test_a_config_of_ones_own(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("runner: PrismRunner\nexperiments: [one, two]\nsave_main_session: true\n")
    _, options = parse("--runner_config", str(config), "--experiments=three", "--output", "o")
    assert options.view_as(DebugOptions).experiments == ["one", "two", "three"]
    assert options.get_all_options()["save_main_session"] is True


def test_the_command_line_overrides_the_file():
    _, options = parse("--runner_config=direct_parallel", "--direct_num_workers=3")
    assert options.view_as(DirectOptions).direct_num_workers == 3


def test_flink_cluster_is_told_its_master():
    _, options = parse("--runner_config=flink_cluster", "--flink_master=jobs:8081")
    assert options.view_as(FlinkRunnerOptions).flink_master == "jobs:8081"
    assert options.view_as(PortableOptions).environment_type == "EXTERNAL"


def test_options_that_only_the_job_server_knows_reach_it():
    """A stand-in for the server describes what it takes, and the SDK sends what was given."""
    described = [
        beam_job_api_pb2.PipelineOptionDescriptor(
            name=name, type=beam_job_api_pb2.PipelineOptionType.INTEGER
        )
        for name in ("number_of_execution_retries", "execution_retry_delay", "max_bundle_size")
    ]
    server = types.SimpleNamespace(
        DescribePipelineOptions=lambda request, timeout: (
            beam_job_api_pb2.DescribePipelineOptionsResponse(options=described)
        )
    )
    _, options = parse("--runner_config=flink_cluster", "--execution_retry_delay=70")
    sent = JobServiceHandle(server, options).get_pipeline_options()
    assert sent["beam:option:number_of_execution_retries:v1"] == "10"
    assert sent["beam:option:execution_retry_delay:v1"] == "70"
    assert "beam:option:max_bundle_size:v1" not in sent
    assert sent["beam:option:parallelism:v1"] == "2"


def test_paths_lie_in_the_cache(cache):
    _, options = parse("--runner_config=prism")
    assert options.view_as(PrismRunnerOptions).prism_location == str(cache / "prism")


def test_a_runner_of_ones_own_needs_no_cache(cache):
    (cache / "prism").unlink()
    _, options = parse("--runner_config=prism", "--prism_location=/mine")
    assert options.view_as(PrismRunnerOptions).prism_location == "/mine"


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"BEAMSCOPE_CACHE": "/b", "XDG_CACHE_HOME": "/x"}, "/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/beamscope"),
        ({"HOME": "/h"}, "/h/.cache/beamscope"),
    ],
)
def test_cache_directory(monkeypatch, environment, directory):
    for name in ("BEAMSCOPE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(cache_directory()) == directory


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["--runer=X"], "unknown_flag", ["--runer", "--runner"]),
        (["--direct_num_worker=2"], "unknown_flag", ["--direct_num_workers"]),
        (["--paralelism", "2"], "unknown_flag", ["--paralelism 2", "--parallelism"]),
        (["--execution_retries_delay=2"], "unknown_flag", ["--execution_retry_delay"]),
        (["--parallelism=many"], "bad_option", ["many"]),
        (["stray"], "bad_option", ["'stray'"]),
        (["--runner_config=flinc"], "bad_config", ["flinc", "flink_cluster", "direct_parallel"]),
    ],
)
def test_parse_job_errors(arguments, kind, words):
    with pytest.raises(InputError) as raised:
        parse(*arguments)
    assert raised.value.kind == kind
    for word in words:
        assert word in raised.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("runer: DirectRunner", ["--runer", "--runner"]),
        ("flink_master: x\nparalelism: 2", ["--paralelism", "--parallelism"]),
        ("parallelism: many", ["many"]),
        ("- runner", ["mapping"]),
        ("runner: [", ["mine.yaml"]),
        ("prism_location: ${HOME}/prism", ["${HOME}", "${BEAMSCOPE_CACHE}"]),
    ],
)
def test_config_errors(tmp_path, content, words):
    config = tmp_path / "mine.yaml"
    config.write_text(content)
    with pytest.raises(InputError) as raised:
        parse(f"--runner_config={config}")
    assert raised.value.kind == "bad_config"
    assert "\n" not in raised.value.message
    for word in [str(config), *words]:
        assert word in raised.value.message


@pytest.mark.parametrize("name", FETCHED)
def test_a_runner_that_was_not_fetched(cache, name):
    (cache / name).unlink()
    config = {"prism": "prism", "flink-job-server.jar": "flink_local"}[name]
    with pytest.raises(InputError) as raised:
        parse(f"--runner_config={config}")
    assert raised.value.kind == "missing_runner"
    assert str(cache / name) in raised.value.message
    assert "beamscope fetch-runners" in raised.value.message
