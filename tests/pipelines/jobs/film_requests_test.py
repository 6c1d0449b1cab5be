"""What a job of many sources asks a store does not grow with the sources that are done."""

import pytest

from beamscope.transforms.storage import files
from beamscope.transforms.xrays.sample import sample_members, write_sample_archive
from benchmarks.requests import traffic_of
from tests.gcs import gcs_emulator
from tests.xrays.models import save_grid_model

COUNTS = (3, 6)
KINDS = ("zip", "tar", "tgz")


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """What a start asks for that finds all done, by number of archives."""
    folder = tmp_path_factory.mktemp("films")
    model = save_grid_model(folder / "model")
    names = {"zip": "zip", "tar": "tar", "tgz": "tar.gz"}
    for kind in KINDS:
        write_sample_archive(folder / f"films.{kind}", kind, 3)
    found = {}
    with gcs_emulator(folder) as bucket:
        for count in COUNTS:
            root = f"{bucket}/{count}"
            for number in range(count):
                kind = KINDS[number % 3]
                films = (folder / f"films.{kind}").read_bytes()
                files.write_bytes(f"{root}/in/films{number:02d}.{names[kind]}", films)
            folders = [f"{root}/folder{number}/" for number in range(count)]
            for folder_uri in (*folders, f"{root}/loose/"):
                for name, content in sample_members(3, seed=1):
                    files.write_bytes(f"{folder_uri}{name.rpartition('/')[2]}", content)
            job = ["xrays", "--input", f"{root}/in/*", *folders, f"{root}/loose/*.jpg"]
            job += ["--model", str(model), "--block_size=2"]
            job += ["--output", f"{root}/out", "--only", "embed"]
            traffic_of(job)
            # It writes the index of the films of each tar.gz, which are known only now.
            traffic_of(job)
            found[count] = traffic_of(job)
        yield found


def test_no_plan_and_no_block_is_asked_for(again):
    for traffic in again.values():
        named = [name for _, name in traffic.asked if "/plans/" in name or "/parts/" in name]
        # The listings of all plans and of all blocks.
        assert not [name for name in named if name.rpartition("/")[2]]


def test_no_film_of_a_folder_is_looked_at(again):
    for traffic in again.values():
        named = {name for kind, name in traffic.asked if kind != "list" and "*" not in name}
        assert not [name for name in named if name.endswith(".jpg")]


def test_archives_are_looked_at_and_not_read(again):
    for count, traffic in again.items():
        read = [(kind, name) for kind, name in traffic.asked if "/in/" in name and kind != "list"]
        assert {kind for kind, _ in read} == {"stat"}
        assert len({name for _, name in read if not name.endswith("*")}) == count
