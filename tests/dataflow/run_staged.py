"""Run a job that was submitted to Dataflow, using only its staged files.

    python -m tests.dataflow.run_staged JOB.json DIRECTORY

JOB.json is what the service was sent. DIRECTORY holds the staged package, installed; the pipeline
is fetched from where the job says that it is staged. Two things differ from Dataflow: the workers
are threads of this process, not containers, and Beam's FnApiRunner hands out the work.
"""

import hashlib
import json
import sys
from pathlib import Path


def main(job_file: str, package: str) -> None:
    # Before anything of the job is imported: this checkout must not stand in for what was staged.
    sys.path.insert(0, package)
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability import common_urns
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    import beamscope
    from beamscope.transforms.storage import files

    assert Path(beamscope.__file__).is_relative_to(package), beamscope.__file__
    job = json.loads(Path(job_file).read_text())
    options = job["environment"]["sdkPipelineOptions"]["options"]
    content = files.read_bytes(options["pipelineUrl"])
    assert hashlib.sha256(content).hexdigest() == options["pipelineProtoHash"]
    pipeline = beam_runner_api_pb2.Pipeline.FromString(content)
    for environment in pipeline.components.environments.values():
        assert environment.urn == common_urns.environments.DOCKER.urn
        environment.urn = "beam:env:embedded_python:v1"
        environment.payload = b""
        del environment.dependencies[:]
    result = FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([]))
    assert result.wait_until_finish() == "DONE"


if __name__ == "__main__":
    main(*sys.argv[1:])
