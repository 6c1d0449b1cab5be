"""The speed of reading byte ranges from stores on this machine, compared between clients.

    python -m benchmarks.storage [--store gs|s3] [--repeats N] [--megabytes N]

The stores are the emulators of the tests, gcp-storage-emulator and moto's server, each in its own
process. Both are slow, and equally slow for every client. So the table also has the processor time
that a client itself spends on a request. A third server answers any range at once from memory. It
shows the speed of the clients of s3:// with a fast store.

Every client reads the same ranges with 8 threads, at random places that do not overlap. The clients
read a round in turn, so that other load on the machine affects all alike. The figures are medians
of the rounds. obstore takes part if it is installed (`pip install obstore`). It cannot read from
gcp-storage-emulator, which has no XML API.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beamscope.transforms.storage import files
from beamscope.transforms.storage.remote_source import RemoteSource
from tests.gcs import free_port, gcs_emulator
from tests.s3 import s3_server

THREADS = 8
LENGTHS = (64 << 10, 1 << 20)
# Numbers of requests that make a round about equally long for both lengths.
REQUESTS = {64 << 10: 160, 1 << 20: 64}

Read = Callable[[int, int], bytes]


def ours(uri: str) -> Read:
    """Read like slides: one version of the object, one client per process."""
    return RemoteSource(uri).read


def beam(uri: str) -> Read:
    """Read with Beam's file system: one file per thread, because a file has one position."""
    FileSystems.set_options(_beam_options())
    local = threading.local()

    def read(offset: int, length: int) -> bytes:
        if not hasattr(local, "file"):
            local.file = FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
        local.file.seek(offset)
        return local.file.read(length)

    return read


def _beam_options() -> object:
    from apache_beam.options.pipeline_options import PipelineOptions

    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    flags = [] if endpoint is None else [
        f"--s3_endpoint_url={endpoint}", "--s3_region_name=us-east-1",
        "--s3_access_key_id=any", "--s3_secret_access_key=any",
    ]  # fmt: skip
    return PipelineOptions(flags)


def google(uri: str) -> Read:
    """Read with google-cloud-storage and its default pool of ten connections."""
    from google.cloud.storage import Client

    bucket, _, name = uri.removeprefix("gs://").partition("/")
    client = Client(project="none")

    def read(offset: int, length: int) -> bytes:
        blob = client.bucket(bucket).blob(name)
        return blob.download_as_bytes(
            start=offset, end=offset + length - 1, raw_download=True, checksum=None
        )

    return read


def boto(uri: str) -> Read:
    """Read with boto3 and its default pool of ten connections."""
    import boto3

    bucket, _, name = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")

    def read(offset: int, length: int) -> bytes:
        wanted = f"bytes={offset}-{offset + length - 1}"
        return client.get_object(Bucket=bucket, Key=name, Range=wanted)["Body"].read()

    return read


def obstore(uri: str) -> Read:
    """Read with obstore, which works outside the interpreter."""
    import obstore
    from obstore.store import S3Store

    bucket, _, name = uri.removeprefix("s3://").partition("/")
    store = S3Store(bucket, client_options={"allow_http": True})
    tag = obstore.head(store, name)["e_tag"]

    def read(offset: int, length: int) -> bytes:
        wanted = {"range": (offset, offset + length), "if_match": tag}
        return bytes(obstore.get(store, name, options=wanted).bytes())

    return read


WAYS: dict[str, dict[str, Callable[[str], Read]]] = {
    "gs": {"beamscope": ours, "google-cloud-storage": google, "Beam's FileSystems": beam},
    "s3": {"beamscope": ours, "boto3": boto, "obstore": obstore, "Beam's FileSystems": beam},
    "s3 from memory": {"beamscope": ours, "boto3": boto, "obstore": obstore},
}


