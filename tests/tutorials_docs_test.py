"""Run the commands and programs of the tutorials, and the refused commands of the questions."""

import csv
import json
import re
import shlex
import zipfile
from pathlib import Path

import openslide
import pandas as pd
import pytest

import beamscope as bs
from beamscope.pipelines.main import main
from beamscope.transforms.problem_kinds import Kind
from tests.shared_data import shared

DOCS = Path(__file__).resolve().parents[1] / "docs"
FAQ = (DOCS / "faq.md").read_text()
CHEXPERT = (
    "Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Enlarged Cardiomediastinum",
    "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
# Fewer draws and resamples than the page's, for time.
QUICK = ["--draws", "1", "--bootstrap", "100", "--fractions", "10,100"]


def run(page, names):
    """Run every block of a page in the current folder; return what its programs have defined."""
    for language, text in re.findall(r"```(sh|python)\n(.*?)```", (DOCS / page).read_text(), re.S):
        if language == "python":
            exec(compile(text, page, "exec"), names)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line)
            assert program == "beamscope"
            quick = QUICK if arguments[0] == "probe" else []
            assert main([*arguments, *quick]) == 0, line
    return names


def table_of(page):
    """The table that a page tells its reader to write."""
    (text,) = re.findall(r"```text\n(.*?)```", (DOCS / page).read_text(), re.S)
    return text


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder in which the tutorial of slides was done, and what its programs have defined."""
    folder = tmp_path_factory.mktemp("study")
    manifest = table_of("tutorial_slides.md")
    (folder / "slides.csv").write_text(manifest)
    (folder / "SLIDES").mkdir()
    for row in csv.DictReader(manifest.splitlines()):
        name = Path(row["uri"]).name
        (folder / row["uri"]).symlink_to(shared(f"data/slides/{name}"))
    (folder / "SIXTH.svs").symlink_to(shared("data/slides/CMU-1-Small-Region.svs"))
    (folder / "MODEL").symlink_to(shared("models/squeezenet11-imagenet"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        return folder, run("tutorial_slides.md", {})


def check_the_five_slides(folder, found):
    slides = pd.read_parquet(folder / "STUDY" / "slides.parquet").set_index("slide_id")
    assert slides["status"].tolist() == ["done"] * 6
    assert slides.loc["neck1", ["patient", "label"]].tolist() == ["P3", "neck"]
    # The plan said before what the page says that it says.
    plan = pd.read_parquet(folder / "STUDY" / "plan" / "slides.parquet")
    assert plan["kind"].dropna().tolist() == ["missing_mpp"]
    assert found["embeddings"].shape[1] == 512
    assert set(found["means"]) == set(slides.index) - {"SIXTH"}
    # 1 µm/px by the file's own resolution, read by OpenSlide.
    with openslide.OpenSlide(str(folder / "SIXTH.svs")) as slide:
        mpp = float(slide.properties[openslide.PROPERTY_NAME_MPP_X])
    assert found["rows"]["size_level0"][0].as_py() == round(224 / mpp)
    assert (folder / "STUDY" / "report.html").stat().st_size > 100_000
    assert json.loads((folder / "QUPATH" / "region.geojson").read_text())["features"]


@pytest.mark.slow
def test_the_films_with_labels(tmp_path, monkeypatch):
    kermany = shared("data/xrays/kermany/train")
    kinds = ("NORMAL", "PNEUMONIA")
    films = [film for kind in kinds for film in sorted((kermany / kind).iterdir())[:30]]
    with (
        zipfile.ZipFile(tmp_path / "CheXpert-v1.0-small.zip", "w") as archive,
        (tmp_path / "train.csv").open("w", newline="") as table,
    ):
        writer = csv.DictWriter(table, CHEXPERT, restval="")
        writer.writeheader()
        for number, film in enumerate(films):
            path = f"CheXpert-v1.0-small/train/patient{number:05}/study1/view1_frontal.jpg"
            archive.write(film, path)
            sick = "-1.0" if number == 59 else f"{film.parent.name == 'PNEUMONIA':.1f}"
            row = {"Path": path, "Frontal/Lateral": "Frontal", "AP/PA": "AP", "Pneumonia": sick}
            writer.writerow(row)
    (tmp_path / "FILMS" / "NORMAL").mkdir(parents=True)
    for film in films[:3]:
        (tmp_path / "FILMS" / "NORMAL" / film.name).symlink_to(film)
    (tmp_path / "films.csv").write_text(table_of("tutorial_films.md"))
    (tmp_path / "MODEL").symlink_to(shared("models/squeezenet11-imagenet"))
    monkeypatch.chdir(tmp_path)
    found = run("tutorial_films.md", {})
    assert found["findings"]["Pneumonia"].value_counts().to_dict() == {0: 30, 1: 29, -1: 1}
    images = pd.read_parquet("CHEST/images.parquet")
    assert images["status"].tolist() == ["done"] * 60
    # The films are easy: a first model finds most.
    metrics = json.loads(Path("PROBE/metrics.json").read_text())
    assert metrics["models"][0]["on"]["CHEST"]["metrics"]["auc"]["value"] > 0.85
    own = bs.open_dataset("OWN").images
    assert own["in_catalog"].to_pylist() == [True, False, False]
    assert own["patient_id"].to_pylist() == ["A", None, None]


REFUSED = re.findall(r"```console\n\$ beamscope (.*)\n(.*)\n```", FAQ)


def test_there_are_refused_commands():
    assert len(REFUSED) == FAQ.count("```console") > 5


# One test: it shares the study of the tutorial, which a second worker would make again.
@pytest.mark.slow
def test_the_five_slides_and_what_the_questions_say_is_refused(study, monkeypatch, capsys):
    folder, found = study
    check_the_five_slides(folder, found)
    monkeypatch.chdir(folder)
    for command, answer in REFUSED:
        capsys.readouterr()
        try:
            status = main(shlex.split(command))
        except SystemExit as error:
            status = error.code
        assert status == 2, command
        assert answer in capsys.readouterr().err
    assert not (folder / "NEW").exists()


RECIPES = [
    shlex.split(line)
    for text in re.findall(r"```sh\n(.*?)```", (DOCS / "howto.md").read_text(), re.S)
    for line in text.replace("\\\n", " ").splitlines()
    if "://" not in line  # Those ask a store.
]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: " ".join(recipe[1:4]))
def test_recipes_lack_nothing_but_the_files(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(recipe[1:]) == 2
    assert re.search(r": --input \S+: matches no ", capsys.readouterr().err)


PAGES = ("faq.md", "howto.md", "quickstart.md", "tutorial_slides.md", "tutorial_films.md")
# Options of Beam's and of Python's, which the package does not define.
FOREIGN = {"--project", "--region", "--temp_location"}


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_that_is_named_is_there(page):
    files = (DOCS.parent / "pipelines").rglob("*.py")
    defined = set(re.findall(r'"(--\w+)"', "".join(file.read_text() for file in files)))
    defined |= {"--width", "--height"}  # Of make-slide, which puts the dashes there itself.
    text = re.sub(r"```console.*?```", "", (DOCS / page).read_text(), flags=re.S)
    assert set(re.findall(r"--[a-z]\w+", text)) - defined <= FOREIGN


def test_every_kind_and_column_that_the_questions_name_is_there():
    columns = re.findall(r"^\| (\w+) \|", (DOCS / "formats.md").read_text(), re.M)
    known = {kind.value for kind in Kind} | set(columns) | {"read_region", "slide_id"}
    assert set(re.findall(r"`([a-z]\w*_\w+)`", FAQ)) <= known
