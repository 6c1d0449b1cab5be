import pickle

from beamscope.transforms.output.outcome import ItemOutcome
from tests.output.samples import problem_of


def test_outcomes_cross_stage_boundaries() -> None:
    outcome = ItemOutcome(
        "a", {"slide_id": "a", "status": "partial"}, (problem_of("a", 3),), ("parts/a/0",), 7
    )
    assert pickle.loads(pickle.dumps(outcome)) == outcome
