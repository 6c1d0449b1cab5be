"""Small files that claim to be large, by name: films, archives, images, masks and tables."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from pydicom import uid

from beamscope.transforms.xrays.sample import sample_jpeg
from tests.campaign.size import WHOLE
from tests.xrays.dicom_makers import make_dicom, ramp

# What is claimed is the same in the sample; what has to be inflated to see it is less.
LARGE = 1 << 30 if WHOLE else 1 << 28
SIDE = 10_000 if WHOLE else 3_000


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *others: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, 0))
    body = b"".join(others) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


def zeros(size: int) -> bytes:
    """That many zeroes, deflated."""
    engine, parts = zlib.compressobj(9), []
    for start in range(0, size, 1 << 24):
        parts.append(engine.compress(bytes(min(1 << 24, size - start))))
    return b"".join(parts) + engine.flush()


def jpeg_2000(**fields: int) -> bytes:
    """A codestream of 8 x 8 px whose size segment says otherwise."""
    data = bytearray(
        imagecodecs.jpeg2k_encode(np.arange(64, dtype=np.uint8).reshape(8, 8), codecformat="j2k")
    )
    places = {"width": 8, "height": 12, "left": 16, "top": 20, "tile_width": 24, "tile_height": 28}
    for name, value in fields.items():
        if name == "components":
            struct.pack_into(">H", data, 40, value)
        else:
            struct.pack_into(">L", data, places[name], value)
    return bytes(data)


def films() -> Iterator[tuple[str, bytes]]:
    """Yield films that ask for more than they are worth."""
    for side in (65535, 1_000_000, (1 << 31) - 1):
        yield f"png of {side} px.png", png(side, side, 16, 6, zlib.compress(b""))
    yield (
        f"png of {SIDE} px, RGBA of 16 bits.png",
        png(SIDE, SIDE, 16, 6, zeros(SIDE * (8 * SIDE + 1))),
    )
    yield "png of 10000 px, of which few are there.png", png(10_000, 10_000, 16, 6, zeros(1000))
    yield (
        "png with a large text.png",
        png(64, 64, 8, 0, zlib.compress(bytes(64 * 65)), chunk(b"zTXt", b"a\0\0" + zeros(LARGE))),
    )
    yield (
        "png with a large profile.png",
        png(64, 64, 8, 0, zlib.compress(bytes(64 * 65)), chunk(b"iCCP", b"a\0\0" + zeros(LARGE))),
    )
    many = b"".join(chunk(b"tEXt", b"a\0b") for _ in range(100_000))
    yield "png with 100,000 texts.png", png(64, 64, 8, 0, zlib.compress(bytes(64 * 65)), many)
    critical = chunk(b"SENT", b"SENTINEL")
    yield (
        "png with a critical chunk.png",
        png(64, 64, 8, 0, zlib.compress(bytes(64 * 65)), critical),
    )
    apple = chunk(b"CgBI", b"\x50\0\x20\2")
    data = png(64, 64, 8, 6, zlib.compress(bytes(64 * 257))[2:-4])
    yield "png of Apple.png", data[:8] + apple + data[8:]
    small = bytearray(sample_jpeg(6, 0, 64))
    at = small.index(b"\xff\xc0")
    for side in (10_001, 65_500):
        struct.pack_into(">HH", small, at + 5, side, side)
        yield f"jpeg of {side} px.jpg", bytes(small)
    struct.pack_into(">HH", small, at + 5, 10_000, 10_000)
    yield "jpeg of 10000 px, of which few are there.jpg", bytes(small)
    for name, fields in {
        "4 G px": {"width": (1 << 32) - 1, "height": (1 << 32) - 1},
        "tiles of 1 px": {"tile_width": 1, "tile_height": 1},
        "tiles of 0 px": {"tile_width": 0, "tile_height": 0},
        "an offset beyond": {"left": (1 << 32) - 1},
        "16384 components": {"components": 16384},
        "10000 px": {
            "width": 10_000,
            "height": 10_000,
            "tile_width": 10_000,
            "tile_height": 10_000,
        },
        "10000 px in tiles of 1": {
            "width": 10_000,
            "height": 10_000,
            "tile_width": 1,
            "tile_height": 1,
        },
    }.items():
        width, height = fields.get("width", 8), fields.get("height", 8)
        claimed = {"Rows": min(height, 65535), "Columns": min(width, 65535)}
        frame = jpeg_2000(**fields)
        yield (
            f"JPEG 2000 of {name}.dcm",
            make_dicom(ramp(8, 8, bits=8), uid.JPEG2000Lossless, bits=8, frame=frame, **claimed),
        )
    film = ramp(bits=12)
    for name, attributes in {
        "65535 px": {"Rows": 65535, "Columns": 65535},
        "10000 px": {"Rows": 10_000, "Columns": 10_000},
        "2 G frames": {"NumberOfFrames": (1 << 31) - 1},
    }.items():
        yield f"dicom of {name}.dcm", make_dicom(film, bits=12, **attributes)
    run = struct.pack("<16L", 2, 64, 64 + 100_000, *[0] * 13) + b"\x81\0" * 100_000
    yield "RLE that unpacks to too much.dcm", make_dicom(film, uid.RLELossless, bits=12, frame=run)
    head = make_dicom(film, uid.DeflatedExplicitVRLittleEndian, bits=12)
    meta = head[: 132 + 12 + struct.unpack_from("<L", head, 140)[0]]
    engine = zlib.compressobj(9, wbits=-15)
    big = b"".join(engine.compress(bytes(1 << 24)) for _ in range(LARGE >> 24)) + engine.flush()
    yield "deflated data set.dcm", meta + big
    deep = b"".join(
        struct.pack("<HH2s2xL", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        for _ in range(5000)
    )
    plain = make_dicom(film, bits=12)
    start = 132 + 12 + struct.unpack_from("<L", plain, 140)[0]
    yield "sequences in sequences.dcm", plain[:start] + deep + plain[start:]
    element = struct.pack("<HH2s2xL", 0x0008, 0x0008, b"UT", 0xFFFFFFF0)
    yield "an element of 4 GB.dcm", plain[:start] + element + plain[start:]


def tar_header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")[:100]
    block[100:108] = b"0000644\0"
    block[124:136] = size.ljust(12, b"\0")[:12]
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tars() -> Iterator[tuple[str, bytes]]:
    film = sample_jpeg(6, 0, 64)
    good = tar_header(b"good.jpg", b"%011o" % len(film)) + film + bytes(-len(film) % 512)
    end = bytes(1024)
    sizes = {
        "2^63 - 1": b"\x80" + bytes(3) + struct.pack(">Q", (1 << 63) - 1),
        "2^88": b"\x80" + b"\xff" * 11,
        "-512": b"\xff" * 10 + b"\xfe\0",
        "-1": b"\xff" * 12,
        "8 GiB - 1": b"77777777777",
        "words": b"a few bytes!",
    }
    for name, size in sizes.items():
        for kind in (b"0", b"5", b"x", b"L", b"S", b"g"):
            yield (
                f"size {name} of type {kind.decode()}.tar",
                good + tar_header(b"bad.jpg", size, kind) + end,
            )
    for record in (
        b"size=9223372036854775807", b"size=99999999999999999999", b"size=-1", b"size=1e9",
        b"size=",
        b"GNU.sparse.map=0,9223372036854775807", b"GNU.sparse.numblocks=9999999999",
        b"GNU.sparse.realsize=9223372036854775807", b"path=" + b"a/" * 5000 + b".jpg",
        b"path=\0\0.jpg", b"path=../../../etc/x.jpg",
    ):  # fmt: skip
        body = b" " + record + b"\n"
        length = len(body) + len(str(len(body) + 2))
        body = str(length).encode() + body
        block = tar_header(b"pax", b"%011o" % len(body), b"x") + body + bytes(-len(body) % 512)
        name = record[:24].decode("latin-1").replace("/", "_").replace("\0", "0")
        yield f"pax {name}.tar", good + block + good.replace(b"good", b"next") + end
    sparse = bytearray(tar_header(b"sparse.jpg", b"00000001000", b"S"))
    sparse[482] = 1
    yield "sparse maps without end.tar", good + bytes(sparse) + (b"\1" * 512) * 2000
    yield (
        "extensions without end.tar",
        good + (tar_header(b"x", b"00000000000", b"x")) * 20_000 + end,
    )
    yield "100,000 empty members.tar", tar_header(b"a.jpg", b"00000000000") * 100_000 + end


def zips() -> Iterator[tuple[str, bytes]]:
    film = sample_jpeg(6, 0, 64)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.jpg", film)
        archive.writestr("bomb.jpg", bytes(300 << 20))
    yield "a member of 300 MB.zip", file.getvalue()
    one = io.BytesIO()
    with zipfile.ZipFile(one, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("00000.jpg", film)
    data = one.getvalue()
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    record = data[start:end]
    records = b"".join(record.replace(b"00000.jpg", b"%05d.jpg" % n) for n in range(5000))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5000, 5000, len(records), start, 0)
    yield "one member listed 5,000 times.zip", data[:start] + records + tail
    for name, sizes in {
        "2^63": ((1 << 63), (1 << 63), 0),
        "2^64 - 1": ((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1),
        "offset 2^63": (len(film), len(film), 1 << 63),
    }.items():
        extra = struct.pack("<2H3Q", 1, 24, *sizes)
        wide = bytearray(record)
        struct.pack_into("<2L", wide, 20, 0xFFFFFFFF, 0xFFFFFFFF)
        struct.pack_into("<H", wide, 30, len(extra))
        struct.pack_into("<L", wide, 42, 0xFFFFFFFF)
        name_end = 46 + struct.unpack_from("<H", wide, 28)[0]
        wide = wide[:name_end] + extra + wide[name_end:]
        tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(wide), start, 0)
        yield f"zip64 of {name}.zip", data[:start] + bytes(wide) + tail
    for name, (size, offset) in {
        "a directory before the file": (len(record), 0xFFFFFFF0),
        "a directory of 4 GB": (0xFFFFFFF0, start),
        "a directory of 0": (0, start),
    }.items():
        tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, offset, 0)
        yield f"{name}.zip", data[:end] + tail


def names() -> list[str]:
    return [
        "a" * 300 + ".jpg", "a/" * 500 + "b.jpg", "ü" * 200 + ".jpg", "../../x.jpg", "/etc/x.jpg",
        "C:\\x.jpg", " .jpg", ".jpg", "a\nb.jpg", "a\tb.jpg", "\x1b[31mred.jpg", "a\u202egpj.b.jpg",
        "CON.jpg", "a//b.jpg", "./a.jpg", "a/./b.jpg", "-rf.jpg", "*.jpg", "a%00b.jpg",
        "\ud7ff.jpg",
        "🫁.jpg", "a" * 60_000 + ".jpg", "'; DROP TABLE films; --.jpg", "gs:/x/y.jpg",
    ]  # fmt: skip


def named_archives(folder: Path) -> Iterator[Path]:
    """Yield a zip, a tar and a tar.gz whose members have the names above."""
    film = sample_jpeg(6, 0, 64)
    path = folder / "names.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names():
            archive.writestr(name, film)
    yield path
    for path, mode in ((folder / "names.tar", "w"), (folder / "names.tar.gz", "w:gz")):
        with tarfile.open(path, mode) as archive:
            for name in [*names(), "bytes\udcff.jpg"]:
                entry = tarfile.TarInfo(name)
                entry.size = len(film)
                archive.addfile(entry, io.BytesIO(film))
        yield path


def tiff_images() -> Iterator[tuple[str, bytes]]:
    """Yield TIFF files as images, whose strips or tiles are bombs."""
    for name, compression in {"deflate": 8, "lzw": 5, "packbits": 32773}.items():
        file = io.BytesIO()
        tifffile.imwrite(
            file, np.zeros((64, 64, 3), np.uint8), photometric="rgb", compression=compression
        )
        data = bytearray(file.getvalue())
        with tifffile.TiffFile(io.BytesIO(bytes(data))) as tiff:
            page = tiff.pages[0]
            tags = {tag.name: tag for tag in page.tags}
        for tag, values in {
            "ImageWidth": (1 << 31) - 1, "ImageLength": 9_000, "SamplesPerPixel": 65535,
            "RowsPerStrip": (1 << 31) - 1, "BitsPerSample": 64,
        }.items():  # fmt: skip
            changed = bytearray(data)
            entry = tags[tag]
            form = "<H" if int(entry.dtype) == 3 else "<L"
            struct.pack_into(
                form, changed, entry.valueoffset, values & (0xFFFF if form == "<H" else 0xFFFFFFFF)
            )
            yield f"{name} {tag} {values}.tif", bytes(changed)
        bomb = zeros(LARGE) if compression == 8 else None
        if bomb:
            with_bomb = bytearray(data)
            struct.pack_into("<L", with_bomb, tags["StripOffsets"].valueoffset, len(data))
            struct.pack_into("<L", with_bomb, tags["StripByteCounts"].valueoffset, len(bomb))
            yield "deflate of much.tif", bytes(with_bomb) + bomb


def tgz_of_zeros() -> bytes:
    """A tar.gz whose one member has 3 GB of zeroes."""
    header = tar_header(b"zeros.jpg", b"%011o" % (3 << 30))
    return gzip.compress(header, 1) + gzip.compress(bytes(1 << 20), 9) * 3072
