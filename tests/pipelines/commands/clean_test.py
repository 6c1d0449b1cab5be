"""`beamscope clean`: what is removed, what stays, and what a later start does."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import beamscope
from beamscope.pipelines.main import main
from beamscope.transforms.output.leases.held import held
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.s3 import s3_server
from tests.xrays.models import save_grid_model


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for number in range(3):
        spec = SampleSlide(width=700, height=600, mpp=0.5, seed=number)
        write_sample_slide(folder / f"s{number}.svs", spec)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_grid_model(tmp_path_factory.mktemp("model") / "grid")


def embed(inputs, model, output, *more):
    command = ["slides", "--input", *inputs, "--model", model, "--output", output, *more]
    return main([*map(str, command)])


@pytest.fixture(scope="module")
def finished(slides, model, tmp_path_factory):
    """The output of two slides, with plans of other settings."""
    output = tmp_path_factory.mktemp("finished") / "out"
    inputs = [slides / "s0.svs", slides / "s1.svs"]
    planned = ["plan", "slides", "--input", *inputs, "--output", output, "--input_size", 16,
               "--page_slides", 0]  # fmt: skip
    assert main([*map(str, planned)]) == 0
    assert embed(inputs, model, output) == 0
    return output


@pytest.fixture
def output(finished, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(finished, copy)
    return copy


def files_of(output):
    found = (path for path in output.rglob("*") if path.is_file())
    return {str(path.relative_to(output)): path.read_bytes() for path in found}


def dataset_of(names):
    return {name: names[name] for name in names if not name.startswith(".beamscope")}


def plan_fingerprint(output):
    record = json.loads((output / ".beamscope" / "run.json").read_text())
    return record["plan"]["fingerprint"]


def test_by_default_it_only_says_how_much_there_is(output, capsys):
    before = files_of(output)
    assert main(["clean", str(output)]) == 0
    printed = capsys.readouterr().out
    assert files_of(output) == before
    blocks = [
        len(data) for name, data in before.items() if f"{plan_fingerprint(output)}/parts" in name
    ]
    assert f"{sum(blocks) / 1000:,.1f} kB  finished blocks, {len(blocks)} files" in printed
    assert "work of other settings" in printed
    rows = json.loads(before["dataset.json"])["counts"]["rows"]
    assert f"all of 2 slides must be embedded again: {rows:,} patches" in printed
    assert "give --yes to remove it" in printed


def test_the_dataset_stays_and_what_it_does_not_need_goes(slides, model, output, capsys):
    before, plan = files_of(output), plan_fingerprint(output)
    rows = beamscope.open_dataset(output).items.to_pylist()
    assert main(["clean", str(output), "--yes"]) == 0
    assert "removed from" in capsys.readouterr().out
    after = files_of(output)
    assert dataset_of(after) == dataset_of(before)
    gone = {name for name in set(before) - set(after) if "/lease/" not in name}
    work = {name: name.split("/")[1:] for name in before if name.startswith(".beamscope/")}
    assert gone == {
        name
        for name, (top, *below) in work.items()
        if top == "logs"
        or (top == plan and below[0] in ("parts", "tries"))
        or (below and top not in (plan, "lease"))
    }
    assert {name.split("/")[1] for name in gone} >= {"logs", plan}
    assert any(f"/{plan}/parts/" in name for name in gone)
    assert any(f"/{plan}/plans/" in name for name in after)
    assert main(["verify", str(output)]) == 0
    assert beamscope.open_dataset(output).items.to_pylist() == rows
    assert main(["status", str(output)]) == 0
    assert "the finished blocks were removed on 20" in capsys.readouterr().out
    # The same command has nothing to do, and needs no block for that.
    assert embed([slides / "s0.svs", slides / "s1.svs"], model, output) == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    assert main(["clean", str(output)]) == 0
    assert "Its finished blocks were removed on 20" in capsys.readouterr().out


def test_adding_afterwards_is_refused_until_all_is_to_be_embedded_again(
    slides, model, output, tmp_path, capsys
):
    assert main(["clean", str(output), "--yes"]) == 0
    before = files_of(output)
    for more in ([], ["--add"], ["--dry_run"], ["--only", "assemble"], ["--part", "1/2"]):
        assert embed([slides], model, output, *more) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert "its finished blocks were removed on 20" in line
        assert "all 3 slides have to be done again: give --overwrite" in line
    assert files_of(output) == before
    assert embed([slides / "s0.svs", slides / "s1.svs"], model, output, "--num_shards", 2) == 2
    assert embed([slides], model, output, "--overwrite") == 0
    assert embed([slides], model, tmp_path / "fresh") == 0
    for path in sorted((tmp_path / "fresh").glob("**/*.parquet")):
        other = output / path.relative_to(tmp_path / "fresh")
        assert pq.read_table(path).equals(pq.read_table(other))
    # It has blocks again: another number of shards costs nothing.
    assert embed([slides], model, output, "--num_shards", 2) == 0


def test_an_unfinished_dataset_is_left_alone(slides, model, output, capsys):
    embedded = [slides / "s0.svs", slides / "s1.svs"]
    assert embed([*embedded, slides / "s2.svs"], model, output, "--only", "embed") == 0
    before = files_of(output)
    for yes in ([], ["--yes"]):
        assert main(["clean", str(output), *yes]) == 2
        assert "its dataset is not complete" in capsys.readouterr().err
    names = {name for name in files_of(output) if "/lease/" not in name}
    assert names == {name for name in before if "/lease/" not in name}
    assert main(["clean", str(output), "--unfinished"]) == 0
    assert "what is embedded so far of 3 slides is lost" in capsys.readouterr().out
    (output / "dataset.json").unlink()
    assert main(["clean", str(output), "--unfinished", "--yes"]) == 0
    # There was no dataset that could be lost: the command just does all of it.
    assert embed([slides], model, output) == 0


def test_a_damaged_dataset_is_left_alone(output, capsys):
    (shard,) = output.glob("embeddings/*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main(["clean", str(output), "--yes"]) == 2
    assert "1 files of its dataset are damaged" in capsys.readouterr().err
    assert list(output.glob(".beamscope/*/parts/**/*.arrow"))


@pytest.mark.parametrize("slot", ["all", "part-2-of-3"])
def test_nothing_is_removed_while_a_job_runs(output, capsys, slot):
    with held(str(output), "a job", slot=slot):
        assert main(["clean", str(output), "--yes"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "is writing" in line
    assert list(output.glob(".beamscope/*/parts/**/*.arrow"))


def test_only_an_output_is_cleaned(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    assert main(["clean", str(tmp_path), "--yes"]) == 2
    assert "is not the output of a beamscope job" in capsys.readouterr().err
    assert (tmp_path / "logs").exists()


@pytest.mark.server
@pytest.mark.parametrize(
    ("server", "note"), [(gcs_emulator, "soft delete"), (s3_server, "version")]
)
def test_in_a_bucket(finished, tmp_path, capsys, server, note):
    with server(tmp_path) as bucket:
        root = f"{bucket}/out"
        for name, data in files_of(Path(finished)).items():
            files.write_bytes(f"{root}/{name}", data)
        assert main(["clean", root, "--yes"]) == 0
        assert note in capsys.readouterr().out
        left = {file.path.removeprefix(f"{root}/") for file in files.list_files(root)}
        assert not [name for name in left if "/parts/" in name or "/logs/" in name]
        assert set(dataset_of(dict.fromkeys(left))) == set(dataset_of(files_of(Path(finished))))
        assert main(["verify", root]) == 0
        assert beamscope.open_dataset(root).items.num_rows == 2
