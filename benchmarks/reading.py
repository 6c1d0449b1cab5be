"""The speed of reading patches: a loop of read_region, OpenSlide by blocks, native, bare decoding.

    python -m benchmarks.reading [--slide FILE.svs | --pixels SLIDE] [--repeats N]
                                 [--compression jpeg|jpeg2000]

The slide is drawn. With --pixels it is made from the level-0 pixels of a real slide, mirrored until
they fill it and compressed like the drawn one, because the cost of decoding a tile depends on its
content. All methods read the same blocks of patches: 448 px at 0.25 µm/px become 224 px at 0.5
µm/px, and no patch is aligned to tiles. The methods read a block in turn, so that other load on the
machine affects all alike. Time is processor time of all threads of the process, so rates are per
core.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import fastslide
import numpy as np
import openslide
import simplejpeg
import tifffile

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.slides.planning.grid import Grid, block_slices, in_block_order, lay_grid
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.read_block import read_block
from beamscope.transforms.slides.readers.geometry import ReadPlan, Region
from beamscope.transforms.slides.readers.native.jpeg import TileDecoder
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.native.tiff import TileLevel, read_levels
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.sample.slide import (
    DEFAULT_QUALITY,
    SampleSlide,
    write_sample_slide,
)
from beamscope.transforms.slides.sample.tiles import TileEncoder
from beamscope.transforms.storage.byte_source import LocalSource

SLIDE_PX = 8192
QUALITY = 70  # a usual setting of Aperio scanners
BLOCK_PATCHES = 256
PATCH_PX, READ_PX = 224, 448
FASTSLIDE_CACHE_BYTES = 256 << 20
# Even, so that the decoder can halve; no multiple of 16, so that no patch starts where a tile does.
OFFSET_PX = 86


class Contest:
    """The methods of reading a block, on one slide.

    Each method returns the pixels of the patches, except bare decoding, which returns none.
    """

    def __init__(self, path: Path) -> None:
        self.read = ReadPlan(0, 1.0, READ_PX, PATCH_PX, 0.5, 0.25)
        self._threads = ThreadPoolExecutor(1)
        self._plain = openslide.OpenSlide(path)
        self._fastslide = fastslide.FastSlide.from_file_path(str(path))
        self._fastslide.set_cache(FASTSLIDE_CACHE_BYTES)
        self._reader = OpenSlideReader(path)
        source = LocalSource(path)
        self._native = NativeReader.of_source(source, lambda: self._reader)
        assert isinstance(self._native, NativeReader), self._native
        self._level: TileLevel = read_levels(source)[1][0]
        self._source = source
        self._tiles: dict[BlockKey, list[bytes]] = {}
        self.ways: dict[str, Callable[[SlideBlock], object]] = {
            "read_region a patch, convert, resize (PIL)": self.loop,
            "fastslide a patch, resize (cv2)": self.fastslide,
            "OpenSlide by blocks": self.by_blocks,
            "native": self.native,
            "native, halved by the decoder": self.native_scaled,
            "bare decode, and each tile averaged": self.bare_averaged,
            "bare decode of the same tiles": self.bare,
            "bare decode, halved": self.bare_scaled,
        }

    def forget(self) -> None:
        """Empty fastslide's cache, which would otherwise hold the whole slide."""
        self._fastslide.clear_cache()

    def loop(self, block: SlideBlock) -> np.ndarray:
        """Read patch by patch, like CLAM, TRIDENT and most scripts."""
        patches = [
            self._plain.read_region((x, y), 0, (READ_PX, READ_PX))
            .convert("RGB")
            .resize((PATCH_PX, PATCH_PX))
            for x, y in zip(block.x_level0.tolist(), block.y_level0.tolist(), strict=True)
        ]
        return np.stack([np.asarray(patch) for patch in patches])

    def fastslide(self, block: SlideBlock) -> np.ndarray:
        """Read with fastslide, which decodes tiles itself and caches those on patch edges."""
        side = (READ_PX, READ_PX)
        patches = [
            cv2.resize(
                self._fastslide.read_region((x, y), 0, side).numpy(),
                (PATCH_PX, PATCH_PX),
                interpolation=cv2.INTER_AREA,
            )
            for x, y in zip(block.x_level0.tolist(), block.y_level0.tolist(), strict=True)
        ]
        return np.stack(patches)

    def by_blocks(self, block: SlideBlock) -> np.ndarray:
        return read_block(block, self._reader, self._threads).pixels

    def native(self, block: SlideBlock, scaled: bool = False) -> np.ndarray:
        out = np.empty((len(block), PATCH_PX, PATCH_PX, 3), np.uint8)
        read = dataclasses.replace(block.read, downscale="decoder" if scaled else "area")
        problems = self._native.read_patches(
            block.x_level0, block.y_level0, read, out, self._threads
        )
        assert not any(problems), problems
        return out

    def native_scaled(self, block: SlideBlock) -> np.ndarray:
        return self.native(block, scaled=True)

    def bare(self, block: SlideBlock, scale: int = 1, averaged: bool = False) -> None:
        """Decode every tile of the block once, from memory to memory, and average it or not."""
        level = self._level
        side = level.tile_width // scale
        pixels = np.empty((side, side, 3), np.uint8)
        half = np.empty((side // 2, side // 2, 3), np.uint8)
        decoder = level.decoder
        for data in self.tiles(block):
            if isinstance(decoder, TileDecoder):
                simplejpeg.decode_jpeg(
                    data, "RGB", min_width=side, min_height=side, min_factor=scale, buffer=pixels
                )
            else:
                decoder.decode(data, scale, pixels)
            if averaged:
                cv2.resize(pixels, half.shape[:2], dst=half, interpolation=cv2.INTER_AREA)

    def bare_averaged(self, block: SlideBlock) -> None:
        """What no way of reading at half of the resolution can leave out, but for the decoder's."""
        self.bare(block, averaged=True)

    def bare_scaled(self, block: SlideBlock) -> None:
        self.bare(block, 2)

    def tiles(self, block: SlideBlock) -> list[bytes]:
        """Return the streams of the tiles that a block touches; this is not timed."""
        if block.key not in self._tiles:
            level, width = self._level, self._level.tile_width
            places = {
                (row, column)
                for x, y in zip(block.x_level0.tolist(), block.y_level0.tolist(), strict=True)
                for row in range(y // width, (y + READ_PX - 1) // width + 1)
                for column in range(x // width, (x + READ_PX - 1) // width + 1)
            }
            stored = [
                self._source.read(int(level.offsets[place]), int(level.lengths[place]))
                for place in sorted(places)
            ]
            if isinstance(level.decoder, TileDecoder):
                stored = [level.decoder.stream(data) for data in stored]
            self._tiles = {block.key: stored}
        return self._tiles[block.key]


def write_mosaic(path: Path, pixels: Path, compression: str = "jpeg") -> None:
    """Write a 40x Aperio slide of one level from the pixels of another slide."""
    with openslide.OpenSlide(pixels) as slide:
        level0 = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    height, width = level0.shape[:2]
    mosaic = np.pad(
        level0, ((0, SLIDE_PX - height), (0, SLIDE_PX - width), (0, 0)), mode="symmetric"
    )
    description = f"Aperio Image Library\n{SLIDE_PX}x{SLIDE_PX}|AppMag = 40|MPP = 0.25"
    if compression == "jpeg2000":
        encoder = TileEncoder(compression, DEFAULT_QUALITY[compression], 256)
        tifffile.imwrite(
            path,
            (
                encoder(np.ascontiguousarray(mosaic[y : y + 256, x : x + 256]))
                for y in range(0, SLIDE_PX, 256)
                for x in range(0, SLIDE_PX, 256)
            ),
            shape=mosaic.shape,
            dtype=np.uint8,
            photometric="rgb",
            tile=(256, 256),
            compression=33005,
            description=description,
            metadata=None,
        )
        return
    tifffile.imwrite(
        path,
        mosaic,
        photometric="ycbcr",
        tile=(256, 256),
        compression="jpeg",
        compressionargs={"level": QUALITY},
        subsampling=(2, 2),
        description=description,
        metadata=None,
    )


def blocks_of(width: int, height: int, read: ReadPlan) -> list[SlideBlock]:
    region = Region(OFFSET_PX, OFFSET_PX, width - OFFSET_PX, height - OFFSET_PX)
    grid: Grid = in_block_order(lay_grid(region, read, PATCH_PX), BLOCK_PATCHES)
    x, y = grid.x_level0.astype(np.int32), grid.y_level0.astype(np.int32)
    return [
        SlideBlock(
            BlockKey("slide", number),
            "",
            read,
            "native",
            x[part],
            y[part],
            np.ones(len(x[part]), np.float32),
        )
        for number, part in enumerate(block_slices(len(x), BLOCK_PATCHES))
    ]


def measure(contest: Contest, blocks: list[SlideBlock], repeats: int) -> dict[str, list[float]]:
    """Return patches per core-second of every method, one number for each block and repeat."""
    rates: dict[str, list[float]] = {name: [] for name in contest.ways}
    for _ in range(repeats):
        contest.forget()
        for block in blocks:
            contest.tiles(block)
            for name, way in contest.ways.items():
                start = time.process_time()
                way(block)
                rates[name].append(len(block) / (time.process_time() - start))
    return rates


def table(rates: dict[str, list[float]]) -> str:
    """Return a Markdown table. Ratios are medians of the ratios within one round."""
    loop, bare = next(iter(rates)), list(rates)[-2:]
    lines = [
        "| method | patches a core-second | times the loop | of bare decode |",
        "|---|--:|--:|--:|",
    ]
    for name, values in rates.items():
        limit = rates[bare[1] if "halved" in name else bare[0]]
        to_loop, to_limit = (
            statistics.median(a / b for a, b in zip(values, other, strict=True))
            for other in (rates[loop], limit)
        )
        lines.append(
            f"| {name} | {statistics.median(values):,.0f} | {to_loop:.1f} | {to_limit:.2f} |"
        )
    return "\n".join(lines)


def parity(contest: Contest, block: SlideBlock) -> str:
    plain = contest.by_blocks(block).astype(int)
    whole, half = (
        np.abs(pixels.astype(int) - plain)
        for pixels in (contest.native(block), contest.native_scaled(block))
    )
    return (
        f"Against OpenSlide by blocks, in grey levels: native at most {whole.max()}, halved by the "
        f"decoder {half.mean():.2f} in the mean."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--slide", type=Path, help="a tiled JPEG slide (default: draw one)")
    source.add_argument("--pixels", type=Path, help="a slide whose pixels the made one uses")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compression", choices=sorted(DEFAULT_QUALITY), default="jpeg")
    parser.add_argument("--blocks", type=int, help="read the first N blocks only")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        path = options.slide or Path(scratch) / "slide.svs"
        if options.pixels:
            write_mosaic(path, options.pixels, options.compression)
        elif options.slide is None:
            compression = options.compression
            quality = QUALITY if compression == "jpeg" else DEFAULT_QUALITY[compression]
            drawn = SampleSlide(SLIDE_PX, SLIDE_PX, quality=quality, islands=1, coverage=1)
            write_sample_slide(path, dataclasses.replace(drawn, compression=compression))
        contest = Contest(path)
        blocks = blocks_of(*OpenSlideReader(path).dimensions, contest.read)
        blocks = blocks[: options.blocks]
        print(parity(contest, blocks[0]), flush=True)
        print()
        print(table(measure(contest, blocks, options.repeats)))


if __name__ == "__main__":
    main()
