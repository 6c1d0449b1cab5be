"""Shares of a job, from the flag and from the variables of schedulers."""

import pytest

from beamscope.pipelines.options.extent import needs_model, share_from
from beamscope.transforms.output.share import Share
from beamscope.transforms.problems import InputError


def slurm(**values):
    return {f"SLURM_ARRAY_TASK_{name.upper()}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "environment", "share"),
    [
        ("1/1", {}, Share(1, 1)),
        ("2/16", {}, Share(2, 16)),
        ("16/16", slurm(id=1), Share(16, 16)),
        # --array=0-3, 1-4, 10-13, 0-15:5 (0, 5, 10, 15), 7, and 0-99%4 of 100 tasks
        ("auto", slurm(id=0, count=4, min=0, max=3, step=1), Share(1, 4)),
        ("auto", slurm(id=4, count=4, min=1, max=4, step=1), Share(4, 4)),
        ("auto", slurm(id=11, count=4, min=10, max=13), Share(2, 4)),
        ("auto", slurm(id=10, count=4, min=0, max=15, step=5), Share(3, 4)),
        ("auto", slurm(id=7, count=1, min=7, max=7, step=1), Share(1, 1)),
        ("auto/100", slurm(id=99, count=100, min=0, max=99, step=1), Share(100, 100)),
        ("auto/5", {"JOB_COMPLETION_INDEX": "0"}, Share(1, 5)),
        ("auto/5", {"JOB_COMPLETION_INDEX": "4"}, Share(5, 5)),
    ],
)
def test_share(text, environment, share):
    assert share_from(text, environment) == share


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/3", {}, "parts are counted from 1"),
        ("4/3", {}, "parts are counted from 1"),
        ("0/0", {}, "parts are counted from 1"),
        ("2", {}, "must be I/N"),
        ("-1/3", {}, "must be I/N"),
        ("a/b", {}, "must be I/N"),
        ("auto", {}, "neither SLURM_ARRAY_TASK_ID"),
        ("auto", slurm(id=1), "not _COUNT, _MIN and _MAX"),
        ("auto", slurm(id="x", count=2, min=0, max=1), "not _COUNT, _MIN and _MAX"),
        # --array=1,5,9: the last is where an array with a step would not end
        ("auto", slurm(id=5, count=3, min=1, max=9, step=1), "have gaps"),
        ("auto", slurm(id=3, count=4, min=0, max=15, step=5), "have gaps"),
        ("auto/3", slurm(id=0, count=4, min=0, max=3), "the array has 4 tasks, not 3"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "give auto/N with the completions"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}, "which is not from 0 to 1"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "x"}, "which is not from 0 to 1"),
    ],
)
def test_share_errors(text, environment, message):
    with pytest.raises(InputError) as error:
        share_from(text, environment)
    assert error.value.message.startswith(f"--part {text}: ")
    assert message in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ([], True),
        (["--only", "embed"], True),
        (["--only", "assemble"], False),
        (["--input", "x", "--only=assemble", "--add"], False),
        (["--only"], True),
    ],
)
def test_needs_model(arguments, needed):
    assert needs_model(arguments) is needed
