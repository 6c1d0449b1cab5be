"""Look at many files at once, with few requests."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.problems import StorageError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.store import FileInfo, store_of
from beamscope.transforms.storage.uris import split

_LOOKERS = 32
# Fewer are asked for one by one: that is as quick as a listing.
_MANY = 16
# A listing gives 1,000 names, for the price of a dozen requests for one. So to list this many
# objects for each that is looked for is still cheaper.
_LISTED_FOR_EACH = 20


def stat_all(uris: Iterable[str]) -> dict[str, FileInfo | None]:
    """Return each file as it is now; None for one that is not there or may not be read.

    Of many files in a bucket the folder that holds them all is listed, as long as it does not hold
    too much else. What that does not show is asked for alone.

    Raises:
      StorageError: a store does not answer.
    """
    wanted = list(dict.fromkeys(uris))
    seen: dict[str, FileInfo | None] = {}
    buckets: dict[str, list[str]] = defaultdict(list)
    for uri in wanted:
        if not files.is_local(uri):
            buckets[uri.partition("://")[0] + "://" + split(uri)[0]].append(uri)
    for bucket, some in buckets.items():
        if len(some) >= _MANY:
            seen |= _listed(bucket, some)
    rest = [uri for uri in wanted if uri not in seen]
    with ThreadPoolExecutor(_LOOKERS) as lookers:
        seen |= dict(zip(rest, lookers.map(_stat, rest), strict=True))
    return seen


def _listed(bucket: str, uris: Sequence[str]) -> dict[str, FileInfo]:
    wanted = set(uris)
    folder = _common_folder(bucket, uris)
    found: dict[str, FileInfo] = {}
    try:
        objects = store_of(folder).list(folder)
        for one in itertools.islice(objects, _LISTED_FOR_EACH * len(uris)):
            if one.path in wanted:
                found[one.path] = one
                if len(found) == len(wanted):
                    break
    except StorageError:
        raise
    except OSError:
        # Whoever may read objects may not be allowed to list them.
        return {}
    return found


def _common_folder(bucket: str, uris: Sequence[str]) -> str:
    """Return the folder below which all of some objects of a bucket are, with a slash."""
    # All others lie between these two.
    pairs = zip(min(uris), max(uris), strict=False)
    same = "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = same.rpartition("/")[0]
    return f"{start if len(start) > len(bucket) else bucket}/"


def _stat(uri: str) -> FileInfo | None:
    try:
        return files.stat(uri)
    except StorageError:
        # It is not known that the file has changed: nothing may be thrown away for that.
        raise
    except OSError:
        return None
