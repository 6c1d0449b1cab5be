"""The largest slide that is planned: what a header claims is held against this before room is made.

With these a plan takes about 2 GiB at most, whatever a file claims; docs/reliability.md has the
figures. Real slides stay far below: of the whole of a 75 x 50 mm glass at 0.25 µm/px, 6e10 pixels.
"""

from __future__ import annotations

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.geometry import Level, Region

# Of level 0: 524,288 px square, which at 0.25 µm/px is 131 mm.
MAX_SLIDE_PIXELS = 1 << 38
MAX_SLIDE_SIDE = 1 << 21
# Places of the grid, with tissue or without.
MAX_PLACES = 1 << 23
# Of a thumbnail: a whole glass of 75 x 26 mm at 8 µm/px. Larger ones are coarser.
MAX_THUMBNAIL_PIXELS = 1 << 25
# Of a level, to be read for the thumbnail: about ten minutes.
MAX_PIXELS_SEEN = 1 << 36
# Side of the square of a level that is averaged to one patch: 256 MiB as RGBA.
MAX_READ_PX = 8192


def check_dimensions(width: int, height: int) -> None:
    """Refuse a slide with more pixels than any scanner makes.

    Raises:
      InputError: ``slide_too_large``; ``impossible_header`` where a side is not above 0.
    """
    if width < 1 or height < 1:
        raise InputError(Kind.IMPOSSIBLE_HEADER, f"level 0 has {width:,} x {height:,} px")
    if width * height > MAX_SLIDE_PIXELS or max(width, height) > MAX_SLIDE_SIDE:
        raise InputError(
            Kind.SLIDE_TOO_LARGE,
            f"level 0 claims {width:,} x {height:,} px; {MAX_SLIDE_PIXELS:,} px are allowed, "
            f"and {MAX_SLIDE_SIDE:,} a side",
        )


def check_places(columns: int, rows: int) -> None:
    """Refuse a grid of more places than a plan has room for.

    Raises:
      InputError: ``slide_too_large``.
    """
    if columns * rows > MAX_PLACES:
        raise InputError(
            Kind.SLIDE_TOO_LARGE,
            f"{columns:,} x {rows:,} patches fit on it, {MAX_PLACES:,} are allowed; "
            "ask for a coarser --mpp or a larger --stride",
        )


def check_read(read_px: int, level: int) -> None:
    """Refuse to make a patch of a square that is too large to read.

    Raises:
      InputError: ``slide_too_large``.
    """
    if read_px > MAX_READ_PX:
        raise InputError(
            Kind.SLIDE_TOO_LARGE,
            f"each patch would be read from {read_px:,} x {read_px:,} px of level {level}, the "
            f"coarsest that is fine enough; {MAX_READ_PX:,} px a side are allowed; "
            "ask for a finer --mpp",
        )


def check_seen(region: Region, level: Level) -> None:
    """Refuse to look for tissue on a level that takes hours to read.

    Raises:
      InputError: ``slide_too_large``.
    """
    pixels = round(region.width / level.downsample) * round(region.height / level.downsample)
    if pixels > MAX_PIXELS_SEEN:
        raise InputError(
            Kind.SLIDE_TOO_LARGE,
            f"{pixels:,} px of level {level.number} would be read to find tissue, because no "
            f"coarser level suffices; {MAX_PIXELS_SEEN:,} are allowed",
        )
