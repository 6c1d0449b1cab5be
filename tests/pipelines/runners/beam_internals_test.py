"""The servers that Beam starts on this machine."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc

from beamscope.pipelines.runners import beam_internals


def addresses(port):
    """The addresses of localhost that somebody listens to on a port."""
    found = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as client:
                client.connect((address, port))
        except OSError:
            continue
        found.append(address)
    return found


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as server:
            server.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_server_has_its_port_on_every_address_of_localhost(monkeypatch):
    taken = []
    free_port = beam_internals._free_port

    def taken_at_first():
        # Another program takes the port before gRPC does, on the second address alone.
        port, own = free_port()
        if not taken:
            other = socket.create_server(
                (own[-1].strip("[]"), port),
                family=socket.AF_INET6 if "[" in own[-1] else socket.AF_INET,
            )
            taken.append((port, other))
        return port, own

    monkeypatch.setattr(beam_internals, "_free_port", taken_at_first)
    with beam_internals.listening_here_only():
        server = grpc.server(ThreadPoolExecutor(1))
        port = server.add_insecure_port("[::]:0")
    server.start()
    try:
        ((other, held),) = taken
        held.close()
        assert port != other
        assert addresses(port) == (["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"])
    finally:
        server.stop(None).wait()
