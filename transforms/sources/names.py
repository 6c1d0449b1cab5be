"""Tell images, archives, clutter and other files by their names."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from typing import Literal

from beamscope.transforms.clutter import is_clutter

Role = Literal["image", "archive", "clutter", "not_an_image"]

# Of every kind of image that a job takes: a key of a table may have one of them, or none.
IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dcm", ".dicom"})
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"})
# Of one file each: the ending before says what is in it.
_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst", ".z"})
# Volumes of split archives: x.z01 beside x.zip, x.r00 beside x.rar, x.zip.001.
_VOLUME = re.compile(r".*(\.[zr]\d\d|\.(zip|tar|tgz|7z|rar|gz|bz2|xz|zst)\.\d{3})")
# Files without an ending that accompany images; every other such file may be a DICOM.
_COMPANIONS = frozenset(
    {"dicomdir", "readme", "license", "licence", "notice", "version", "changelog"}
    | {"md5sums", "sha1sums", "sha256sums", "manifest", "makefile"}
)


@dataclasses.dataclass(frozen=True)
class ImageNames:
    """The names that a job takes for those of its images.

    Attributes:
      noun: for one of them in messages, such as ``film``.
      endings: in lower case, with their dots.
      bare: whether a file without an ending may be one, as DICOM files often are.
    """

    noun: str
    endings: frozenset[str]
    bare: bool = False

    def role_of(self, name: str) -> Role:
        r"""Return the role of a file by its name.

        Args:
          name: with ``/`` or ``\`` between its parts, relative to what the user named.
        """
        if is_clutter(name):
            return "clutter"
        base = re.split(r"[/\\]", name.lower())[-1]
        stem, suffix = posixpath.splitext(base)
        if suffix in _COMPRESSED:
            # A compressed table beside images is no image; a compressed image, or tar, holds some.
            inner = self.role_of(stem)
            return "archive" if inner == "image" else inner
        if suffix in self.endings:
            return "image"
        if suffix in _ARCHIVES or _VOLUME.fullmatch(base):
            return "archive"
        # Names such as 1.2.840.113619.2.5 are UIDs: their last part is no ending.
        bare = not suffix or suffix[1:].isdigit()
        is_image = self.bare and bare and base and base not in _COMPANIONS
        return "image" if is_image else "not_an_image"
