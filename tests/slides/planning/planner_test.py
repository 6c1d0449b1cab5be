import functools
import json

import numpy as np
import openslide
import pytest
import tifffile

from beamscope.transforms.slides.planning.plan import (
    ROW_SCHEMA,
    EmptyPlan,
    ReadyPlan,
    SlideFacts,
)
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.planning.resolution import SlideMpp
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide

# The slides are not files, so that only the stand-in for OpenSlide can read them.
fake_settings = functools.partial(SlideSettings, reader="openslide")
SETTINGS = fake_settings(mpp=0.5, patch_px=64, stride_px=64, block_size=16)
REQUEST = SlideRequest("s", "fake.svs")


def pink(height, width):
    """Tissue everywhere: a textured pink that is far from glass."""
    random = np.random.default_rng(0)
    rgba = np.full((height, width, 4), (200, 90, 160, 255), np.uint8)
    rgba[..., :3] += random.integers(0, 40, (height, width, 3), dtype=np.uint8)
    return rgba


@pytest.fixture
def planned(monkeypatch):
    def plan(slide, settings=SETTINGS, request=REQUEST):
        monkeypatch.setattr(openslide, "OpenSlide", slide.open)
        return plan_slide(request, settings)

    return plan


def test_plan_of_a_sample_slide(tmp_path):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=2048, height=2048, mpp=0.25))
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings())
    assert isinstance(plan, ReadyPlan)
    assert plan.facts == SlideFacts("aperio", 2048, 2048)
    assert plan.mpp == SlideMpp(0.25, 0.25, "slide")
    assert (plan.read.level, plan.read.read_px, plan.read.mpp_effective) == (0, 448, 0.5)
    # Of 4 x 4 patches, those with a quarter of tissue.
    assert 0 < plan.patches < 16
    assert (plan.tissue >= 0.25).all()
    assert set(plan.x_level0) <= {0, 448, 896, 1344}
    assert sum(plan.block_sizes()) == plan.patches
    assert plan.picture.jpeg[:2] == b"\xff\xd8"


def test_blocks_carry_the_rows(planned):
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5"))
    assert plan.patches == 81
    assert plan.block_sizes() == [16] * 5 + [1]
    blocks = list(plan.blocks())
    assert [str(block.key) for block in blocks] == [f"s[{i}]" for i in range(6)]
    rows = [row for block in blocks for row in block.rows().to_pylist()]
    assert blocks[0].rows().schema.equals(ROW_SCHEMA)
    assert {(row["x_level0"], row["y_level0"]) for row in rows} == {
        (64 * x, 64 * y) for x in range(9) for y in range(9)
    }
    assert {(row["slide_id"], row["size_level0"], row["mpp"]) for row in rows} == {("s", 64, 0.5)}
    np.testing.assert_allclose([row["tissue"] for row in rows], 1.0, atol=1e-3)


@pytest.mark.parametrize("min_tissue", [0.0, 0.25, 0.5, 1.0])
def test_min_tissue_counts_the_fraction_of_the_patch(planned, min_tissue):
    rgba = pink(1024, 1024)
    rgba[:, 350:] = (250, 250, 250, 255)
    plan = planned(
        FakeSlide(rgba, mpp="0.5"),
        fake_settings(mpp=0.5, patch_px=100, stride_px=100, min_tissue=min_tissue),
    )
    # Columns begin at 0, 100, 200 and 300, of which the last is half tissue.
    columns = sorted(set(plan.x_level0))
    assert columns == ([0, 100, 200, 300] if min_tissue <= 0.25 else columns[:3] + columns[3:])
    assert (plan.tissue >= min_tissue).all()
    if min_tissue == 1.0:
        assert 300 not in columns


def test_none_takes_all_that_was_scanned(planned):
    rgba = np.full((640, 640, 4), 255, np.uint8)
    rgba[:, 320:] = 0
    settings = fake_settings(mpp=0.5, patch_px=64, stride_px=64, tissue="none")
    plan = planned(FakeSlide(rgba, mpp="0.5"), settings)
    assert sorted(set(plan.x_level0)) == [0, 64, 128, 192, 256]
    assert plan.patches == 50


