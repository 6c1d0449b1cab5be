"""Paths and URIs: which store they name, and how they are put together.

A path is local unless it begins with a scheme. ``file://`` is a local path in other words.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import re
import urllib.parse
from pathlib import Path

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# The object stores that are known, by the scheme of their URIs.
REMOTE_SCHEMES = ("gs", "s3")

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
# "s3:/bucket" is a slip, not a folder called "s3:". Any other word before a colon may be a folder.
_ONE_SLASH = re.compile(r"(gs|gcs|s3|s3a|s3n|az|abfss?|wasbs?|hdfs|https?|ftp):/", re.IGNORECASE)
_FILE = re.compile(r"file:/", re.IGNORECASE)
# Schemes that other programs use for the same store.
_OTHER_NAMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}


def normalize(uri: str) -> str:
    """Return a path or URI in the form that this package works with.

    A ``file://`` URI becomes the local path that it names, with its %-quoting undone. The scheme
    of a store becomes lower case.

    Raises:
      InputError: ``unknown_scheme`` for a scheme that no store has, for a slip such as
        ``s3:/bucket``, for a store's URI without a bucket, and for a file on another host.
    """
    if _FILE.match(uri):
        return _local_path(uri)
    match = _SCHEME.match(uri)
    if match is None:
        if slip := _ONE_SLASH.match(uri):
            raise _unknown(uri, f"{slip[1]}: needs two slashes")
        return uri
    scheme, rest = match[1].lower(), uri[match.end() :]
    if scheme not in REMOTE_SCHEMES:
        raise _unknown(uri, f"there is no storage {match[1]}://{_hint(scheme)}")
    if not rest or rest.startswith("/"):
        raise _unknown(uri, f"there is no bucket after {scheme}://")
    return f"{scheme}://{rest}"


def is_local(path: str) -> bool:
    """Whether a path names a file of this machine rather than an object of a store."""
    return _SCHEME.match(path) is None or _FILE.match(path) is not None


def scheme_of(uri: str) -> str:
    """Return the scheme of a store's URI: one of `REMOTE_SCHEMES`.

    Raises:
      InputError: ``unknown_scheme``.
    """
    return normalize(uri).partition("://")[0]


def split(uri: str) -> tuple[str, str]:
    """Return the bucket of a store's URI, and the name of the object in it; it may be empty."""
    bucket, _, name = uri.partition("://")[2].partition("/")
    return bucket, name


def local_path(path: str | Path) -> Path:
    """Return a local path, or a ``file://`` URI, as a `Path`."""
    text = str(path)
    return Path(normalize(text)) if _FILE.match(text) else Path(path)


def join(base: str, *parts: str) -> str:
    """Return path components joined with the separator of the base's file system."""
    if is_local(base):
        return os.path.join(base, *parts)  # noqa: PTH118 (a Path would drop a trailing slash)
    for part in parts:
        base = f"{base.rstrip('/')}/{part.lstrip('/')}"
    return base


def name_of(path: str) -> str:
    """Return the last part of a path or URI; a slash at the end does not count."""
    return posixpath.basename(path.rstrip("/"))


def _local_path(uri: str) -> str:
    rest = uri[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost") or not slash:
            raise _unknown(uri, f"{host or 'nothing'} is no folder of this machine; write file:///")
        rest = slash + path
    return urllib.parse.unquote(rest)


def _hint(scheme: str) -> str:
    near = difflib.get_close_matches(scheme, REMOTE_SCHEMES, n=1)
    meant = _OTHER_NAMES.get(scheme) or (near[0] if near else "")
    return f" (did you mean {meant}://?)" if meant else ""


def _unknown(uri: str, reason: str) -> InputError:
    known = ", ".join(f"{scheme}://" for scheme in REMOTE_SCHEMES)
    return InputError(
        Kind.UNKNOWN_SCHEME, f"{uri}: {reason}; there are local paths, file:///, {known}"
    )
