"""The picture of a sample slide: islands of H&E-like tissue on a pale background.

Each pixel depends on its position alone, so that tiles of any size fit together without seams.
Large shapes (islands, glands) are value noise and jittered grids on an integer hash, evaluated on a
lattice of `LATTICE` pixels. Fine texture is cut from periodic plates, which are made once. Nuclei
are stamped from a bank.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.sample.noise import (
    LATTICE,
    cut,
    hash_uint32,
    plate,
    upsample,
    value_noise,
    wrapped,
)

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

# Optical densities in red, green and blue, of unit length: haematoxylin by Ruifrok and Johnston
# (Anal Quant Cytol Histol 23, 2001); eosin as QuPath's default for H&E, whose pink is truer.
HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.22, 0.80, 0.56)
BACKGROUND = (243, 241, 244)  # light through bare glass, as scanners leave it
NOISE = 1.4  # of the camera, grey levels
DENSITY_STEP = 1 / 128  # stain amounts are uint8 in this unit of optical density

# Sizes in tissue, µm.
GLAND_SPACING = 135.0
GLAND_RADIUS = (38.0, 66.0)
NUCLEUS_SPACING = 6.2
FISSURE_WAVELENGTH = 210.0
EDGE_WIDTH = 5.0
# Nuclei: half axes in µm and stain in optical density.
NUCLEI = {"stroma": (5.6, 1.4, 1.1), "gland": (4.6, 2.6, 0.95), "lymphocyte": (2.6, 2.4, 1.25)}
DIRECTIONS = 12
VARIANTS = 6

# Periods of the texture plates, px: coprime, so that their sum repeats after half a million.
PLATE_PERIODS = (729, 800)


@dataclasses.dataclass(frozen=True, eq=False)
class _Shapes:
    """Zones of tissue at given points.

    Attributes:
      tissue: signed depth below the surface of an island, µm; negative outside.
      gland: distance from the gland's centre over its radius; 9 where there is none.
      direction: angle from the gland's centre, radians.
    """

    tissue: F64
    gland: F64
    direction: F64


class TissueTexture:
    """The picture of a whole slide, drawn one rectangle at a time.

    Args:
      width: of the slide, px.
      height: of the slide, px.
      mpp: size of a pixel in the tissue that is drawn, µm.
      seed: another seed, another slide.
      islands: pieces of tissue; 0 for bare glass.
      coverage: fraction of the slide that is tissue, roughly; 1 covers it all.
    """

    def __init__(
        self, width: int, height: int, mpp: float, seed: int, islands: int, coverage: float
    ) -> None:
        self._mpp = mpp
        rng = np.random.default_rng(seed)
        self._salt = int(rng.integers(2**31))
        self._islands = _place_islands(rng, width * mpp, height * mpp, islands, coverage)
        self._everywhere = islands > 0 and coverage >= 1
        self._fibres = plate(rng, PLATE_PERIODS[0], (9.0 / mpp, 1.4 / mpp), waves=True)
        self._grain = plate(rng, PLATE_PERIODS[1], (0.7 / mpp, 0.6 / mpp), waves=False)
        noise = rng.normal(0, NOISE, (PLATE_PERIODS[1], PLATE_PERIODS[0], 3))
        self._noise = wrapped(np.rint(noise).astype(np.int16))
        self._stamps = {
            kind: _stamps(rng, along / mpp, across / mpp, density)
            for kind, (along, across, density) in NUCLEI.items()
        }
        self._colours = _colours()

    def draw(self, x: int, y: int, width: int, height: int) -> U8:
        """Draw a rectangle, uint8 RGB ``[height, width, 3]``.

        All four in px and multiples of `LATTICE`; width and height are at most `PLATE_MARGIN`.
        """
        noise = cut(self._noise, x, y, width, height)
        columns, rows = np.meshgrid(
            np.arange(x, x + width + 1, LATTICE) * self._mpp,
            np.arange(y, y + height + 1, LATTICE) * self._mpp,
        )
        shapes = self._shapes(columns, rows)
        if shapes.tissue.max() <= 0:
            return (np.array(BACKGROUND, np.int16) + noise).clip(0, 255).astype(np.uint8)
        haematoxylin, eosin = self._stains(shapes, x, y, width, height)
        self._stamp_nuclei(haematoxylin, x, y)
        # Last of all the outline, which cuts nuclei too.
        tissue = np.clip(upsample(shapes.tissue) * np.float32(1 / EDGE_WIDTH), 0, 1)
        index = (haematoxylin * tissue).astype(np.uint16) * 256 + (eosin * tissue).astype(np.uint16)
        pixels = self._colours[index]
        # Tissue scatters: it is noisier than glass, which is what JPEG spends most of its bytes on.
        noisy = noise * (1 + 2 * (tissue > 0).astype(np.int16))[..., None]
        return (pixels + noisy).clip(0, 255).astype(np.uint8)

    def _shapes(self, x: F64, y: F64) -> _Shapes:
        """Return the zones at points in µm."""
        salt = self._salt
        warp = 14 * value_noise(x, y, 55, salt + 5)
        gland, direction = self._glands(x, y, warp)
        if self._everywhere:
            return _Shapes(np.full_like(x, 1e4), gland, direction)
        depth = np.full_like(x, -1e4)
        for cx, cy, rx, ry in self._islands:
            size = math.sqrt(rx * ry)
            inside = 1 - np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
            depth = np.maximum(depth, inside * size)
        size = min((min(rx, ry) for _, _, rx, ry in self._islands), default=1)
        depth = depth + size * 0.42 * value_noise(x, y, size * 0.9, salt)
        depth += size * 0.15 * value_noise(x, y, size * 0.33, salt + 1) + warp * 0.5
        fissure = np.abs(value_noise(x, y, FISSURE_WAVELENGTH, salt + 3))
        thin = 0.1 * value_noise(x, y, 500, salt + 4) - 0.03
        tissue = np.minimum(depth, (fissure - thin) * FISSURE_WAVELENGTH)
        return _Shapes(tissue, gland, direction)

    def _glands(self, x: F64, y: F64, warp: F64) -> tuple[F64, F64]:
        """Return relative distance and direction from the nearest gland of a jittered grid."""
        i, j = np.floor(x / GLAND_SPACING), np.floor(y / GLAND_SPACING)
        di = np.array([-1, 0, 1] * 3).reshape(9, *[1] * x.ndim)
        dj = np.array([-1, -1, -1, 0, 0, 0, 1, 1, 1]).reshape(9, *[1] * x.ndim)
        i, j = i.astype(np.int64) + di, j.astype(np.int64) + dj
        h = hash_uint32(i, j, self._salt + 10)
        low, high = GLAND_RADIUS
        # Bytes of one hash: position in the cell, size, and whether there is a gland at all.
        cx = (i + 0.2 + 0.6 * (h & 255) / 256) * GLAND_SPACING
        cy = (j + 0.2 + 0.6 * (h >> 8 & 255) / 256) * GLAND_SPACING
        radius = low + (high - low) * (h >> 16 & 255) / 256
        stretch = 0.75 + 0.5 * (h >> 20 & 15) / 16
        dx, dy = (x - cx) * stretch, (y - cy) / stretch
        ratio = (np.sqrt(dx * dx + dy * dy) + warp) / radius
        lives = (h >> 24) < 190 + 130 * value_noise(cx, cy, 1100, self._salt + 11)
        ratio = np.where(lives, ratio, 9.0)
        nearest = ratio.argmin(axis=0)[None]
        gland = np.take_along_axis(ratio, nearest, 0)[0]
        towards = np.arctan2(np.take_along_axis(dy, nearest, 0), np.take_along_axis(dx, nearest, 0))
        return np.maximum(gland, 0), towards[0]

    def _stains(self, shapes: _Shapes, x: int, y: int, width: int, height: int) -> tuple[U8, F32]:
        """Return haematoxylin and eosin ``[height, width]``, without nuclei and outline."""
        gland = upsample(np.minimum(shapes.gland, 2))
        fibres = cut(self._fibres, x, y, width, height)
        grain = cut(self._grain, x, y, width, height)
        steep = np.float32(10)  # a gland's borders are a tenth of its radius wide
        epithelium = np.clip((1 - gland) * steep, 0, 1)
        lumen = np.clip((np.float32(0.36) - gland) * steep, 0, 1)
        apical = np.clip((np.float32(0.78) - gland) * np.float32(4), 0, 1)

        stroma_eosin = np.clip(40 + 16 * fibres + 13 * grain, 5, 110)
        gland_eosin = 44 - 18 * apical + 11 * grain
        eosin = stroma_eosin + (gland_eosin - stroma_eosin) * epithelium
        haematoxylin = 8 + 3 * fibres + 4 * grain + (26 - 10 * apical + 8 * grain) * epithelium
        eosin += (4 + 3 * grain - eosin) * lumen
        haematoxylin += (2 + 2 * grain - haematoxylin) * lumen
        return np.clip(haematoxylin, 0, 255).astype(np.uint8), np.clip(eosin, 0, 255)

    def _stamp_nuclei(self, haematoxylin: U8, x: int, y: int) -> None:
        """Add those nuclei of a jittered grid that lie in the rectangle at (x, y)."""
        height, width = haematoxylin.shape
        spacing = NUCLEUS_SPACING / self._mpp
        reach = max(bank.shape[-1] for bank in self._stamps.values()) // 2 + 1
        i, j = np.meshgrid(
            np.arange(math.floor((x - reach) / spacing), math.ceil((x + width + reach) / spacing)),
            np.arange(math.floor((y - reach) / spacing), math.ceil((y + height + reach) / spacing)),
        )
        h = hash_uint32(i.ravel(), j.ravel(), self._salt + 20)
        cx = np.floor((i.ravel() + (h & 255) / 256) * spacing).astype(np.int64)
        cy = np.floor((j.ravel() + (h >> 8 & 255) / 256) * spacing).astype(np.int64)
        x_um, y_um = np.float64(self._mpp) * cx, np.float64(self._mpp) * cy
        shapes = self._shapes(x_um, y_um)
        chance, variant = (h >> 16 & 255) / 256, (h >> 24) % VARIANTS
        turn = (h >> 19) % DIRECTIONS
        # Basal nuclei of the glands point at its centre; those of the stroma lie as they like.
        radial = np.rint(shapes.direction / math.pi * DIRECTIONS).astype(np.int64) % DIRECTIONS
        inside = shapes.tissue > EDGE_WIDTH
        crowd = 0.02 + 0.14 * value_noise(x_um, y_um, 260, self._salt + 21)
        basal = inside & (shapes.gland > 0.66) & (shapes.gland < 0.95) & (chance < 0.9)
        around = inside & (shapes.gland >= 1.02)
        spindle = around & (chance < 0.10)
        round_ = around & ~spindle & (chance < 0.10 + 2.5 * np.maximum(crowd, 0))
        for kind, chosen, angle in (
            ("gland", basal, radial),
            ("stroma", spindle, turn),
            ("lymphocyte", round_, turn),
        ):
            bank = self._stamps[kind]
            half = bank.shape[-1] // 2
            for k in np.flatnonzero(chosen):
                _stamp(
                    haematoxylin,
                    bank[angle[k], variant[k]],
                    int(cx[k]) - x - half,
                    int(cy[k]) - y - half,
                )


def _place_islands(
    rng: np.random.Generator, width: float, height: float, count: int, coverage: float
) -> list[tuple[float, float, float, float]]:
    """Return centre and half axes (µm) of islands side by side along the longer side."""
    placed = []
    area = coverage * width * height / max(count, 1)
    long, short = max(width, height), min(width, height)
    for n in range(count):
        along = (n + 0.5 + rng.uniform(-0.08, 0.08)) * long / count
        across = short * rng.uniform(0.42, 0.58)
        # As wide as its share of the slide allows, and as long as its area then asks for.
        half_along = min(math.sqrt(area / math.pi) * rng.uniform(0.8, 1.1), 0.5 * long / count)
        half_across = area / math.pi / half_along
        ellipse = (along, across, half_along, half_across)
        placed.append(ellipse if width >= height else (across, along, half_across, half_along))
    return placed


def _stamps(rng: np.random.Generator, along: float, across: float, density: float) -> U8:
    """Draw nuclei in every direction: uint8 ``[DIRECTIONS, VARIANTS, n, n]`` of stain to add."""
    half = math.ceil(1.3 * max(along, across)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    bank = np.empty((DIRECTIONS, VARIANTS, 2 * half + 1, 2 * half + 1), np.uint8)
    for variant in range(VARIANTS):
        a, b = along * rng.uniform(0.75, 1.25), across * rng.uniform(0.75, 1.25)
        depth = density * rng.uniform(0.7, 1.1) / DENSITY_STEP
        clumps = rng.uniform(-1, 1, (4, 2)) * (0.5 * a, 0.5 * b)
        for direction in range(DIRECTIONS):
            angle = math.pi * direction / DIRECTIONS
            u = x * math.cos(angle) + y * math.sin(angle)
            v = y * math.cos(angle) - x * math.sin(angle)
            radius = np.sqrt((u / a) ** 2 + (v / b) ** 2)
            body = np.clip((1 - radius) * min(a, b) * 0.9 + 0.5, 0, 1)
            # Chromatin: darker at the membrane and in a few clumps.
            chromatin = 0.62 + 0.3 * radius**2
            for cu, cv in clumps:
                near = ((u - cu) ** 2 + (v - cv) ** 2) / (0.25 * min(a, b)) ** 2
                chromatin = chromatin + 0.3 / (1 + near * near)
            bank[direction, variant] = np.clip(np.rint(depth * body * chromatin), 0, 200)
    return bank


def _stamp(canvas: U8, stamp: U8, x: int, y: int) -> None:
    """Lay the stamp's top left corner at (x, y). The darker pixel stays, whatever the order."""
    height, width = canvas.shape
    n = len(stamp)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + n, width), min(y + n, height)
    if left < right and top < bottom:
        target = canvas[top:bottom, left:right]
        np.maximum(target, stamp[top - y : bottom - y, left - x : right - x], out=target)


def _colours() -> npt.NDArray[np.int16]:
    """Return RGB by haematoxylin * 256 + eosin, int16 ``[65536, 3]`` (Beer and Lambert)."""
    haematoxylin, eosin = np.divmod(np.arange(65536), 256)
    density = haematoxylin[:, None] * np.array(HAEMATOXYLIN) + eosin[:, None] * np.array(EOSIN)
    return np.rint(np.array(BACKGROUND) * np.exp(-density * DENSITY_STEP)).astype(np.int16)
