"""Where the workers are on other machines, the process that submits a job never loads a model."""

import json
import subprocess
import sys
from pathlib import Path

from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_settings import ModelSettings
from tests.inference import models

ROOT = Path(__file__).resolve().parents[3]
SUBMITS = """
import json, sys
from apache_beam.options.pipeline_options import PipelineOptions
from beamscope.pipelines.jobs.model import resolve_model
from beamscope.transforms.inference.model_settings import ModelSettings

# So that it is not known beforehand whether there is a GPU, and which precision workers have.
settings = ModelSettings(sys.argv[1], precision="float16")
spec = resolve_model(settings, PipelineOptions(["--runner", "DataflowRunner", "--require_gpu"]))
print(json.dumps([spec.to_json(), "tensorflow" in sys.modules]))
"""


def test_a_job_for_dataflow_is_submitted_without_tensorflow(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", models.feature_map)
    done = subprocess.run(
        [sys.executable, "-c", SUBMITS, uri],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    loaded = find_model(ModelSettings(uri, precision="float16")).load(computes_here=False)
    assert json.loads(done.stdout) == [loaded.spec.to_json(), False]
