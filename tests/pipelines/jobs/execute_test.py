"""What becomes of the errors of runners."""

import grpc
import pytest

from beamscope.pipelines.jobs.execute import _own_errors
from beamscope.transforms.problems import LostWorkerError


class Failure(grpc.RpcError, grpc.Call):
    """What gRPC raises when a call ends with a status."""

    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "Socket closed"

    initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = None


def test_a_runner_that_dies_is_a_lost_worker():
    with pytest.raises(LostWorkerError, match="Socket closed"), _own_errors():
        raise Failure(grpc.StatusCode.UNAVAILABLE)


def test_what_a_runner_refuses_is_an_error_of_its_own():
    with pytest.raises(Failure), _own_errors():
        raise Failure(grpc.StatusCode.INVALID_ARGUMENT)
