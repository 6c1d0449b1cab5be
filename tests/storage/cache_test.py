"""The cache copies through `storage.files`, so that local files stand in for most remote ones."""

import fcntl
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    (folder / "s").mkdir(parents=True)
    (folder / "s.mrxs").write_bytes(b"m" * 100)
    (folder / "s" / "Data0.dat").write_bytes(b"d" * 200)
    for name in "abc":
        (folder / f"{name}.svs").write_bytes(name.encode() * 1000)
    return folder


def info(path):
    return files.FileInfo(str(path), path.stat().st_size)


def lease(cache, path):
    return cache.lease(str(path), [info(path)])


def entries(cache):
    return sorted(path for path in cache.directory.iterdir() if path.is_dir())


def test_a_copy_has_its_companions_about_it(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 10_000)
    wanted = [info(store / "s.mrxs"), info(store / "s" / "Data0.dat")]
    copy = cache.lease(str(store / "s.mrxs"), wanted).path
    assert copy.read_bytes() == b"m" * 100
    assert (copy.parent / "s" / "Data0.dat").read_bytes() == b"d" * 200


def test_a_second_lease_copies_nothing(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 10_000)
    wanted = [info(store / "a.svs")]
    first = cache.lease(str(store / "a.svs"), wanted)
    (store / "a.svs").unlink()
    second = cache.lease(str(store / "a.svs"), wanted)
    assert first.path == second.path
    assert second.path.read_bytes() == b"a" * 1000


def test_a_file_of_another_size_is_another_copy(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 10_000)
    first = lease(cache, store / "a.svs")
    (store / "a.svs").write_bytes(b"new")
    assert lease(cache, store / "a.svs").path.read_bytes() == b"new"
    assert first.path.read_bytes() == b"a" * 1000


def test_the_least_recently_used_copy_makes_room(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 2_500)
    for name in ("a", "b", "a", "c"):
        lease(cache, store / f"{name}.svs").release()
    assert len(entries(cache)) == 2
    (store / "a.svs").unlink()
    wanted = [files.FileInfo(str(store / "a.svs"), 1000)]
    assert cache.lease(str(store / "a.svs"), wanted).path.exists()


def test_a_copy_in_use_is_never_removed(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 2_500)
    held = [lease(cache, store / "a.svs"), lease(cache, store / "b.svs")]
    with pytest.raises(InputError) as caught:
        lease(cache, store / "c.svs")
    assert caught.value.kind == "cache_full"
    assert "1,000 bytes do not fit beside 2,000 in use, of 2,500" in caught.value.message
    assert all(copy.path.exists() for copy in held)
    held[0].release()
    assert lease(cache, store / "c.svs").path.exists()
    assert not held[0].path.exists()


def test_a_copy_that_fails_leaves_nothing_that_looks_whole(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 10_000)
    missing = files.FileInfo(str(store / "gone.svs"), 10)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            cache.lease(str(store / "a.svs"), [info(store / "a.svs"), missing])
    assert all(path.suffix == ".partial" for path in entries(cache))
    # What a dead process left half-made is begun anew.
    (store / "gone.svs").write_bytes(b"0123456789")
    copy = cache.lease(str(store / "a.svs"), [info(store / "a.svs"), missing])
    assert copy.path.exists()
    assert len(entries(cache)) == 1


def test_threads_that_want_the_same_file_copy_it_once(store, tmp_path, monkeypatch):
    opened = []
    copy_file = files.copy_file

    def counting(file, target):
        opened.append(file.path)
        threading.Event().wait(0.05)
        copy_file(file, target)

    monkeypatch.setattr(files, "copy_file", counting)
    cache = FileCache(tmp_path / "cache", 10_000)
    wanted = [info(store / "a.svs")]
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda _: cache.lease(str(store / "a.svs"), wanted), range(8)))
    assert len(opened) == 1
    assert len({copy.path for copy in leases}) == 1


def test_a_copy_that_another_makes_meanwhile_is_not_waited_for(store, tmp_path, monkeypatch):
    cache = FileCache(tmp_path / "cache", 10_000)
    flock, kept = fcntl.flock, []

    def late(lock, how):
        if how & fcntl.LOCK_EX and not kept:
            # Between a look for the copy and the lock, another thread makes it and keeps it.
            flock(lock, fcntl.LOCK_UN)
            kept.append(None)
            kept[:] = [lease(cache, store / "a.svs")]
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", late)
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(lease(cache, store / "a.svs")), daemon=True
    )
    waiting.start()
    waiting.join(20)
    assert [copy.path for copy in found] == [kept[0].path]


def test_own_folder_that_others_can_write_errors(store, tmp_path):
    cache = FileCache(tmp_path / "cache", 10_000, own=True)
    assert lease(cache, store / "a.svs").path.read_bytes() == b"a" * 1000
    cache.directory.chmod(0o777)
    with pytest.raises(InputError, match="can be written by others"):
        lease(cache, store / "a.svs")
    lease(FileCache(cache.directory, 10_000), store / "a.svs")


def test_a_remote_directory_and_its_next_version(bucket, tmp_path):
    cache = FileCache(tmp_path / "cache", 10_000, holds="models")
    uri = f"{bucket}/m[v2]"
    for name in ("saved_model.pb", "variables/variables.index"):
        files.write_bytes(f"{uri}/{name}", name.encode())
    files.write_bytes(f"{bucket}/mv/other", b"of a model that a glob might take it for")
    copy = cache.lease(uri, files.list_files(uri)).path
    assert copy.name == "m[v2]"
    assert (copy / "variables" / "variables.index").read_bytes() == b"variables/variables.index"
    assert cache.lease(f"{uri}/", files.list_files(uri)).path == copy
    # Of the same size, and yet another model.
    files.write_bytes(f"{uri}/saved_model.pb", b"saved_modeL.pb")
    new = cache.lease(uri, files.list_files(uri)).path
    assert (new / "saved_model.pb").read_bytes() == b"saved_modeL.pb"
    assert (copy / "saved_model.pb").read_bytes() == b"saved_model.pb"


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/../../../escaped"])
def test_a_name_that_leaves_the_cache_errors(store, tmp_path, name):
    cache = FileCache(tmp_path / "cache", 10_000)
    wanted = files.FileInfo(f"{store}/{name}", 1)
    with pytest.raises(InputError, match="no file can be called like that"):
        cache.lease(f"{store}/a", [wanted])
    assert not list(tmp_path.rglob("*escaped*"))


def _lease_and_read(directory, path, out):
    copy = FileCache(directory, 10_000).lease(str(path), [info(path)])
    out.put((str(copy.path), copy.path.stat().st_ino, len(copy.path.read_bytes())))


def test_processes_share_a_copy(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    workers = [
        context.Process(target=_lease_and_read, args=(tmp_path / "cache", store / "a.svs", out))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    found = {out.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(found) == 1
    assert found.pop()[2] == 1000
