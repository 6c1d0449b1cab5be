"""Slides that are damaged at random: each patch is as before, recorded, or what the bytes say."""

import random
import shutil

from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.campaign.children import Task
from tests.campaign.mutations import mutate, sign_place, tiff_place
from tests.campaign.size import SEED, report, run, share
from tests.shared_data import shared
from tests.slides.readers.native.files import KINDS, write_slide

# 0.25 µm/px is what the generated ones say, and what CMU-1 is taken for here.
GENERATED = (
    "Aperio", "Philips", "BigTIFF", "fractional downsamples",
    "stored RGB, nowhere said in the JPEG",
    "tables in each tile", "without tiles",
)  # fmt: skip
REAL = (
    "CMU-1-Small-Region.svs", "cmu1_sparse_tiles.svs", "tcga_generic_pyramid_mpp0.5.tiff",
    "cmu1_jp2k_33005_pyr.svs", "test3-DAPI-2-(387).ndpi",
)  # fmt: skip


def originals(folder):
    """Path, ending and settings of each slide, so that patches are pixels of level 0."""
    found = []
    for number, kind in enumerate(GENERATED):
        path = write_slide(folder / f"done{number}.tiff", KINDS[kind])
        found.append((path, {"mpp": 0.25, "assume_mpp": 0.25, "patch_px": 96, "stride_px": 96}))
    sample = folder / "done_sample.svs"
    write_sample_slide(sample, SampleSlide(2000, 1600, coverage=0.6, islands=2, level_factor=2))
    found.append((sample, {"mpp": 0.25, "patch_px": 224, "stride_px": 224}))
    for name, mpp in zip(REAL, (0.499, 0.499, 0.5, 0.499, 0.23), strict=True):
        path = folder / f"done_{name}"
        shutil.copyfile(shared(f"data/slides/{name}"), path)
        found.append((path, {"mpp": mpp, "assume_mpp": mpp, "patch_px": 224, "stride_px": 224}))
    return found


def test_damaged_slides(tmp_path):
    rng = random.Random(SEED)
    slides = originals(tmp_path)
    places = {path: tiff_place(path.read_bytes()) for path, _ in slides}

    def tasks():
        for number in range(share(400, 13)):
            path, settings = slides[number % len(slides)]
            what, data = mutate(path.read_bytes(), rng, places[path])
            tissue = rng.choice(("none", "otsu"))
            for reader in ("auto", "openslide"):
                damaged = tmp_path / f"{number}_{reader}_{path.name.replace('done', 'slide')}"
                damaged.write_bytes(data)
                yield Task(
                    f"{damaged.name}: {what}, {tissue}",
                    "tests.campaign.slides:compare",
                    {
                        "path": str(damaged), "original": str(path), "reader": reader,
                        "tissue": tissue, **settings,
                    },
                )  # fmt: skip

    outcomes = list(run(tasks(), tmp_path))
    report("slides", outcomes)
    assert sum(outcome.answer.get("same", 0) for outcome in outcomes) > 0


def test_damaged_dicom_slides(tmp_path):
    rng = random.Random(SEED)
    folder = shared("data/slides/cmu1-dicom")
    first = min(folder.iterdir())
    data = first.read_bytes()
    place = sign_place(data, (b"\x28\0", b"\x48\0", b"\x02\0\x10\0", b"\xfe\xff\0\xe0"), 16)

    def tasks():
        for number in range(share(60, 1)):
            copy = tmp_path / str(number)
            shutil.copytree(folder, copy)
            damaged = copy / first.name
            damaged.chmod(0o644)
            what, changed = mutate(data, rng, place)
            damaged.write_bytes(changed)
            yield Task(
                f"{number}: {what}",
                "tests.campaign.slides:plan_and_read",
                {"path": str(damaged), "mpp": 0.5, "assume_mpp": 0.5, "tissue": "none"},
            )

    report("DICOM slides", list(run(tasks(), tmp_path)))
