"""Plan a damaged slide, read all of its patches, and compare them with the undamaged slide's."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from beamscope.transforms.image_files.pixels import resample
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.plan import FailedPlan, ReadyPlan, SlidePlan
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.read_block import read_block, unreadable_block
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.pool import close_slides, open_planned
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings

# Between two decoders of the same bytes: rounding of colours.
_TOLERANCE = 2


def plan_and_read(
    path: str, reader: str = "auto", blocks: int = 4, **settings: Any
) -> dict[str, Any]:
    """Plan a slide, and read some of its blocks."""
    plan = _plan(path, reader, settings)
    if not isinstance(plan, ReadyPlan):
        return _not_ready(plan)
    read, lost = _read(plan, blocks)
    return {"kind": "done", "read": len(read), "failed": len(lost)}


def compare(path: str, original: str, reader: str, **settings: Any) -> dict[str, Any]:
    """Plan and read a damaged slide, and account for each patch that is not as it was.

    Returns:
      the kind of the slide's problem, or ``done`` and the numbers of patches: the ``same`` as in
      the original, ``failed``, ``proven`` to be what the damaged file holds, and ``unproven``.
    """
    plan = _plan(path, reader, settings)
    if not isinstance(plan, ReadyPlan):
        return _not_ready(plan)
    patches, lost = _read(plan, None)
    if len(patches) + len(lost) != len(plan.x_level0):
        raise AssertionError(f"{len(plan.x_level0)} planned, {len(patches)} + {len(lost)}")
    before = _original(original, reader, tuple(settings.items()))
    changed = [
        place for place, pixels in patches.items()
        if place not in before or not np.array_equal(pixels, before[place])
    ]  # fmt: skip
    unproven = []
    for place in changed:
        held = _held(path, plan.read, *place)
        if held is None or np.abs(held.astype(int) - patches[place]).max() > _TOLERANCE:
            unproven.append(place)
    return {
        "kind": "done",
        "reader": plan.reader,
        "same": len(patches) - len(changed),
        "failed": len(lost),
        "proven": len(changed) - len(unproven),
        "unproven": unproven[:5],
    }


def _plan(path: str, reader: str, settings: dict[str, Any]) -> SlidePlan:
    settings = dict(settings)
    request = SlideRequest("slide", path, assume_mpp=settings.pop("assume_mpp", None))
    return plan_slide(request, SlideSettings(reader=reader, **settings))


def _not_ready(plan: Any) -> dict[str, Any]:
    if isinstance(plan, FailedPlan):
        if plan.problem.kind == Kind.DEFECT or "\n" in plan.problem.message:
            raise AssertionError(plan.problem)
        return {"kind": plan.problem.kind, "message": plan.problem.message}
    return {"kind": "empty", "message": plan.reason}


def _read(
    plan: ReadyPlan, most: int | None
) -> tuple[dict[tuple[int, int], np.ndarray], list[InputError]]:
    patches: dict[tuple[int, int], np.ndarray] = {}
    lost = []
    with ThreadPoolExecutor(4) as threads:
        for number, block in enumerate(plan.blocks()):
            if number == most:
                break
            try:
                slide = open_planned(block.reader, block.uri, version=block.version)
                images = read_block(block, slide, threads)
            except InputError as error:
                images = unreadable_block(block, error)
            rows = images.rows.to_pydict()
            places = zip(rows["x_level0"], rows["y_level0"], strict=True)
            patches.update(zip(places, images.pixels, strict=True))
            lost += images.problems
    close_slides()
    return patches, lost


@functools.lru_cache(maxsize=64)
def _original(
    path: str, reader: str, settings: tuple[tuple[str, Any], ...]
) -> dict[Any, np.ndarray]:
    plan = _plan(path, reader, dict(settings))
    assert isinstance(plan, ReadyPlan)
    patches, lost = _read(plan, None)
    assert not lost
    return patches


def _held(path: str, read: ReadPlan, x: int, y: int) -> np.ndarray | None:
    """Return a patch by tifffile and Pillow alone: what the bytes of the file say.

    Returns:
      uint8 ``[patch_px, patch_px, 3]``; None where they cannot read it.
    """
    if read.downsample != 1:
        return None
    side = read.read_px
    try:
        whole = _hamamatsu(path, Path(path).stat().st_mtime_ns)
        if whole is not None:
            region = np.full((side, side, 3), 255, np.uint8)
            part = whole[y : y + side, x : x + side]
            region[: len(part), : part.shape[1]] = part
            return resample(region, read.patch_px, read.patch_px)
        with tifffile.TiffFile(path) as tiff:
            tiled = [page for page in tiff.pages if page.is_tiled]
            page = (
                tiled[0]
                if tiff.pages[0].description.startswith("Aperio")
                else max(tiled, key=lambda page: page.imagewidth)
            )
            region = np.full((read.read_px, read.read_px, 3), 255, np.uint8)
            for top, left, pixels in _tiles(page, x, y, read.read_px):
                part = region[max(0, top - y) :, max(0, left - x) :]
                piece = pixels[max(0, y - top) :, max(0, x - left) :]
                h, w = min(len(part), len(piece)), min(part.shape[1], piece.shape[1])
                part[:h, :w] = piece[:h, :w]
    except Exception:  # noqa: BLE001, whatever tifffile makes of the damage
        return None
    return resample(region, read.patch_px, read.patch_px)


@functools.lru_cache(maxsize=2)
def _hamamatsu(path: str, changed: int) -> np.ndarray | None:
    """Return level 0 of a Hamamatsu slide, which is one JPEG; None for any other slide."""
    del changed
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        if 65420 not in tags:
            return None
        offset, length = (int(np.ravel(tags[code].value)[0]) for code in (273, 279))
        tiff.filehandle.seek(offset)
        data = tiff.filehandle.read(length)
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _tiles(page: tifffile.TiffPage, x: int, y: int, side: int) -> Iterator[tuple[int, int, Any]]:
    across = -(-page.imagewidth // page.tilewidth)
    for row in range(y // page.tilelength, (y + side - 1) // page.tilelength + 1):
        for column in range(x // page.tilewidth, (x + side - 1) // page.tilewidth + 1):
            index = row * across + column
            top, left = row * page.tilelength, column * page.tilewidth
            if left >= page.imagewidth or top >= page.imagelength:
                continue
            length = page.databytecounts[index]
            if not length:
                continue
            decode, tables, file = page.decode, page.jpegtables, page.parent.filehandle
            file.seek(page.dataoffsets[index])
            pixels, _, _ = decode(file.read(length), index, jpegtables=tables)
            pixels = pixels[0, : page.imagelength - top, : page.imagewidth - left]
            yield top, left, pixels
