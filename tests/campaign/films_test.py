"""Films and archives that are damaged at random."""

import gzip
import io
import random
import tarfile
import zipfile

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid

from beamscope.transforms.xrays.sample import sample_film, sample_jpeg
from tests.campaign.children import Task
from tests.campaign.mutations import mutate, mutate_tar, sign_place
from tests.campaign.size import SEED, report, run, share
from tests.xrays.dicom_makers import LOSSLESS, make_dicom, ramp


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def films():
    """Every kind of film by name, the format first."""
    grey = sample_film(6, size=160)
    found = {
        "jpeg.jpg": sample_jpeg(6, 0, 160),
        "jpeg_progressive.jpg": bytes(
            imagecodecs.jpeg8_encode(grey, 90, optimize=True, smoothing=False)
        ),
        "jpeg_12.jpg": bytes(
            imagecodecs.jpeg8_encode(grey.astype(np.uint16) * 16, 90, bitspersample=12)
        ),
        "png.png": png(grey),
        "png_16.png": png(grey.astype(np.uint16) * 257),
        "png_rgba.png": png(np.dstack([grey] * 4)),
    }
    found |= {
        f"dicom_{number}.dcm": make_dicom(ramp(160, 160, bits=12), syntax, bits=12)
        for number, syntax in enumerate((*LOSSLESS, uid.JPEGBaseline8Bit))
        if syntax != uid.JPEGBaseline8Bit
    }
    return found


_SIGNS = {
    "jpeg": ((b"\xff\xc0", b"\xff\xc2", b"\xff\xc1", b"\xff\xc4", b"\xff\xda", b"\xff\xdb"), 24),
    "png": ((b"IHDR", b"IDAT", b"PLTE", b"IEND", b"tRNS"), 24),
    "dicom": ((b"\x28\0", b"\x02\0\x10\0", b"\xe0\x7f\x10\0", b"\xfe\xff\0\xe0", b"\xff\x4f"), 24),
    "zip": ((b"PK\1\2", b"PK\3\4", b"PK\5\6"), 46),
}


def test_damaged_films(tmp_path):
    rng = random.Random(SEED)
    kinds = {}
    for name, data in films().items():
        path = tmp_path / f"done_{name}"
        path.write_bytes(data)
        kinds[path] = data, sign_place(data, *_SIGNS[name.partition("_")[0].partition(".")[0]])

    def tasks():
        for number in range(share(1400, 100)):
            path = list(kinds)[number % len(kinds)]
            data, place = kinds[path]
            what, damaged = mutate(data, rng, place)
            file = tmp_path / f"{number}_{path.name.removeprefix('done_')}"
            file.write_bytes(damaged)
            yield Task(
                f"{file.name}: {what}",
                "tests.campaign.films:compare",
                {"path": str(file), "original": str(path)},
            )

    report("films", list(run(tasks(), tmp_path)))


def archives(folder):
    members = {f"p{number}/{name}": data for number, (name, data) in enumerate(films().items())}
    stored, deflated, tar, tgz = (
        folder / f"done.{ending}" for ending in ("stored.zip", "zip", "tar", "tar.gz")
    )
    for path, method in ((stored, zipfile.ZIP_STORED), (deflated, zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    for path, mode in ((tar, "w"), (tgz, "w:gz")):
        with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:
            for name, data in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                if name.startswith("p3/"):
                    entry.pax_headers = {"comment": "x" * 99, "path": name}
                archive.addfile(entry, io.BytesIO(data))
    return [stored, deflated, tar, tgz]


def test_damaged_archives(tmp_path):
    rng = random.Random(SEED)
    whole = archives(tmp_path)
    tar_bytes = whole[2].read_bytes()

    def tasks():
        for number in range(share(600, 40)):
            path = whole[number % 4]
            data = path.read_bytes()
            if path.suffix == ".zip":
                what, data = mutate(data, rng, sign_place(data, *_SIGNS["zip"]))
            elif path.suffix == ".tar":
                what, data = mutate_tar(data, rng)
            elif rng.random() < 0.5:
                what, data = mutate(data, rng)
            else:
                # The tar is damaged, and its compression is sound.
                what, changed = mutate_tar(tar_bytes, rng)
                data = gzip.compress(changed, 1)
            file = tmp_path / path.name.replace("done", str(number))
            file.write_bytes(data)
            yield Task(
                f"{file.name}: {what}",
                "tests.campaign.films:read_source",
                {"path": str(file), "original": str(path)},
            )

    report("archives", list(run(tasks(), tmp_path)))