def test_bounds_place_the_grid(planned):
    properties = {
        "openslide.bounds-x": "30",
        "openslide.bounds-y": "50",
        "openslide.bounds-width": "130",
        "openslide.bounds-height": "200",
    }
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5", properties=properties))
    assert sorted(set(plan.x_level0)) == [30, 94]
    assert sorted(set(plan.y_level0)) == [50, 114, 178]


def write_mask(path, *areas):
    """GeoJSON of rectangles (left, top, right, bottom), each with the name of its class."""
    features = [
        {
            "type": "Feature",
            "properties": {"classification": {"name": name}} if name else {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]],
            },
        }
        for name, (x0, y0, x1, y1) in areas
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def by_mask(**changes):
    values = {"mpp": 0.5, "patch_px": 64, "stride_px": 64, "tissue": "mask", "min_tissue": 0.9}
    return fake_settings(**values | changes)


def test_mask_selects_patches(planned, tmp_path):
    mask = write_mask(tmp_path / "m.geojson", (None, (128, 128, 256, 192)))
    request = SlideRequest("s", "fake.svs", mask=mask)
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5"), by_mask(), request)
    assert list(zip(plan.x_level0, plan.y_level0, strict=True)) == [(128, 128), (192, 128)]
    assert plan.classes is None


@pytest.mark.parametrize("block_size", [1, 3, 256])
def test_the_class_of_each_patch_is_in_its_row(planned, tmp_path, block_size):
    mask = write_mask(
        tmp_path / "m.geojson",
        ("Tumor", (0, 0, 192, 256)), ("Stroma", (192, 0, 256, 256)),
        (None, (256, 0, 320, 256)), ("Ignore*", (320, 0, 448, 256)),
    )  # fmt: skip
    request = SlideRequest("s", "fake.svs", mask=mask)
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5"), by_mask(block_size=block_size), request)
    rows = [row for block in plan.blocks() for row in block.rows().to_pylist()]
    assert len(rows) == 20
    expected = {0: "Tumor", 64: "Tumor", 128: "Tumor", 192: "Stroma", 256: None}
    assert all(row["class"] == expected[row["x_level0"]] for row in rows)


def test_classes_can_be_chosen(planned, tmp_path):
    mask = write_mask(
        tmp_path / "m.geojson", ("Tumor", (0, 0, 192, 256)), ("Stroma", (192, 0, 256, 256))
    )
    request = SlideRequest("s", "fake.svs", mask=mask)
    slide = FakeSlide(pink(600, 600), mpp="0.5")
    plan = planned(slide, by_mask(mask_classes=("Stroma",)), request)
    assert set(plan.x_level0) == {192}
    plan = planned(slide, by_mask(mask_classes=("Necrosis",)), request)
    assert plan.reason.endswith("classes Necrosis; its classes: Stroma, Tumor")


def test_slides_without_a_mask_are_planned_by_otsu(planned, tmp_path):
    mask = write_mask(tmp_path / "m.geojson", (None, (128, 128, 256, 192)))
    rgba = np.full((1024, 1024, 4), (250, 250, 250, 255), np.uint8)
    rgba[:512] = pink(512, 1024)
    slide = FakeSlide(rgba, mpp="0.5")
    both = by_mask(otsu_without_mask=True)
    with_mask = planned(slide, both, SlideRequest("s", "fake.svs", mask=mask))
    assert with_mask.patches == 2
    without = planned(slide, both, SlideRequest("s", "fake.svs"))
    otsu = planned(slide, by_mask(tissue="otsu"), SlideRequest("s", "fake.svs"))
    assert without.patches == otsu.patches > 2
    assert np.array_equal(without.x_level0, otsu.x_level0)


