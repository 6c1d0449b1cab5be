"""Images of every kind that is taken, against Pillow's reading of the same bytes."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from beamscope.transforms.images.decode import decode_image, to_rgb
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from tests.shared_data import shared

LIMITS = Limits()
RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (30, 40, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (30, 40), np.uint8)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(mode):
    if mode == "RGBA":
        return Image.fromarray(np.dstack([RGB, ALPHA]))
    if mode == "LA":
        return Image.fromarray(np.dstack([RGB[..., 0], ALPHA]))
    if mode == "P":
        return Image.fromarray(RGB).quantize(64)
    return Image.fromarray(RGB).convert(mode)


def on_white(data):
    """Pillow's own reading, transparent pixels on white."""
    with Image.open(io.BytesIO(data)) as image:
        rgba = ImageOps.exif_transpose(image).convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_pixels_are_as_pillow_reads_them(mode, kind):
    data = encoded(picture(mode), kind)
    found = decode_image(data, LIMITS)
    assert found.origin == kind.lower()
    assert found.pixels.dtype == np.uint8
    # "Over" is rounded in two ways.
    assert np.abs(found.pixels.astype(int) - on_white(data)).max() <= 1


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = picture("P")
    data = encoded(image, transparency=int(np.asarray(image)[0, 0]))
    assert np.abs(decode_image(data, LIMITS).pixels.astype(int) - on_white(data)).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_as_pillow_reads_them(mode):
    data = encoded(picture(mode), "JPEG", quality=90)
    found = decode_image(data, LIMITS)
    assert found.origin == "jpeg"
    np.testing.assert_array_equal(found.pixels, on_white(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(RGB), kind, exif=exif)
    found = decode_image(data, LIMITS).pixels
    assert found.shape == ((40, 30, 3) if orientation >= 5 else (30, 40, 3))
    np.testing.assert_array_equal(found, on_white(data))


def test_16_bits_are_divided_by_257():
    values = RNG.integers(0, 1 << 16, (30, 40), np.uint16)
    found = decode_image(encoded(Image.fromarray(values)), LIMITS).pixels
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=2))


def test_an_icc_profile_is_ignored():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with_profile = encoded(Image.fromarray(RGB), icc_profile=profile)
    np.testing.assert_array_equal(decode_image(with_profile, LIMITS).pixels, RGB)


@given(
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([None, 1, 2, 3, 4]),
    st.integers(0, 2**32 - 1),
)
def test_any_channels_become_rgb(dtype, channels, seed):
    shape = (3, 4) if channels is None else (3, 4, channels)
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, True)
    found = to_rgb(values)
    assert (found.shape, found.dtype) == ((3, 4, 3), np.uint8)
    if channels in (None, 1, 2):
        assert (found[..., 0] == found[..., 2]).all()


def test_real_patches_are_as_pillow_reads_them():
    paths = sorted(shared("data/patches/lc25000_lung").glob("*/*.jpeg"))[::50]
    assert paths
    for path in paths:
        np.testing.assert_array_equal(
            decode_image(path.read_bytes(), LIMITS).pixels, np.asarray(Image.open(path))
        )


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", "not_an_image", "an empty file, not a JPEG, PNG or TIFF image"),
        (b"<html>", "not_an_image", "a page of markup"),
        (b"GIF89a" + bytes(30), "not_an_image", "a file of another kind"),
        (encoded(Image.new("CMYK", (9, 9)), "JPEG"), "unsupported_image", "CMYK"),
        (encoded(picture("RGB"), "JPEG")[:-300], "truncated_image", "cut off"),
        (encoded(picture("RGB"))[:-300], "truncated_image", "cut off"),
        (encoded(picture("RGB"), "TIFF")[:-30], "truncated_image|corrupt_image", "TIFF"),
        (
            encoded(picture("RGB"), save_all=True, append_images=[picture("L").convert("RGB")]),
            "multi_frame",
            "2 frames, not one image",
        ),
    ],
)
def test_what_cannot_be_used_errors(data, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        decode_image(data, LIMITS)
    assert str(caught.value.kind) in kind.split("|")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_more_pixels_than_allowed_errors(kind):
    with pytest.raises(InputError, match="40x30 is more than the 1000 pixels") as caught:
        decode_image(encoded(Image.fromarray(RGB), kind), Limits(max_pixels=1000))
    assert caught.value.kind == "too_many_pixels"
