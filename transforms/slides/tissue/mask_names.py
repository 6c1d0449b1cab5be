"""Match masks to slides by their names."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

GEOJSON_SUFFIXES = (".geojson", ".geojson.gz", ".json", ".json.gz")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp")
MASK_SUFFIXES = GEOJSON_SUFFIXES + IMAGE_SUFFIXES


def same_name(name: str) -> str:
    """Return a name in one form of Unicode: macOS writes ü as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def mask_stem(name: str) -> str | None:
    """Return the name of a mask without ``.geojson`` and so on; None for another file.

    The longest suffix counts: ``a.geojson.gz`` is the mask of ``a``.
    """
    lower = name.lower()
    suffixes = [suffix for suffix in MASK_SUFFIXES if lower.endswith(suffix)]
    return name[: -len(max(suffixes, key=len))] if suffixes else None


class MaskNames:
    """The masks in a folder's listing, by what they are named after.

    Args:
      names: file names, without directories; those that are no masks are passed over.
      exclude: names that are no masks, whatever their suffix, such as a slide's own.
    """

    def __init__(self, names: Iterable[str], exclude: Collection[str] = ()) -> None:
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in names:
            stem = mask_stem(name)
            if stem is not None and name not in exclude:
                self._by_stem[same_name(stem)].append(name)
        self._used: set[str] = set()

    def find(self, slide_names: Sequence[str]) -> str | None:
        """Return the mask that is named after a slide's id or file; None without one.

        Raises:
          InputError: ``ambiguous_mask`` with several.
        """
        keys = dict.fromkeys(map(same_name, slide_names))
        found = sorted({name for key in keys for name in self._by_stem.get(key, ())})
        if len(found) > 1:
            raise InputError(
                Kind.AMBIGUOUS_MASK, f"several masks for {slide_names[0]}: {', '.join(found)}"
            )
        self._used.update(found)
        return found[0] if found else None

    def __len__(self) -> int:
        return sum(map(len, self._by_stem.values()))

    def unused(self) -> list[str]:
        """Return the masks that `find` has not returned, sorted."""
        everything = {name for names in self._by_stem.values() for name in names}
        return sorted(everything - self._used)