def test_a_tiff_that_openslide_shows_wrongly_fails(tmp_path):
    path = tmp_path / "a.tif"
    planes = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", tile=(128, 128), metadata=None)
    for reader in ("auto", "openslide"):
        settings = SlideSettings(tissue="none", reader=reader)
        plan = plan_slide(SlideRequest("a", str(path), assume_mpp=0.5), settings)
        assert plan.problem.kind == "unsupported_slide"
        assert plan.facts.vendor == "generic-tiff"


def test_unreadable_places_are_tried_and_not_left_out(planned):
    rgba = np.full((1024, 1024, 4), (250, 250, 250, 255), np.uint8)
    rgba[:512] = pink(512, 1024)
    plan = planned(FakeSlide(rgba, mpp="0.5", bad=[(70, 900, 75, 905)]))
    corners = set(zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True))
    assert (64, 896) in corners
    assert (960, 960) not in corners


@pytest.mark.parametrize(
    ("slide", "settings", "reason"),
    [
        (FakeSlide(pink(63, 600), mpp="0.5"), SETTINGS, "600 x 63 level-0 pixels"),
        (
            FakeSlide(np.full((600, 600, 4), 255, np.uint8), mpp="0.5"),
            SETTINGS,
            "no tissue found",
        ),
        (
            FakeSlide(np.zeros((600, 600, 4), np.uint8), mpp="0.5"),
            fake_settings(mpp=0.5, patch_px=64, stride_px=64, tissue="none"),
            "transparent everywhere",
        ),
    ],
)
def test_a_slide_without_patches_says_why(planned, slide, settings, reason):
    plan = planned(slide, settings)
    assert isinstance(plan, EmptyPlan)
    assert plan.patches == 0
    assert reason in plan.reason
    assert list(plan.blocks()) == []


@pytest.mark.parametrize(
    ("slide", "changes", "kind"),
    [
        (FakeSlide(pink(300, 300), mpp=None), {}, "missing_mpp"),
        (FakeSlide(pink(300, 300), mpp="352"), {}, "implausible_mpp"),
        (FakeSlide(pink(300, 300), mpp="2"), {}, "too_coarse"),
        (FakeSlide(pink(300, 300), mpp="0.5"), {"tissue": "mask"}, "missing_mask"),
    ],
)
def test_plan_slide_errors(planned, slide, changes, kind):
    plan = planned(slide, fake_settings(patch_px=64, stride_px=64, **changes))
    assert plan.problem.kind == kind
    assert plan.problem.stage == "plan"
    assert (plan.problem.item_id, plan.problem.uri) == ("s", "fake.svs")
    # What is known about the slide is told all the same.
    assert plan.facts == SlideFacts("fake", 300, 300)
    assert plan.patches == 0


def test_a_file_that_is_not_there():
    plan = plan_slide(SlideRequest("s", "/nowhere/s.svs"), SETTINGS)
    assert plan.problem.kind == "missing_file"


@pytest.mark.parametrize(
    ("name", "patches"),
    [
        ("CMU-1-Small-Region.svs", 58),
        ("cmu1_jp2k_33005_pyr.svs", 58),
        ("cmu1-dicom/level-0-frames-0-30.dcm", 59),
        ("test3-DAPI-2-(387).ndpi", 62),
    ],
)
def test_real_slides_have_about_the_patches_that_their_tissue_covers(name, patches):
    plan = plan_slide(SlideRequest("s", str(shared(f"data/slides/{name}"))), SlideSettings())
    assert plan.patches == pytest.approx(patches, abs=4)


@pytest.mark.parametrize(
    ("slide", "changes", "expected"),
    [
        ({"mpp": 0.25}, {}, "native"),
        ({"mpp": 0.25}, {"downscale": "decoder"}, "native decoder"),
        # Nothing to scale: the decoder has nothing to shrink.
        ({"mpp": 0.5}, {"downscale": "decoder"}, "native"),
        ({"mpp": 0.25}, {"reader": "openslide", "downscale": "decoder"}, "openslide"),
        ({"mpp": 0.5, "compression": "jpeg2000"}, {}, "native"),
    ],
)
def test_the_reader_is_chosen_by_what_serves(tmp_path, slide, changes, expected):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=1024, height=1024, levels=2, **slide))
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings(**changes))
    reader, _, downscale = expected.partition(" ")
    assert (plan.reader, plan.read.downscale) == (reader, downscale or "area")


