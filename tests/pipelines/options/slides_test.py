import pytest

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.slides import (
    add_slide_arguments,
    find_slide_requests,
    slide_settings_from,
)
from beamscope.transforms.problems import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("a.svs", "b.svs", "notes.txt", "masks/a.geojson", "masks/x.png"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "with.csv").write_text("slide_id,uri,mask\na,a.svs,masks/a.geojson\nb,b.svs,\n")
    (tmp_path / "without.csv").write_text("slide_id,uri,mask\na,a.svs,\nb,b.svs,\n")
    (tmp_path / "image.csv").write_text("slide_id,uri,mask\na,a.svs,masks/x.png\n")
    return tmp_path


def parsed(folder, *arguments):
    parser = Parser(prog="slides")
    add_slide_arguments(parser)
    return parser.parse_args([argument.replace("DIR", str(folder)) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "tissue", "masks"),
    [
        (["--input", "DIR"], "otsu", [None, None]),
        (["--manifest", "DIR/without.csv"], "otsu", [None, None]),
        # Masks mean --tissue mask, unless something else is said.
        (["--manifest", "DIR/with.csv"], "mask", ["a.geojson", None]),
        (["--manifest", "DIR/with.csv", "--tissue", "otsu"], "otsu", ["a.geojson", None]),
        (["--input", "DIR", "--masks", "DIR/masks"], "mask", ["a.geojson", None]),
        (
            ["--input", "DIR", "--masks", "DIR/masks", "--tissue", "mask_or_otsu"],
            "mask_or_otsu",
            ["a.geojson", None],
        ),
        (["--input", "DIR", "--tissue", "none"], "none", [None, None]),
    ],
)
def test_masks_and_tissue(folder, arguments, tissue, masks):
    args = parsed(folder, *arguments)
    found = find_slide_requests(args)
    names = [slide.mask and slide.mask.rsplit("/", 1)[-1] for slide in found.slides]
    assert names == masks
    settings = slide_settings_from(args, 224)
    if tissue == "mask_or_otsu":
        assert (settings.tissue, settings.otsu_without_mask) == ("mask", True)
    else:
        assert (settings.tissue, settings.otsu_without_mask) == (tissue, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "DIR", "--masks", "DIR/masks", "--tissue", "none"], "needs --tissue mask"),
        (["--input", "DIR", "--mask_classes", "A", "--tissue", "otsu"], "needs --tissue mask"),
        (["--input", "DIR", "--mask_classes", "A"], "no masks are given"),
        (["--input", "DIR", "--tissue", "mask"], "--tissue mask: needs --masks"),
        (["--manifest", "DIR/without.csv", "--tissue", "mask_or_otsu"], "needs --masks"),
        (["--manifest", "DIR/image.csv", "--mask_classes", "A"], "x.png is an image"),
    ],
)
def test_masks_that_would_have_no_effect_error(folder, arguments, words):
    with pytest.raises(InputError, match=words):
        find_slide_requests(parsed(folder, *arguments))


def test_what_is_not_used_is_said(folder):
    found = find_slide_requests(parsed(folder, "--input", "DIR", "--masks", "DIR/masks"))
    assert len(found.slides) == 2
    assert found.notes == (f"--masks {folder}/masks: 1 of 2 masks are not used: x.png",)
    # Of the folder: the notes, the manifests and the masks.
    assert sum(found.left_out.values()) == 6
    found = find_slide_requests(parsed(folder, "--manifest", "DIR/with.csv", "--tissue", "otsu"))
    assert "the 1 masks of the manifest are not used" in found.notes[0]


@pytest.mark.parametrize(
    ("value", "classes"),
    [("Tumor", ("Tumor",)), (" b , a: c,,b", ("a: c", "b")), (",", ()), (None, ())],
)
def test_mask_classes(folder, value, classes):
    flags = ["--mask_classes", value] if value else []
    args = parsed(folder, "--manifest", "DIR/with.csv", *flags)
    assert slide_settings_from(args, 224).mask_classes == classes


@pytest.mark.parametrize(
    ("values", "drop"),
    [
        ([], ()),
        (["blurred"], (("blurred", 12.0),)),
        (["ink", "white=0.5"], (("white", 0.5), ("ink", 0.1))),
        (["black", "grey", "blurred=8"], (("black", 0.9), ("grey", 0.9), ("blurred", 8.0))),
    ],
)
def test_drop(folder, values, drop):
    args = parsed(folder, "--input", "DIR", *(["--drop", *values] if values else []))
    assert slide_settings_from(args, 224).drop == drop


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--drop", "pink"], "--drop pink: pink is none of white, black, grey, blurred, ink"),
        (["--drop", "white=much"], "--drop white=much: 'much' is not a number"),
        (["--drop", "white", "white=1"], "white is given twice"),
        (["--drop", "white=9"], "--drop white must be between 0 and 1, got 9"),
        (["--tissue_threshold", "20"], "--tissue_threshold must be between 0 and 1, got 20"),
        (["--tissue_threshold", "0.1", "--tissue", "none"], "no effect with --tissue none"),
        (["--min_hole_um2", "-1"], "--min_hole_um2 must be between 0 and"),
    ],
)
def test_what_tunes_tissue_errors(folder, flags, words):
    with pytest.raises(InputError, match=words):
        slide_settings_from(parsed(folder, "--input", "DIR", *flags), 224)
