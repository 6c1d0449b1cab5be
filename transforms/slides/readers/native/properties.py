"""The resolution of a tiled TIFF slide, under the names that OpenSlide gives it.

The values are those of OpenSlide 4. A number that OpenSlide might read in another way is refused.
OpenSlide knows neither bounds nor a background colour of these vendors' slides.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import tifffile

# Micrometres in TIFF's ResolutionUnit (TIFF 6.0): 2 is an inch, 3 a centimetre.
_UNIT_UM = {2: 25_400.0, 3: 10_000.0}
_DEFAULT_UNIT = 2
_UM_PER_MM = 1000

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SPACE = " \t\n\r\f"
_SPACING = "DICOM_PIXEL_SPACING"


class UnservedError(Exception):
    """A file that is not read natively, with the reason.

    It does not leave this package: `tiff.read_levels` turns it into the value `NotServed`.
    """


def slide_properties(vendor: str, first: tifffile.TiffPage) -> dict[str, str]:
    """Return the vendor of a slide, and its resolution and objective power where it has them.

    Args:
      vendor: ``aperio``, ``philips`` or ``generic-tiff``.
      first: its first directory.

    Raises:
      UnservedError: a number is not a plain one.
    """
    found = {
        "aperio": _aperio,
        "philips": _philips,
        "generic-tiff": _generic,
    }[vendor](first)
    return {"openslide.vendor": vendor} | {
        f"openslide.{name}": as_text(value) for name, value in found.items()
    }


def _aperio(first: tifffile.TiffPage) -> dict[str, float]:
    """Read the image description: a comment, then ``key = value`` between bars; the last counts."""
    said = {}
    for part in first.description.partition("\0")[0].split("|")[1:]:
        key, equals, value = part.partition("=")
        if equals:
            said[key.strip(_SPACE)] = value.strip(_SPACE)
    found = {}
    if "MPP" in said:
        found["mpp-x"] = found["mpp-y"] = _number("aperio.MPP", said["MPP"])
    if "AppMag" in said:
        found["objective-power"] = _number("aperio.AppMag", said["AppMag"])
    return found


def _philips(first: tifffile.TiffPage) -> dict[str, float]:
    """Read the XML of the slide's image: distance of rows, then of columns, in mm."""
    images = [
        image
        for image in ElementTree.fromstring(first.description).iterfind(
            "./Attribute[@Name='PIM_DP_SCANNED_IMAGES']/Array/DataObject"
        )
        if image.findtext("./Attribute[@Name='PIM_DP_IMAGE_TYPE']") == "WSI"
    ]
    if len(images) != 1:
        raise UnservedError(f"{len(images)} images of the slide in its XML")
    spacings = images[0].findall(f"./Attribute[@Name='{_SPACING}']")
    if not spacings:
        return {}
    if len(spacings) != 1 or len(parts := (spacings[0].text or "").split()) != 2:
        raise UnservedError(f"an unusual philips.{_SPACING}")
    y, x = (_number(f"philips.{_SPACING}", part.strip('"')) for part in parts)
    return {"mpp-x": x * _UM_PER_MM, "mpp-y": y * _UM_PER_MM}


def _generic(first: tifffile.TiffPage) -> dict[str, float]:
    """Read TIFF's resolution, in pixels a unit of length."""
    unit = first.tags.get("ResolutionUnit")
    length = _UNIT_UM.get(int(unit.value) if unit else _DEFAULT_UNIT)
    found = {}
    for axis, name in (("x", "XResolution"), ("y", "YResolution")):
        tag = first.tags.get(name)
        pixels, units = tag.value if tag else (0, 1)
        if length and pixels and units:
            found[f"mpp-{axis}"] = length / (pixels / units)
    return found


def _number(name: str, text: str) -> float:
    # Some scanners write a comma.
    plain = text.replace(",", ".")
    value = float(plain) if _DECIMAL.fullmatch(plain) else math.nan
    if not 0 < value < math.inf:
        raise UnservedError(f"{name} {text!r}")
    return value


def as_text(value: float) -> str:
    """Write a number as OpenSlide does."""
    return f"{value:.17g}"
