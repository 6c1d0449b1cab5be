"""Sample slides: Aperio-style SVS files of any size, made from a seed.

The file has the parts that a scanner writes: a tiled level 0, a stripped thumbnail, then the lower
levels, JPEG tiles with shared tables. Tiles are streamed: memory holds a few rows of tiles,
whatever the size of the slide. Lower levels are area averages of level 0 before compression.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile

import numpy as np
import tifffile

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.sample.noise import LATTICE, PLATE_MARGIN
from beamscope.transforms.slides.sample.texture import TissueTexture
from beamscope.transforms.slides.sample.tiles import Pyramid, TileEncoder

# Compressions, and the quality of each where none is asked for: tiles of 0.2 bytes a pixel, as in
# real slides of tissue. That of JPEG 2000 is a peak signal-to-noise ratio in dB.
DEFAULT_QUALITY = {"jpeg": 80, "jpeg2000": 34}
LEVEL_FACTORS = (2, 4, 8, 16)
MAX_LEVELS = 20
THUMBNAIL_SIZE = (1024, 768)  # Aperio's largest, px
MIN_LEVEL_SIZE = 16  # px; smaller levels are useless
# A slide without mpp still shows tissue at some scale, and an absurd mpp still shows tissue.
TEXTURE_MPP = 0.25
TEXTURE_MPP_LIMITS = (0.1, 4.0)
BIGTIFF_PIXELS = 1_300_000_000  # uncompressed about 4 GiB, the most that 32-bit offsets reach


@dataclasses.dataclass(frozen=True)
class SampleSlide:
    """The description of a sample slide.

    Attributes:
      width: of level 0, px.
      height: of level 0, px.
      mpp: size of a level-0 pixel, µm; None leaves it out of the file.
      objective_power: nominal magnification; None leaves it out of the file.
      tile_size: px, a multiple of 16; Aperio uses 240 and 256.
      compression: ``jpeg`` or ``jpeg2000`` (Aperio's 33005).
      quality: 1 to 100 for JPEG, decibels for JPEG 2000; None for tiles as large as real ones.
      levels: of the pyramid, level 0 included.
      level_factor: from one level to the next; 2, 4, 8 or 16.
      seed: another seed, another slide.
      islands: pieces of tissue; 0 for bare glass.
      coverage: fraction of the slide that the islands take, roughly; 1 leaves no glass.
    """

    width: int = 4096
    height: int = 4096
    mpp: float | None = 0.25
    objective_power: float | None = 40
    tile_size: int = 256
    compression: str = "jpeg"
    quality: int | None = None
    levels: int = 3
    level_factor: int = 4
    seed: int = 0
    islands: int = 3
    coverage: float = 0.4

    @property
    def level_sizes(self) -> list[tuple[int, int]]:
        """Width and height of each level, px, rounded down as in Aperio's files."""
        factors = [self.level_factor**level for level in range(self.levels)]
        return [(self.width // factor, self.height // factor) for factor in factors]

    @property
    def encoded_quality(self) -> int:
        """Quality that the tiles are compressed with."""
        return DEFAULT_QUALITY[self.compression] if self.quality is None else self.quality

    def validate(self) -> None:
        """Check that such a slide is possible.

        Raises:
          InputError: ``bad_sample``; the message names the first value that is not possible.
        """
        width, height = self.level_sizes[-1] if 0 < self.levels <= MAX_LEVELS else (0, 0)
        allowed = {
            "width": self.width >= MIN_LEVEL_SIZE,
            "height": self.height >= MIN_LEVEL_SIZE,
            "mpp": self.mpp is None or 0 < self.mpp < float("inf"),
            "objective_power": self.objective_power is None
            or 0 < self.objective_power < float("inf"),
            "tile_size": self.tile_size % LATTICE == 0 and 0 < self.tile_size <= PLATE_MARGIN,
            "compression": self.compression in DEFAULT_QUALITY,
            "quality": self.quality is None or 1 <= self.quality <= 100,
            "level_factor": self.level_factor in LEVEL_FACTORS,
            "levels": min(width, height) >= MIN_LEVEL_SIZE,
            "seed": self.seed >= 0,
            "islands": 0 <= self.islands <= 100,
            "coverage": 0.01 <= self.coverage <= 1,
        }
        for name, fine in allowed.items():
            if not fine:
                value = getattr(self, name)
                raise InputError(Kind.BAD_SAMPLE, f"{name}={value} is not possible: {_RULES[name]}")


_RULES = {
    "width": f"at least {MIN_LEVEL_SIZE} px",
    "height": f"at least {MIN_LEVEL_SIZE} px",
    "mpp": "µm per pixel above 0, or none",
    "objective_power": "above 0, or none",
    "tile_size": f"a multiple of {LATTICE} up to {PLATE_MARGIN} px",
    "compression": f"one of {', '.join(DEFAULT_QUALITY)}",
    "quality": "1 to 100",
    "level_factor": f"one of {', '.join(map(str, LEVEL_FACTORS))}",
    "levels": f"1 to {MAX_LEVELS}, and the last one at least {MIN_LEVEL_SIZE} px wide and high",
    "seed": "0 or more",
    "islands": "0 to 100",
    "coverage": "0.01 to 1",
}


def write_sample_slide(path: str | os.PathLike[str], slide: SampleSlide) -> None:
    """Write the slide to a local file, which appears when it is complete.

    Raises:
      InputError: ``bad_sample`` when the slide is not possible.
      OSError: when the file cannot be written.
    """
    slide.validate()
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write(temporary, slide)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: pathlib.Path, slide: SampleSlide) -> None:
    low, high = TEXTURE_MPP_LIMITS
    mpp = min(max(slide.mpp or TEXTURE_MPP, low), high)
    texture = TissueTexture(
        slide.width, slide.height, mpp, slide.seed, slide.islands, slide.coverage
    )
    encoder = TileEncoder(slide.compression, slide.encoded_quality, slide.tile_size)
    big = slide.width * slide.height > BIGTIFF_PIXELS
    with tempfile.TemporaryFile() as spill, tifffile.TiffWriter(path, bigtiff=big) as tiff:
        pyramid = Pyramid(
            texture.draw,
            encoder,
            slide.tile_size,
            slide.level_sizes,
            slide.level_factor,
            THUMBNAIL_SIZE,
            spill,
        )
        for level, (width, height) in enumerate(slide.level_sizes):
            tiff.write(
                pyramid.tiles(level),
                shape=(height, width, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(slide.tile_size, slide.tile_size),
                description=_description(slide, f" -> {width}x{height}" if level else ""),
                metadata=None,
                software=False,
                **encoder.tags,
            )
            if level == 0:
                # The second image: OpenSlide takes the first one that is not tiled for it.
                thumbnail = pyramid.thumbnail()
                resized = f" -> {thumbnail.shape[1]}x{thumbnail.shape[0]} -"
                tiff.write(
                    thumbnail,
                    photometric="rgb",
                    compression="jpeg",
                    rowsperstrip=16,
                    description=_description(slide, resized),
                    metadata=None,
                    software=False,
                )


def _description(slide: SampleSlide, resized: str) -> str:
    """Return an ImageDescription as Aperio writes it; OpenSlide reads vendor and scale there."""
    size = f"{slide.width}x{slide.height}"
    codec = {"jpeg": "JPEG/RGB Q", "jpeg2000": "J2K/KDU dB"}[slide.compression]
    fields = [
        f"Aperio Image Library v12.0.0 beamscope sample, seed {slide.seed}\r\n{size} [0,0 {size}] "
        f"({slide.tile_size}x{slide.tile_size}){resized} {codec}={slide.encoded_quality}"
    ]
    if slide.objective_power is not None:
        fields.append(f"AppMag = {slide.objective_power:g}")
    if slide.mpp is not None:
        fields.append(f"MPP = {slide.mpp:.6g}")
    return "|".join(fields)
