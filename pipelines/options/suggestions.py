"""Find the flag that a user meant by an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Collection

# What other tools and other English call a flag here.
_OTHER_WORDS = {
    "catalogue": "catalog",
    "concurrency": "read_threads",
    "csv": "manifest",
    "data": "input",
    "destination": "output",
    "files": "input",
    "images": "input",
    "level0_mpp": "assume_mpp",
    "n_workers": "direct_num_workers",
    "normalize": "preprocess",
    "out": "output",
    "outdir": "output",
    "resolution": "mpp",
    "resume": "add",
    "slide": "input",
    "slides": "input",
    "source": "input",
    "spacing": "mpp",
    "step": "stride",
    "step_size": "stride",
    "target_mpp": "mpp",
    "tile_px": "patch_size",
    "tile_size": "patch_size",
    "tiles": "patch_size",
    "weights": "model",
    "wsi": "input",
}
# How alike two spellings are: of a job's own flag, and of one of Beam's, which are many and strange
# to most users.
_ALIKE, _NEARLY_THE_SAME = 0.7, 0.85


def suggest(flag: str, own: Collection[str], others: Collection[str] = ()) -> str | None:
    """Return the known flag that an unknown flag most likely stands for; None if none is like it.

    A flag of the job goes before one of Beam's, which must be spelled nearly the same.

    Args:
      flag: the unknown flag, such as ``--threshold``.
      own: flags of the job.
      others: flags of Beam.
    """
    name = "--" + flag.lstrip("-").lower().replace("-", "_")
    known = {*own, *others}
    if name in known:
        return name
    other_word = f"--{_OTHER_WORDS.get(name.removeprefix('--'), '')}"
    if other_word in known:
        return other_word
    near = difflib.get_close_matches(name, sorted(own), n=1, cutoff=_NEARLY_THE_SAME)
    if not near:
        near = difflib.get_close_matches(name, sorted(others), n=1, cutoff=_NEARLY_THE_SAME)
    if not near and (same := _with_the_same_words(name, own)):
        near = [same]
    if not near:
        near = difflib.get_close_matches(name, sorted(own), n=1, cutoff=_ALIKE)
    return near[0] if near else None


def _with_the_same_words(name: str, own: Collection[str]) -> str | None:
    """Return the flag that has all words of a name, or the most of its words: the nearest one."""
    wanted = _words(name)
    sharing = [flag for flag in own if wanted <= _words(flag) or len(_words(flag) & wanted) > 1]
    if not sharing:
        return None
    return max(sorted(sharing), key=lambda flag: difflib.SequenceMatcher(None, name, flag).ratio())


def _words(flag: str) -> set[str]:
    return set(flag.removeprefix("--").split("_"))
