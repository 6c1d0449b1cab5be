"""Valid and hostile archives for tests, made with the standard library."""

import io
import stat
import tarfile
import zipfile

from beamscope.transforms.sources.sources import Source, archive_kind

FILMS = {f"p{i}/film{i}.jpg": bytes([65 + i]) * (100 + 50 * i) for i in range(5)}


def as_source(path):
    return Source(path.name, str(path), archive_kind(path.name))


def make_zip(path, films=None, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in (FILMS if films is None else films).items():
            archive.writestr(name, data)
    return as_source(path)


def make_tar(path, films=None, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in (FILMS if films is None else films).items():
            add_file(archive, name, data)
    return as_source(path)


def add_file(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def add_special(archive, name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    archive.addfile(info)


def zip_link(name):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def encrypt_flag(data, name):
    """Set the encryption bit of a member in its local and its central header."""
    raw, encoded = bytearray(data), name.encode()
    for signature, flags, header in ((b"PK\x03\x04", 6, 30), (b"PK\x01\x02", 8, 46)):
        place = raw.find(encoded)
        while place >= 0:
            start = place - header
            if start >= 0 and raw[start : start + 4] == signature:
                raw[start + flags] |= 1
            place = raw.find(encoded, place + 1)
    return bytes(raw)


class Unseekable(io.RawIOBase):
    """A stream that a zip writer cannot go back in, so that sizes follow the data."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def seekable(self):
        return False

    def write(self, data):
        self.data += data
        return len(data)
