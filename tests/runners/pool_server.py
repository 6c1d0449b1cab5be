"""Beam's worker pool on one loopback address; Beam's own command listens on every address.

usage: python -m tests.runners.pool_server ADDRESS:PORT
"""

import signal
import sys

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance


def main(address: str) -> None:
    """Serves until it is interrupted."""
    server = grpc.server(shared_unbounded_instance())
    # As Beam's command starts it: a process for each worker, each element sent at once.
    pool = BeamFnExternalWorkerPoolServicer(use_process=True, data_buffer_time_limit_ms=-1)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(address)
    server.start()
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main(sys.argv[1])
