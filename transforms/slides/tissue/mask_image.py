"""Tissue masks in image files: PNG, TIFF, JPEG, WebP, BMP."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from beamscope.transforms.memory import MASKS
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.tissue.mask_tiff import read_tiff_mask
from beamscope.transforms.slides.tissue.mask_values import (
    MOST_MASK_BYTES,
    MaskImage,
    averaged,
    background_indices,
    check_mask_bytes,
    is_lossless_webp,
    largest,
)

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LOSSLESS = ("PNG", "BMP", "DIB", "GIF", "WEBP", "PPM", "TGA")
_LOSSY = ("JPEG", "MPO")
# Where a PNG says its bits a sample and its kind of colour (ISO 15948, 11.2.2).
_PNG_BITS, _PNG_COLOUR = 24, 25
_PNG_COLOUR_OR_ALPHA = (2, 4, 6)
# A mask has few colours, and some background; a picture of the slide has neither.
_PICTURE_COLOURS = 256
# Of a mask's samples, that are in memory at a time on the way to tissue.
_COPIES = 3


def read_mask_image(path: Path, enough: tuple[float, float] | None = None) -> MaskImage:
    """Read a mask image: tissue is what is neither 0 nor transparent.

    Of a palette index 0 is the background. In lossy images values beside an edge are made up, so
    tissue is above half of the largest value. Of TIFF see `read_tiff_mask`.

    Args:
      path: of a local file.
      enough: width and height in pixels that suffice; None for all that there are.

    Raises:
      InputError: ``bad_mask`` for what is no image, is too large, or tells nothing for certain.
    """
    try:
        with path.open("rb") as file:
            is_tiff = file.read(4) in _TIFF_MAGIC
        with MASKS.hold(MOST_MASK_BYTES * _COPIES):
            return read_tiff_mask(path, enough) if is_tiff else _read(path, enough)
    except Image.DecompressionBombError as error:
        raise InputError(Kind.BAD_MASK, f"{path} is too large: {one_line(error)}") from error
    except MemoryError as error:
        raise InputError(Kind.BAD_MASK, f"{path} is too large for the memory") from error
    except InputError:
        raise
    # A damaged file shows in Pillow, tifffile and the codecs below it as any of these.
    except (
        OSError, SyntaxError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError,
        AttributeError, EOFError,
    ) as error:  # fmt: skip
        raise InputError(
            Kind.BAD_MASK, f"{path} is no readable image: {one_line(error)}"
        ) from error


def _read(path: Path, enough: tuple[float, float] | None) -> MaskImage:
    with warnings.catch_warnings():
        # Masks at the resolution of level 0 are large; Pillow's error, at twice that, stays.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as file:
            if file.format not in (*_LOSSLESS, *_LOSSY):
                raise InputError(Kind.BAD_MASK, f"{path} is {file.format}; save the mask as PNG")
            check_mask_bytes(path, file.size, _bytes_a_pixel(path, file))
            lossy = file.format in _LOSSY
            if file.format == "WEBP":
                lossy = not is_lossless_webp(path.read_bytes())
            if file.mode in ("P", "PA"):
                tissue = _of_palette(path, file)
            else:
                tissue = _of_values(path, file, lossy)
    return averaged(tissue, enough)


def _bytes_a_pixel(path: Path, image: Image.Image) -> int:
    with path.open("rb") as file:
        header = file.read(_PNG_COLOUR + 1)
    wide = header[1:4] == b"PNG" and len(header) > _PNG_BITS and header[_PNG_BITS] > 8
    return len(image.getbands()) * (4 if image.mode in ("I", "F") else 1 + wide)


def _of_palette(path: Path, image: Image.Image) -> npt.NDArray[np.bool_]:
    values = np.asarray(image)
    indices = values[..., 0] if values.ndim == 3 else values
    image.apply_transparency()
    flat = image.getpalette("RGBA") or []
    palette = [tuple(flat[at : at + 4]) for at in range(0, len(flat), 4)]
    used = set(np.unique(indices).tolist())
    tissue = ~np.isin(indices, background_indices(path, palette, used))
    return tissue & (values[..., 1] > 0) if values.ndim == 3 else tissue


def _of_values(path: Path, image: Image.Image, lossy: bool) -> npt.NDArray[np.bool_]:
    with path.open("rb") as file:
        header = file.read(_PNG_COLOUR + 1)
    wide = header[1:4] == b"PNG" and header[_PNG_BITS] > 8
    values: npt.NDArray[Any]
    if wide and header[_PNG_COLOUR] in _PNG_COLOUR_OR_ALPHA:
        # Pillow keeps 8 of the 16 bits, in which small values are 0.
        image.load()
        values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
        has_alpha = header[_PNG_COLOUR] != 2
    else:
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        has_alpha = image.mode in ("RGBA", "LA")
        values = np.asarray(image)
    values = values.reshape(*values.shape[:2], -1)
    colours = values[..., :-1] if has_alpha else values
    shade = largest(colours)
    least = int(shade.max()) // 2 if lossy and shade.size else 0
    tissue = np.asarray(shade > least, bool)
    if has_alpha:
        tissue &= values[..., -1] > 0
    if (colour := image.info.get("transparency")) is not None and not has_alpha:
        # One colour of a PNG without an alpha channel may be declared transparent.
        tissue &= (colours != np.asarray(colour)).any(axis=-1)
    if tissue.all() and colours.shape[-1] > 1 and _is_picture(colours):
        raise InputError(
            Kind.BAD_MASK,
            f"{path} has no background and more than {_PICTURE_COLOURS} colours: "
            "it is a picture, not a mask",
        )
    return tissue


def _is_picture(colours: npt.NDArray[Any]) -> bool:
    flat = colours.reshape(-1, colours.shape[-1])[:, :3].astype(np.uint64)
    codes = flat[:, 0] << np.uint64(32) | flat[:, 1] << np.uint64(16) | flat[:, -1]
    step = max(1, len(codes) // 1_000_000)
    return len(np.unique(codes[::step])) > _PICTURE_COLOURS
