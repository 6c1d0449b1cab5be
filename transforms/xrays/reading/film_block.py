"""A block of films as it fills: pixels, rows and problems, a few films being decoded at a time."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.fingerprints import in_none, in_plan
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.xrays.archives.members import film_problem
from beamscope.transforms.xrays.catalogs.catalog import Catalog, CatalogRow, wants_view
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings, Film
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.sources import Source, film_path

# Makes of an error that nobody expected the problem of one film.
Defect = Callable[[Exception], InputError]

# The columns of a film's row; those of the catalogue are null where it says nothing.
FILM_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("photometric", pa.string()),
        pa.field("grey_scale", pa.string()),
        pa.field("grey_scale_ignored", pa.string()),
        pa.field("modality", pa.string()),
        pa.field("view_position", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("study_id", pa.string()),
        pa.field("in_catalog", pa.bool_(), nullable=False),
        pa.field("labels", pa.map_(pa.string(), pa.float32())),
        pa.field("catalog", pa.map_(pa.string(), pa.string())),
        pa.field("dicom_tags", pa.map_(pa.string(), pa.string())),
    ]
)


@dataclasses.dataclass(frozen=True)
class FilmSettings:
    """How films are read.

    Attributes:
      preprocess: what the model is given.
      decode: how a film is decoded, and its limits.
      views: the view positions to keep; empty keeps every film.
      threads: how many films are decoded at a time.
    """

    preprocess: Preprocess
    decode: DecodeSettings = dataclasses.field(default_factory=DecodeSettings)
    views: frozenset[str] = in_plan(default=frozenset())
    threads: int = in_none(default=1)


@dataclasses.dataclass(frozen=True, eq=False)
class FilmBlock:
    """The films of a run of members: ``rows + problems = planned``, other views left out.

    Attributes:
      pixels: uint8 RGB ``[n, size, size, 3]``.
      rows: n rows of `FILM_SCHEMA`.
      problems: one for each film that could not be read.
      other_views: films left out because of their view.
    """

    pixels: npt.NDArray[np.uint8]
    rows: pa.RecordBatch
    problems: tuple[Problem, ...]
    other_views: int

    @property
    def planned(self) -> int:
        """Return how many films were to be embedded."""
        return len(self.pixels) + len(self.problems)


class BlockBuilder:
    """A block that is filled film by film, in order, while a few films are being decoded."""

    def __init__(
        self,
        source: Source,
        settings: FilmSettings,
        room: int,
        defect: Defect | None = None,
    ) -> None:
        size = settings.preprocess.size
        self._source = source
        self._settings = settings
        self._defect = defect
        # Filled in place: a list of films and its stack would take the memory twice.
        self._pixels = np.empty((room, size, size, 3), np.uint8)
        self._rows: list[dict[str, Any]] = []
        self._problems: list[Problem] = []
        self._other_views = 0
        self._pending: collections.deque[tuple[str, CatalogRow | None, Future[_Ready | None]]] = (
            collections.deque()
        )

    def add(
        self, pool: ThreadPoolExecutor, name: str, data: bytes | InputError, catalog: Catalog | None
    ) -> None:
        """Have a film decoded, or note why it cannot be."""
        if isinstance(data, InputError):
            self._problems.append(film_problem(self._source, name, "read", data))
            return
        known = catalog.find(film_path(self._source.uri, name)) if catalog else None
        view = known.view_position if known else None
        task = pool.submit(_make_ready, data, view, self._settings)
        self._pending.append((name, known, task))
        # Twice as many as are decoded at once keep the threads busy, and the memory flat.
        while len(self._pending) > 2 * self._settings.threads:
            self._take()

    def refuse(self, name: str, error: InputError, catalog: Catalog | None) -> None:
        """Note why a film is not read at all."""
        known = catalog.find(film_path(self._source.uri, name)) if catalog else None
        self._refuse(known.image_id if known else self._source.image_id(name), name, error)

    def finish(self) -> FilmBlock:
        """Wait for what is still being decoded."""
        while self._pending:
            self._take()
        return FilmBlock(
            self._pixels[: len(self._rows)],
            pa.RecordBatch.from_pylist(self._rows, schema=FILM_SCHEMA),
            tuple(self._problems),
            self._other_views,
        )

    def _take(self) -> None:
        name, known, task = self._pending.popleft()
        image_id = known.image_id if known else self._source.image_id(name)
        try:
            ready = task.result()
        except InputError as error:
            self._refuse(image_id, name, error)
            return
        except Exception as error:
            if self._defect is None:
                raise
            self._refuse(image_id, name, self._defect(error))
            return
        if ready is None:
            self._other_views += 1
            return
        self._pixels[len(self._rows)] = ready.pixels
        self._rows.append(_row(image_id, self._source.uri, name, ready.film, known))

    def _refuse(self, image_id: str, name: str, error: InputError) -> None:
        problem = film_problem(self._source, name, "read", error)
        self._problems.append(dataclasses.replace(problem, item_id=image_id))


@dataclasses.dataclass(frozen=True, eq=False)
class _Ready:
    """A film as the model takes it, and as its row describes it."""

    film: Film
    pixels: npt.NDArray[np.uint8]


def _make_ready(data: bytes, known_view: str | None, settings: FilmSettings) -> _Ready | None:
    """Decode and preprocess; None for a film of another view than was asked for."""
    if known_view and not wants_view(known_view, settings.views):
        return None
    film = decode_film(data, settings.decode)
    if not wants_view(known_view or film.view_position, settings.views):
        return None
    return _Ready(film, settings.preprocess.apply(film.pixels, from_dicom=film.origin == "dicom"))


def _row(
    image_id: str, uri: str, member: str, film: Film, known: CatalogRow | None
) -> dict[str, Any]:
    height, width = film.pixels.shape
    return {
        "image_id": image_id,
        "source": uri,
        "member": member,
        "width": width,
        "height": height,
        "origin": film.origin,
        "photometric": film.photometric,
        "grey_scale": film.grey_scale,
        "grey_scale_ignored": ",".join(film.ignored) or None,
        "modality": film.modality,
        "view_position": (known.view_position if known else None) or film.view_position,
        "patient_id": known.patient_id if known else None,
        "study_id": known.study_id if known else None,
        "in_catalog": known is not None,
        "labels": list(known.labels.items()) or None if known else None,
        "catalog": list(known.fields.items()) or None if known else None,
        "dicom_tags": list(film.kept.items()),
    }
