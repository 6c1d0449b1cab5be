"""`beamscope plan`: from disk, through the command line, to disk; and the job after it."""

import json
import logging
import shlex
import shutil
import tarfile

import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.shared_data import shared

PX = 64


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two good slides, one without tissue, one without a resolution, and one that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        write_sample_slide(folder / f"{name}.svs", SampleSlide(1200, 1000, mpp=0.5, seed=seed))
    (folder / "broken.svs").write_text("<html>404 Not Found</html>")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, PX, PX, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    path = tmp_path_factory.mktemp("model") / "mean-colour"
    tf.saved_model.save(MeanColour(), str(path))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Rates of other runs play no part."""
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))


def run(*arguments):
    return main([str(argument) for argument in arguments])


def planned(output):
    return json.loads((output / "plan" / "plan.json").read_text())


def test_the_job_plans_nothing_again(slides, model, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ("--input", slides, "--output", output, "--patch_size", PX, "--min_tissue", 0.4)
    assert run("plan", "slides", *flags) == 0
    printed = capsys.readouterr().out
    assert "3: 2 planned, 1 will fail; planned: 3 now, 0 before" in printed
    said = planned(output)
    assert run("plan", "slides", *flags) == 0
    # One that failed is always tried again.
    assert "planned: 1 now, 2 before" in capsys.readouterr().out

    assert run("slides", *flags, "--model", model, "--max_failed", 1) == 0
    counters = json.loads((output / "dataset.json").read_text())["counters"]
    assert (counters["slides_planned"], counters["slides_planned_before"]) == (1, 2)
    assert counters["blocks_embedded"] == 2
    table = {row["slide_id"]: row for row in pq.read_table(output / "slides.parquet").to_pylist()}
    assert said["patches"] == sum(row["patches_embedded"] for row in table.values()) > 20
    of_plan = pq.read_table(output / "plan" / "slides.parquet").to_pylist()
    assert {row["item_id"]: row["rows"] for row in of_plan} == {
        name: row["patches_planned"] for name, row in table.items()
    }
    # Planning once more changes no record of what is embedded, and other settings are refused.
    before = read_run_record(str(output))
    assert run("plan", "slides", *flags) == 0
    assert read_run_record(str(output)) == before
    capsys.readouterr()
    assert run("plan", "slides", *flags[:-1], 0.1) == 2
    assert "min_tissue was 0.4 and is now 0.1" in capsys.readouterr().err
    assert read_run_record(str(output)) == before


def test_what_is_said_adds_up(slides, tmp_path, capsys):
    output = tmp_path / "out"
    assert run("plan", "slides", "--input", slides, "--output", output, "--patch_size", PX,
               "--features", 100, "--dtype", "float16", "--images_per_second", 2,
               "--block_size", 32, "--num_shards", 3, "--json") == 0  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert said == planned(output)
    funnel = said["funnel"]
    # 1200 x 1000 px hold 18 x 15 patches of 64.
    assert funnel["candidates"] == 2 * 18 * 15
    assert funnel["taken"] == said["patches"]
    assert sum(funnel.values()) == 2 * funnel["candidates"]
    rows = [row["rows"] for row in pq.read_table(output / "plan" / "slides.parquet").to_pylist()]
    assert said["patches"] == sum(rows)
    assert said["blocks"] == sum(-(-count // 32) for count in rows)
    assert said["shards"] == 3
    assert said["estimate"]["hours"] == pytest.approx(said["patches"] / 2 / 3600)
    # A part in float32 and a shard in float16.
    assert said["bytes_to_write"] == said["patches"] * (400 + 40 + 200 + 40)
    size = sum(path.stat().st_size for path in slides.iterdir())
    assert 0 < said["bytes_to_read"] < size
    assert said["failed"]["broken"]["kind"] == "not_a_slide"
    assert set(said["poor"]) == {"white", "black", "grey", "blurred", "ink"}


def test_a_slide_that_will_fail_has_a_remedy(tmp_path, capsys):
    slide = shared("data/slides/tcga-cr-7395-01a-01-ts1.svs")
    output = tmp_path / "out"
    assert run("plan", "slides", "--input", slide, "--output", output) == 0
    printed = capsys.readouterr().out
    assert "1: 0 planned, 1 will fail" in printed
    assert "remedy: give mpp in a manifest, or --assume_mpp" in printed
    failed = planned(output)["failed"]["tcga-cr-7395-01a-01-ts1"]
    assert (failed["kind"], "--assume_mpp" in failed["remedy"]) == ("missing_mpp", True)


def test_planning_again_with_other_settings_is_free(slides, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ("plan", "slides", "--input", slides / "a.svs", "--output", output, "--patch_size", PX)
    assert run(*flags) == 0
    assert run(*flags, "--tissue_threshold", 0.2, "--drop", "white", "grey") == 0
    assert "planned: 1 now, 0 before" in capsys.readouterr().out
    assert {"white", "grey"} < set(planned(output)["funnel"])
    assert run(*flags) == 0
    assert "planned: 0 now, 1 before" in capsys.readouterr().out


def test_tissue_goes_to_qupath_and_comes_back(slides, tmp_path, capsys):
    flags = ("--input", slides / "a.svs", slides / "b.svs", "--patch_size", PX)
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("plan", "slides", *flags, "--output", first, "--geojson") == 0
    assert "2 files in" in capsys.readouterr().out
    assert run("plan", "slides", *flags, "--output", second, "--page_slides", 0,
               "--masks", first / "plan" / "geojson") == 0  # fmt: skip
    assert not (second / "plan" / "index.html").exists()
    assert planned(second)["patches"] == planned(first)["patches"] > 20
    steps = planned(first)["funnel"]
    assert planned(second)["funnel"]["outside_mask"] == steps["outside_tissue"]


def test_the_page_is_there_and_says_what_it_leaves_out(slides, tmp_path, capsys):
    output = tmp_path / "out"
    assert run("plan", "slides", "--input", slides, "--output", output, "--patch_size", PX,
               "--page_slides", 1) == 0  # fmt: skip
    assert f"{output}/plan/index.html, 1 of 3 slides" in capsys.readouterr().out
    page = (output / "plan" / "index.html").read_text()
    assert "not on this page (--page_slides): 2" in page


def test_a_rate_of_check_model_goes_first(slides, model, tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO, "beamscope.job")
    flags = ("plan", "slides", "--input", slides / "a.svs", "--output", tmp_path / "out",
             "--model", model)  # fmt: skip
    assert run(*flags) == 0
    assert "its rate is not known; `beamscope check-model" in capsys.readouterr().err
    assert "its rate is not known" in caplog.text
    assert run("check-model", model, "--compile", "none") == 0
    assert run(*flags) == 0
    estimate = planned(tmp_path / "out")["estimate"]
    assert estimate["rate"]["source"].startswith("measured by check-model, none, float32, ")
    # It knows the size of the input and the length of an embedding, too.
    assert planned(tmp_path / "out")["settings"]["patch_px"] == PX
    assert planned(tmp_path / "out")["features"] == 3


def test_the_next_command_is_the_job_with_the_same_settings(slides, model, tmp_path, capsys):
    output = tmp_path / "out"
    assert run("plan", "slides", "--input", slides / "a.svs", "--output", output, "--features", 3,
               "--patch_size", PX, "--workers", 2, "--json", "--page_slides=0") == 0  # fmt: skip
    command = shlex.split(planned(output)["command"])
    assert command[:2] == ["beamscope", "slides"]
    assert command[-2:] == ["--model", "MODEL"]
    capsys.readouterr()
    assert main([*command[1:-1], str(model)]) == 0
    counters = json.loads((output / "dataset.json").read_text())["counters"]
    assert (counters.get("slides_planned", 0), counters["slides_planned_before"]) == (0, 1)


def test_films(tmp_path, capsys):
    folder = shared("data/xrays/dicom")
    output = tmp_path / "out"
    assert run("plan", "xrays", "--input", folder, "--output", output, "--runner_config",
               "dataflow_l4") == 0  # fmt: skip
    printed = capsys.readouterr().out
    said = planned(output)
    assert said["films"] == said["funnel"]["taken"] > 3
    assert said["settings"]["size"] == 448
    assert said["bytes_to_read"] == sum(
        path.stat().st_size for path in folder.rglob("*.dcm")
    )  # fmt: skip
    assert "not known: no throughput of nvidia-l4 is known: give --images_per_second" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["knitting"], "knitting: is no job; the jobs are slides"),
        (["slides"], "the following arguments are required: --output"),
        (["slides", "--input", "DIR", "--output", "OUT", "--overwrite"], "--overwrite: is a flag"),
        (["slides", "--input", "DIR", "--output", "OUT", "--mpp", "20"], "--magnification 20x"),
        (["slides", "--input", "DIR", "--output", "OUT", "--workers", "0"], "--workers must be"),
        (["slides", "--input", "DIR", "--output", "OUT", "--costs", "none.yaml"], "--costs none"),
        (["slides", "--input", "none", "--output", "OUT"], "--input none: matches no slide"),
        (["slides", "--input", "DIR", "--output", "OUT", "--model", "none"], "no such file"),
        (["slides", "--input", "DIR", "--output", "OUT", "--tisue", "otsu"], "did you mean --tiss"),
    ],
)
def test_what_is_typed_wrong_is_one_line(slides, tmp_path, capsys, arguments, message):
    output = tmp_path / "out"
    filled = [
        argument.replace("DIR", str(slides)).replace("OUT", str(output)) for argument in arguments
    ]
    assert run("plan", *filled) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("beamscope plan: ")
    assert error.count("\n") == 1
    assert not output.exists()


def test_help(capsys):
    assert run("plan", "--help") == 0
    assert "JOB is one of: slides, xrays" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run("plan", "slides", "--help")
    assert "--page_slides" in capsys.readouterr().out


def test_a_tar_gz_is_not_known_before_it_is_read(tmp_path, capsys):
    path = tmp_path / "films.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(shared("data/xrays/dicom"), "films")
    assert run("plan", "xrays", "--input", path, "--output", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "films.tar.gz  not known before it is read" in printed
    assert "films      0, and those of 1 source that only reading tells" in printed
    said = planned(tmp_path / "out")
    assert said["not_known_before_reading"] == 1
    assert said["bytes_to_read"] == path.stat().st_size


def test_what_a_job_has_planned_is_not_measured(slides, model, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ("--input", slides / "a.svs", "--output", output, "--patch_size", PX)
    assert run("slides", *flags, "--model", model) == 0
    assert run("plan", "slides", *flags) == 0
    assert "quality    not measured of 1 slide that a job has planned" in capsys.readouterr().out
    assert planned(output)["planned_before"] == 1


def with_card(model, folder, card):
    shutil.copytree(model, folder)
    (folder / "beamscope.yaml").write_text(card)
    return folder


def test_a_card_says_what_is_planned_for(slides, model, tmp_path, capsys):
    path = with_card(model, tmp_path / "m", f"input_size: {PX}\nfeatures: 3\nlicense: ours\n")
    flags = ("--input", slides / "a.svs", "--output", tmp_path / "out", "--model", path)
    assert run("plan", "slides", *flags) == 0
    assert f"model card {path}/beamscope.yaml: ours" in capsys.readouterr().err
    said = planned(tmp_path / "out")
    assert said["settings"]["patch_px"] == PX
    assert said["bytes_to_write"] == said["patches"] * 2 * (12 + 40)
    # A flag counts before the card, and the job takes the plan as it is.
    assert run("slides", *flags) == 0
    counters = json.loads((tmp_path / "out" / "dataset.json").read_text())["counters"]
    assert counters["slides_planned_before"] == 1
    assert run("plan", "slides", *flags[:2], "--output", tmp_path / "more", *flags[4:],
               "--input_size", 128) == 0  # fmt: skip
    assert planned(tmp_path / "more")["settings"]["patch_px"] == 128


def test_a_preset_without_a_model(slides, tmp_path, capsys):
    flags = ("--input", slides / "a.svs", "--output", tmp_path / "out", "--preset", "conch")
    assert run("plan", "slides", *flags) == 0
    assert "model card preset conch: CC-BY-NC-ND 4.0" in capsys.readouterr().err
    assert planned(tmp_path / "out")["settings"]["patch_px"] == 448
    assert run("plan", "slides", *flags, "--model_card", "c.yaml") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_images_are_planned_to_be_resized_as_the_job_does(model, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (80, 80), "teal").save(tmp_path / "images" / f"{name}.png")
    path = with_card(model, tmp_path / "m", f"input_size: {PX}\nresize: bicubic\n")
    flags = ("--input", tmp_path / "images", "--output", tmp_path / "out", "--model", path)
    assert run("plan", "images", *flags) == 0
    assert planned(tmp_path / "out")["settings"]["fit"] == "bicubic"
    assert run("images", *flags) == 0
    assert "images of another size are fitted by resize: bicubic" in capsys.readouterr().err
    counters = json.loads((tmp_path / "out" / "dataset.json").read_text())["counters"]
    assert counters["sources_planned_before"] == 1


def test_models_of_other_sizes(slides, model, tmp_path, capsys):
    one = with_card(model, tmp_path / "one", f"input_size: {PX}\nfeatures: 3\nresize: bilinear\n")
    two = with_card(model, tmp_path / "two", "input_size: 96\nfeatures: 5\n")
    flags = ("--input", slides / "a.svs", "--output", tmp_path / "out")
    models = ("--model", one, "--model", two)
    assert run("plan", "slides", *flags, *models) == 2
    assert "takes images of 64 px and" in capsys.readouterr().err.splitlines()[-1]
    assert run("plan", "slides", *flags, *models, "--patch_size", 80) == 2
    assert f"{two}: takes images of 96 px and patches have 80" in capsys.readouterr().err
    (two / "beamscope.yaml").write_text("input_size: 96\nfeatures: 5\nresize: bicubic\n")
    assert run("plan", "slides", *flags, *models, "--patch_size", 80) == 0
    said = planned(tmp_path / "out")
    assert said["settings"]["patch_px"] == 80
    assert said["bytes_to_write"] == said["patches"] * 2 * (32 + 40)