def test_the_native_reader_alone_refuses_what_it_does_not_serve():
    path = shared("data/slides/test3-DAPI-2-(387).ndpi")
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings(reader="native"))
    assert plan.problem.kind == "not_served"


def quarters():
    """A slide of tissue whose right half is paler, with a hole and a speck."""
    rgba = np.full((1024, 2048, 4), (244, 242, 243, 255), np.uint8)
    rgba[128:896, 128:1024] = pink(768, 896)
    rgba[128:896, 1024:1920, :3] = (244, 225, 235)
    rgba[400:560, 400:560, :3] = (244, 242, 243)  # 80 x 80 µm
    return rgba


@pytest.mark.parametrize(
    ("changes", "pale", "hole"),
    [
        # Otsu's threshold is at most 20/255, and the pale half has a spread of 19/255.
        ({}, False, False),
        ({"tissue_threshold": 0.05}, True, False),
        ({"tissue_threshold": 0.1}, False, False),
        ({"min_hole_um2": 10_000}, False, True),
        ({"min_hole_um2": 0}, False, False),
    ],
)
def test_tissue_can_be_tuned(planned, changes, pale, hole):
    settings = fake_settings(mpp=0.5, patch_px=64, stride_px=64, min_tissue=0.5, **changes)
    plan = planned(FakeSlide(quarters(), mpp="0.5"), settings)
    taken = set(zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True))
    assert ((1280, 512) in taken) is pale
    assert ((448, 448) in taken) is hole
    assert (512 + 128, 640) in taken


def test_min_object_leaves_out_dust(planned):
    rgba = np.full((1024, 1024, 4), (244, 242, 243, 255), np.uint8)
    rgba[128:640, 128:640] = pink(512, 512)
    rgba[768:960, 768:960] = pink(192, 192)  # 96 x 96 µm = 9,216 µm²
    for least, expected in ((5_000, True), (8_000, True), (10_000, False)):
        settings = fake_settings(mpp=0.5, patch_px=64, stride_px=64, min_object_um2=least)
        plan = planned(FakeSlide(rgba, mpp="0.5"), settings)
        assert ((plan.x_level0 >= 768).any()) == expected


def test_the_funnel_adds_up_and_drop_leaves_out(planned):
    rgba = np.full((1024, 2048, 4), (244, 242, 243, 255), np.uint8)
    rgba[128:896, 128:1024] = pink(768, 896)
    # Tissue by a mask of all, half of it black, so that quality has something to leave out.
    rgba[:, 1024:, :3] = 5
    everything = {"tissue": "none", "mpp": 0.5, "patch_px": 64, "stride_px": 64}
    plan = planned(FakeSlide(rgba, mpp="0.5"), fake_settings(**everything))
    assert plan.funnel == {
        "candidates": 16 * 32, "not_scanned": 0, "below_min_tissue": 0, "taken": 16 * 32,
    }  # fmt: skip
    assert plan.poor["black"] == 16 * 16
    assert plan.poor["white"] == 16 * 16 - 12 * 14
    drop = (("white", 0.9), ("black", 0.9))
    plan = planned(FakeSlide(rgba, mpp="0.5"), fake_settings(**everything, drop=drop))
    assert plan.funnel["taken"] == plan.patches == 12 * 14
    assert (plan.funnel["white"], plan.funnel["black"]) == (16 * 16 - 12 * 14, 16 * 16)
    assert plan.funnel["candidates"] == sum(
        number for step, number in plan.funnel.items() if step != "candidates"
    )
    assert plan.x_level0.max() < 1024
    gone = planned(FakeSlide(rgba, mpp="0.5"), fake_settings(**everything, drop=(("black", 0.0),)))
    assert gone.reason == "no patch is left by --drop: 512 black"
