import pytest

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files


def test_refusals() -> None:
    with (
        pytest.raises(InputError, match="--manifest it is gone") as caught,
        files.refusals(Kind.BAD_MANIFEST, "--manifest "),
    ):
        raise FileNotFoundError("it is\ngone")
    assert caught.value.kind == "bad_manifest"
