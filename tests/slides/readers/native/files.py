"""Write tiled JPEG and JPEG 2000 slides of every kind that the native reader supports."""

import dataclasses
import io
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from beamscope.transforms.slides.sample.tiles import split_tables

XML_SPACING = '<Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">"{0}" "{0}"</Attribute>'
APERIO = "Aperio Image Library\r\n{width}x{height}|AppMag = 40|MPP = 0.25"


def philips_xml(downsamples) -> str:
    levels = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        f"{XML_SPACING.format(0.00025 * downsample)}</DataObject>"
        for downsample in downsamples
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES" PMSVR="IDataObjectArray"><Array>'
        '<DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE" PMSVR="IString">WSI</Attribute>'
        f"{XML_SPACING.format(0.00025)}"
        '<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" PMSVR="IDataObjectArray">'
        f"<Array>{levels}</Array></Attribute></DataObject></Array></Attribute></DataObject>"
    )


@dataclasses.dataclass(frozen=True)
class TiledSlide:
    """A slide of random blobs.

    Attributes:
      sizes: width and height of each level, as the TIFF says.
      tile: side, px.
      subsampling: of chroma; None for RGB that is stored as such, without an Adobe marker.
      tables: whether quantisation and Huffman tables are in the JPEGTables tag.
      description: of the first directory.
      missing: (level, tile) pairs without data.
      compression: of the tiles: 7 for JPEG, or one of Aperio's for JPEG 2000, 33003 and 33005.
    """

    sizes: tuple[tuple[int, int], ...] = ((700, 600),)
    tile: int = 128
    subsampling: tuple[int, int] | None = (2, 2)
    photometric: str = "rgb"
    tables: bool = True
    bigtiff: bool = False
    description: str | None = None
    software: str | bool = False
    missing: tuple[tuple[int, int], ...] = ()
    compression: int = 7


PYRAMID = ((700, 600), (350, 300), (175, 150))
ODD_PYRAMID = ((700, 600), (233, 200), (77, 66))
KINDS = {
    "one level": TiledSlide(),
    "tiles of 240": TiledSlide(tile=240),
    "photometric YCbCr": TiledSlide(photometric="ycbcr"),
    "chroma at full size": TiledSlide(subsampling=(1, 1)),
    "chroma halved across": TiledSlide(subsampling=(2, 1)),
    "stored RGB, nowhere said in the JPEG": TiledSlide(subsampling=None),
    "tables in each tile": TiledSlide(tables=False),
    "BigTIFF": TiledSlide(bigtiff=True),
    "whole downsamples": TiledSlide(PYRAMID),
    "fractional downsamples": TiledSlide(ODD_PYRAMID),
    "Aperio": TiledSlide(ODD_PYRAMID, description=APERIO),
    "Aperio without a tile of level 0": TiledSlide(description=APERIO, missing=((0, 8),)),
    "Aperio, JPEG 2000 of RGB": TiledSlide(ODD_PYRAMID, description=APERIO, compression=33005),
    "Aperio, JPEG 2000 of YCbCr": TiledSlide(PYRAMID, description=APERIO, compression=33003),
    "Aperio, JPEG 2000 without a tile": TiledSlide(
        description=APERIO, compression=33005, missing=((0, 8),)
    ),
    "without tiles": TiledSlide(PYRAMID, missing=((0, 8), (0, 9), (1, 3))),
    "without a tile, fractional": TiledSlide(ODD_PYRAMID, missing=((1, 1),)),
    # Philips pads its lower levels to whole tiles and says so in the TIFF; OpenSlide knows better.
    "Philips": TiledSlide(
        ((700, 600), (384, 384), (256, 256)),
        description=philips_xml([1, 2, 4]),
        software="Philips DP v1.0",
        missing=((1, 2),),
    ),
}


def blobs(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5).astype(float)
    return np.clip((smooth - 127) * 6 + 127, 0, 255).astype(np.uint8)


def write_slide(path: Path, slide: TiledSlide) -> Path:
    image = blobs(*slide.sizes[0])
    images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for size in slide.sizes]
    write_levels(path, slide, images)
    for level, tile in slide.missing:
        drop_tile(path, level, tile)
    return path


