import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.runner_name import runner_name


@pytest.mark.parametrize(
    ("runner", "name"),
    [
        ("FlinkRunner", "flinkrunner"),
        ("flink", "flinkrunner"),
        ("apache_beam.runners.portability.flink_runner.FlinkRunner", "flinkrunner"),
        ("DataflowRunner", "dataflowrunner"),
        ("direct", "directrunner"),
        ("BundleBasedDirectRunner", "bundlebaseddirectrunner"),
    ],
)
def test_in_full(runner, name):
    assert runner_name(PipelineOptions(["--runner", runner])) == name


def test_none():
    assert runner_name(PipelineOptions([])) == ""
