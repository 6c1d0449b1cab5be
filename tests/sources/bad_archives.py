"""Archives that hold every kind of bad member among good ones."""

import io
import tarfile
import warnings
import zipfile

import numpy as np
from PIL import Image

from beamscope.transforms.xrays.sample import sample_film, sample_jpeg
from tests.sources.archive_makers import add_file, add_special, encrypt_flag, zip_link
from tests.xrays.dicom_makers import make_dicom, ramp


def _png():
    file = io.BytesIO()
    Image.fromarray(sample_film(6, size=80)).save(file, "PNG")
    return file.getvalue()


# A JPEG by the name of a PNG is a film all the same.
GOOD = {
    "good/0.jpg": sample_jpeg(6, 0, 64),
    "good/1.jpeg": sample_jpeg(6, 1, 64),
    "good/2.png": _png(),
    "good/3.png": sample_jpeg(6, 3, 64),
    "good/4.dcm": make_dicom(ramp(bits=12), bits=12),
    "good/IM0001": make_dicom(ramp(bits=12), bits=12),
    "z/last.jpg": sample_jpeg(6, 4, 64),
}
_FILM = ramp(bits=12)


# Name, bytes and kind of problem; the limits are 1 MiB and a million pixels.
_JPEG, _WHOLE_PNG, _DICOM = sample_jpeg(7, 0, 64), _png(), make_dicom(_FILM, bits=12)
_BAD = (
    ("bad/page.jpg", b"<!DOCTYPE html><html></html>", "not_a_film"),
    ("bad/empty.png", b"", "not_a_film"),
    ("bad/text.dcm", b"a list of films", "not_a_film"),
    ("bad/IM0002", b"no DICOM", "not_a_film"),
    ("bad/mangled.png", _WHOLE_PNG.replace(b"\r\n", b"\n"), "not_a_film"),
    ("bad/cut.jpg", _JPEG[: len(_JPEG) // 2], "truncated_image"),
    ("bad/mended.jpg", _JPEG[: len(_JPEG) // 2] + b"\xff\xd9", "corrupt_image"),
    ("bad/cut.png", _WHOLE_PNG[: len(_WHOLE_PNG) // 2], "truncated_image"),
    ("bad/cut.dcm", _DICOM[: len(_DICOM) // 2], "truncated_image"),
    ("bad/header.dcm", _DICOM[:200], "truncated_image"),
    ("bad/frames.dcm", make_dicom(_FILM, bits=12, NumberOfFrames=2), "multi_frame"),
    ("bad/report.dcm", make_dicom(_FILM, bits=12, PixelData=None), "no_pixels"),
    ("bad/wide.dcm", make_dicom(_FILM, bits=12, Columns=60000), "too_many_pixels"),
    ("bad/huge.jpg", sample_jpeg(7, 1, 1400), "too_many_pixels"),
    ("bad/big.jpg", np.random.default_rng(0).bytes(2 << 20), "member_too_big"),
    ("bad/inner.zip", b"PK\5\6" + bytes(18), "nested_archive"),
    ("bad/inner.dcm.gz", b"\x1f\x8b", "nested_archive"),
    ("bad/../../escape.jpg", b"", "not_a_film"),
    ("/absolute.jpg", b"", "not_a_film"),
    ("good/0.jpg", b"", "duplicate_member"),
)
_CLUTTER = {"notes.txt": b"", "__MACOSX/._0.jpg": b"", ".DS_Store": b"", "README": b""}


def write_bad_archive(path):
    """Writes a zip, tar or tar.gz, and returns the member and kind of each problem it has."""
    members = [*GOOD.items(), *((name, data) for name, data, _ in _BAD), *_CLUTTER.items()]
    last = members.pop(len(GOOD) - 1)
    add = _add_to_zip if path.suffix == ".zip" else _add_to_tar
    special = add(path, [*members, last])
    return [*((name, kind) for name, _, kind in _BAD), *special]


def _add_to_zip(path, members):
    spoilt = sample_jpeg(7, 2, 64)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # Of the name that is there twice.
        for name, data in members[:-1]:
            archive.writestr(name, data)
        archive.writestr(zip_link("bad/link.jpg"), "good/0.jpg")
        archive.writestr("bad/locked.jpg", b"secret", zipfile.ZIP_STORED)
        archive.writestr("bad/bzip2.jpg", _JPEG, zipfile.ZIP_BZIP2)
        archive.writestr("bad/bomb.jpg", bytes((1 << 20) + 1))
        archive.writestr("bad/spoilt.jpg", spoilt, zipfile.ZIP_STORED)
        archive.writestr(*members[-1])
    data = path.read_bytes()
    assert data.count(spoilt) == 1
    data = data.replace(spoilt, spoilt[:-9] + bytes(9))
    path.write_bytes(encrypt_flag(data, "bad/locked.jpg"))
    return [
        ("bad/link.jpg", "link_member"),
        ("bad/locked.jpg", "encrypted_member"),
        ("bad/bzip2.jpg", "unsupported_compression"),
        ("bad/bomb.jpg", "member_too_big"),
        ("bad/spoilt.jpg", "corrupt_member"),
    ]


def _add_to_tar(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, data in members[:-1]:
            add_file(archive, name, data)
        add_special(archive, "bad/link.jpg", tarfile.SYMTYPE, "/etc/passwd")
        add_special(archive, "bad/hard.jpg", tarfile.LNKTYPE, "good/0.jpg")
        add_special(archive, "bad/device.jpg", tarfile.CHRTYPE)
        add_special(archive, "bad/pipe.jpg", tarfile.FIFOTYPE)
        add_file(archive, *members[-1])
    return [
        ("bad/link.jpg", "link_member"),
        ("bad/hard.jpg", "link_member"),
        ("bad/device.jpg", "device_member"),
        ("bad/pipe.jpg", "device_member"),
    ]