def write_levels(path: Path, slide: TiledSlide, images) -> None:
    """Writes a slide of the images given, whatever its `sizes`; no tile is left out."""
    with tifffile.TiffWriter(path, bigtiff=slide.bigtiff) as tiff:
        for level, pixels in enumerate(images):
            height, width = pixels.shape[:2]
            encoded = [encode(tile, slide) for tile in cut(pixels, slide.tile)]
            tables = slide.tables and slide.compression == 7
            tags = {"jpegtables": split_tables(encoded[0])[0]} if tables else {}
            tiff.write(
                (split_tables(tile)[1] if tables else tile for tile in encoded),
                shape=(height, width, 3),
                dtype=np.uint8,
                photometric=slide.photometric,
                compression=slide.compression,
                subsampling=slide.subsampling if slide.compression == 7 else None,
                tile=(slide.tile, slide.tile),
                description=slide.description if level == 0 else None,
                software=slide.software if level == 0 else False,
                subfiletype=1 if level else 0,
                metadata=None,
                **tags,
            )


def cut(pixels: np.ndarray, side: int):
    for top in range(0, pixels.shape[0], side):
        for left in range(0, pixels.shape[1], side):
            part = pixels[top : top + side, left : left + side]
            edges = ((0, side - part.shape[0]), (0, side - part.shape[1]), (0, 0))
            yield np.ascontiguousarray(np.pad(part, edges, mode="edge"))


def encode(tile: np.ndarray, slide: TiledSlide) -> bytes:
    if slide.compression != 7:
        if slide.compression == 33003:
            tile = cv2.cvtColor(tile, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
        return jpeg_2000(tile, irreversible=True, quality_layers=[8])
    if slide.subsampling is None:
        jpeg = imagecodecs.jpeg8_encode(tile, 85, colorspace="RGB", outcolorspace="RGB")
        return anonymous(bytes(jpeg))
    return bytes(
        imagecodecs.jpeg8_encode(
            tile, 85, colorspace="RGB", outcolorspace="YCBCR", subsampling=slide.subsampling
        )
    )


def jpeg_2000(tile: np.ndarray, *, mct: int = 0, **options) -> bytes:
    """A codestream of three components as they are; see Pillow for the options."""
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG2000", no_jp2=True, mct=mct, **options)
    return buffer.getvalue()


def anonymous(jpeg: bytes) -> bytes:
    """An RGB JPEG that does not say so: no Adobe marker, components 0, 1, 2 instead of R, G, B."""
    at = jpeg.index(b"\xff\xee")
    jpeg = jpeg[:at] + jpeg[at + 16 :]
    header, rest = jpeg[: (sos := jpeg.index(b"\xff\xda"))], jpeg[sos:]
    for number, name in enumerate(b"RGB"):
        header = header.replace(bytes([name, 0x11]), bytes([number, 0x11]))
        rest = rest.replace(bytes([name, 0]), bytes([number, 0]), 1)
    return header + rest


def tile_place(path: Path, level: int, tile: int) -> tuple[int, int]:
    """Offset and length of a tile's data in the file."""
    with tifffile.TiffFile(path) as tiff:
        page = [page for page in tiff.pages if page.is_tiled][level]
        return page.dataoffsets[tile], page.databytecounts[tile]


def drop_tile(path: Path, level: int, tile: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = [page for page in tiff.pages if page.is_tiled][level]
        for name in ("TileOffsets", "TileByteCounts"):
            values = list(page.tags[name].value)
            values[tile] = 0
            page.tags[name].overwrite(tuple(values))


# Where of a tile bytes are replaced, and by which.
DAMAGES = {
    "zeros in the data": (1500, bytes(400)),
    "other bits": (700, b"\x55"),
    "a marker that does not belong there": (400, b"\xff\xae\xff"),
    "an end of image too early": (700, b"\xff\xd9"),
    "a broken header": (20, bytes(2)),
    "not JPEG at all": (0, b"PNG!"),
}


def damage(path: Path, level: int, tile: int, at: int, data: bytes) -> None:
    """Overwrites bytes of a tile, from `at` on."""
    offset, _ = tile_place(path, level, tile)
    with path.open("r+b") as file:
        file.seek(offset + at)
        file.write(data)


def with_tiles(path: Path, source: Path, change) -> Path:
    """A copy of a slide of one level, its tiles changed by a function of number and bytes."""
    with tifffile.TiffFile(source) as tiff:
        page = tiff.pages[0]
        data = source.read_bytes()
        tiles = [
            change(number, data[offset : offset + length])
            for number, (offset, length) in enumerate(
                zip(page.dataoffsets, page.databytecounts, strict=True)
            )
        ]
        tables = page.jpegtables
        size, side = (page.imagelength, page.imagewidth, 3), page.tilewidth
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            iter(tiles),
            shape=size,
            dtype=np.uint8,
            photometric="rgb",
            compression=7,
            subsampling=(2, 2),
            tile=(side, side),
            metadata=None,
            jpegtables=tables,
        )
    return path
