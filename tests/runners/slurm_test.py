"""The scripts of docs/slurm.md, by a real Slurm of one node."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from beamscope.pipelines.main import main
from beamscope.pipelines.options.extent import share_from
from beamscope.transforms.output.share import Share
from beamscope.transforms.xrays.sample import write_sample_archive
from tests.runners.slurm_cluster import slurm, slurm_cluster
from tests.xrays.models import save_grid_model

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "slurm.md").read_text()
_SECONDS = 240


def block(first: str, language: str) -> str:
    """The block of the page that begins with a line."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    (text,) = [one for one in found if one.startswith(first)]
    return text


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm_cluster(tmp_path_factory.mktemp("slurm")):
        yield


def script(command: list[str]) -> str:
    """The page's script for this job on this machine, which has neither GPU nor Apptainer."""
    here = {
        "BEAMSCOPE": [sys.executable, "-m", "beamscope"],
        "JOB": command,
    }
    lines = []
    for line in block("#!/bin/bash\n#SBATCH --job-name=embed", "sh").splitlines():
        name = line.partition("=(")[0]
        if re.match(r"#SBATCH --(gpus|mem|cpus)", line):
            continue
        if name in here and line.endswith(")"):
            line = f"{name}=({' '.join(map(str, here.pop(name)))})"
        lines.append(line)
    assert not here
    return "\n".join([*lines, ""])


def wait_for(is_so) -> None:
    end = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < end, slurm("squeue")
        time.sleep(0.2)


def state(job: str) -> str:
    found = re.search(r"JobState=(\w+)", slurm("scontrol", "show", "job", job))
    return found[1] if found else "GONE"


@pytest.mark.usefixtures("cluster")
def test_an_array_one_task_of_which_meets_its_time_limit_and_the_job_after_it(tmp_path):
    model = save_grid_model(tmp_path / "grid")
    write_sample_archive(tmp_path / "x.zip", "zip", 320)
    own = ["xrays", "--input", tmp_path / "x.zip", "--block_size", 8, "--max_failed", 0.5]
    plain, output = tmp_path / "plain", tmp_path / "out"
    command = [*map(str, own), "--model", str(model), "--output"]
    assert main([*command, str(plain)]) == 0

    path = tmp_path / "embed.sbatch"
    path.write_text(script([*command, str(output)]))
    where = f"--chdir={tmp_path}"
    job = slurm("sbatch", "--parsable", "--array=0-2", where, str(path))
    assert job.isdecimal(), job
    last = slurm(
        "sbatch", "--parsable", f"--dependency=afterok:{job}", "--kill-on-invalid-dep=yes", where,
        f"--wrap={sys.executable} -m beamscope {' '.join(map(str, own))} --output {output} "
        "--only assemble",
    )  # fmt: skip
    wait_for(lambda: list(output.glob(".beamscope/lease/part-2-of-3/*")))
    # What --signal=B:TERM@120 does two minutes before the time limit.
    slurm("scancel", "--signal=TERM", "--batch", f"{job}_1")
    wait_for(lambda: "Restarts=1" in slurm("scontrol", "show", "job", f"{job}_1"))
    log = (tmp_path / f"embed-{job}_1.txt").read_text()
    assert "interrupted; the same command continues from here" in log
    # Slurm lets a requeued task wait for two minutes.
    wait_for(lambda: "PENDING" in state(f"{job}_1"))
    slurm("scontrol", "update", f"JobId={job}_1", "StartTime=now")
    wait_for(lambda: state(last) in ("COMPLETED", "FAILED", "CANCELLED", "GONE"))
    logs = {one.name: one.read_text() for one in tmp_path.glob("*.txt")}
    assert state(last) == "COMPLETED", logs
    for number in range(3):
        assert f"part      {number + 1}/3 of 1 source" in logs[f"embed-{job}_{number}.txt"]
    for name in ("images.parquet", "embeddings/embeddings-00000-of-00001.parquet"):
        one, other = pq.read_table(output / name), pq.read_table(plain / name)
        assert one.equals(other, check_metadata=True)


def test_the_script_is_one_for_bash():
    text = script(["slides", "--input", "x"])
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "apptainer" not in text


def test_the_job_of_kubernetes_has_as_many_tasks_as_parts():
    job = yaml.safe_load(block("apiVersion: batch/v1\nkind: Job", "yaml"))
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    part = container["args"][container["args"].index("--part") + 1]
    assert spec["completionMode"] == "Indexed"
    shares = [
        share_from(part, {"JOB_COMPLETION_INDEX": str(index)})
        for index in range(spec["completions"])
    ]
    count = spec["completions"]
    assert shares == [Share(number, count) for number in range(1, count + 1)]
