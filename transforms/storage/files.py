"""Files anywhere, on a local disk or in an object store, written so that none is ever half there.

Every function takes a path, a ``file://`` URI, or the URI of a store. All raise OSError where a
store refuses or does not answer (see `store.Store`), UnwritableError where a local disk cannot be
written to, and InputError (``unknown_scheme``) for a URI that no store has.

The functions lie in the modules beside this one. Callers import this one and say ``files.stat``.
"""

from beamscope.transforms.storage.copying import copy_file, download
from beamscope.transforms.storage.deleting import (
    delete,
    delete_empty,
    delete_temporaries,
    delete_tree,
)
from beamscope.transforms.storage.listing import is_directory, list_files, match
from beamscope.transforms.storage.reading import (
    exists,
    open_read,
    read_bytes,
    read_from,
    size,
    stat,
)
from beamscope.transforms.storage.refusals import refusals
from beamscope.transforms.storage.store import FileInfo
from beamscope.transforms.storage.uris import is_local, join, local_path, normalize
from beamscope.transforms.storage.writing import (
    TEMPORARY_SUFFIX,
    atomic_path,
    create_if_absent,
    write_bytes,
)

__all__ = [
    "TEMPORARY_SUFFIX", "FileInfo", "atomic_path", "copy_file", "create_if_absent", "delete",
    "delete_empty", "delete_temporaries", "delete_tree", "download", "exists", "is_directory",
    "is_local", "join", "list_files", "local_path", "match", "normalize", "open_read",
    "read_bytes", "read_from", "refusals", "size", "stat", "write_bytes",
]  # fmt: skip