class _FromMemory(BaseHTTPRequestHandler):
    """A minimal S3 server: HEAD, and GET of a range, of one object."""

    protocol_version = "HTTP/1.1"
    content = b""

    def do_HEAD(self) -> None:
        self._answer(200, b"", len(self.content))

    def do_GET(self) -> None:
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        part = self.content[start : end + 1]
        self._answer(206, part, len(part), f"bytes {start}-{end}/{len(self.content)}")

    def _answer(self, status: int, body: bytes, length: int, span: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", '"one"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def _serve_from_memory(port: int, content: bytes) -> None:
    _FromMemory.content = content
    ThreadingHTTPServer(("127.0.0.1", port), _FromMemory).serve_forever()


def _serve_gs(directory: str, content: bytes, pipe: multiprocessing.connection.Connection) -> None:
    with gcs_emulator(Path(directory)) as bucket:
        names = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")
        files.write_bytes(f"{bucket}/large.bin", content)
        pipe.send((f"{bucket}/large.bin", {name: os.environ[name] for name in names}))
        pipe.recv()


@contextlib.contextmanager
def served(store: str, content: bytes) -> Iterator[str]:
    """Run a store in its own process, and yield the uri of an object in it."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        if store == "gs":
            here, there = context.Pipe()
            process = context.Process(target=_serve_gs, args=(directory, content, there))
            process.start()
            uri, variables = here.recv()
            os.environ.update(variables)
            yield uri
            here.send(None)
            process.join()
            return
        with s3_server(Path(directory)) as bucket:
            if store == "s3":
                files.write_bytes(f"{bucket}/large.bin", content)
                yield f"{bucket}/large.bin"
                return
            port = free_port()
            process = context.Process(target=_serve_from_memory, args=(port, content))
            process.start()
            os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
            time.sleep(3)
            yield f"{bucket}/large.bin"
            process.terminate()
            process.join()


def places(size: int, length: int, requests: int, seed: int) -> list[int]:
    """Return offsets in random order. Their ranges do not overlap while there are enough."""
    every = list(range(0, size - length + 1, length))
    chosen = random.Random(seed)
    return [place for _ in range(-(-requests // len(every))) for place in
            chosen.sample(every, len(every))][:requests]  # fmt: skip


def measure(read: Read, offsets: list[int], length: int, content: bytes) -> tuple[float, float]:
    """Read ranges with 8 threads; return wall seconds and processor seconds of this process."""
    with ThreadPoolExecutor(THREADS) as threads:
        start, busy = time.perf_counter(), time.process_time()
        found = list(threads.map(lambda offset: read(offset, length), offsets))
        taken = time.perf_counter() - start, time.process_time() - busy
    for offset, data in zip(offsets, found, strict=True):
        assert data == content[offset : offset + length], offset
    return taken


def compare(store: str, content: bytes, repeats: int) -> None:
    with served(store, content) as uri:
        reads = {}
        for name, way in WAYS[store].items():
            try:
                reads[name] = way(uri)
            except ImportError as error:
                print(f"  {name}: {error}")
        for length in LENGTHS:
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in reads}
            for repeat in range(repeats + 1):
                offsets = places(len(content), length, REQUESTS[length], repeat)
                for name, read in reads.items():
                    figures = measure(read, offsets, length, content)
                    if repeat:  # The first round opens the connections.
                        taken[name].append(figures)
            print(f"{store}, ranges of {length >> 10} KiB, {THREADS} threads, {repeats} rounds")
            for name, figures in taken.items():
                wall = statistics.median(seconds for seconds, _ in figures)
                busy = statistics.median(seconds for _, seconds in figures)
                rate = REQUESTS[length] / wall
                print(
                    f"  {name:<22} {rate:7.0f} requests/s {rate * length / 1e6:8.1f} MB/s "
                    f"{busy / REQUESTS[length] * 1e3:7.2f} ms of processor a request"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", choices=tuple(WAYS), nargs="+", default=list(WAYS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=16)
    args = parser.parse_args()
    content = random.Random(0).randbytes(args.megabytes << 20)
    for store in args.store:
        compare(store, content, args.repeats)


if __name__ == "__main__":
    main()
