"""Films as images of a source: how they are recognised, decoded, prepared and described."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from beamscope.transforms.fingerprints import in_none, in_plan
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.decoding_memory import held
from beamscope.transforms.sources.image_reading import ImageReading, ReadyImage, prepared
from beamscope.transforms.sources.sources import Source, image_path
from beamscope.transforms.xrays.catalogs.catalog import Catalog, CatalogRow, wants_view
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings, Film
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.names import FILM_NAMES

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
TABLE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("member", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("origin", pa.string()),
        pa.field("photometric", pa.string()),
        pa.field("grey_scale", pa.string()),
        pa.field("grey_scale_ignored", pa.string()),
        pa.field("modality", pa.string()),
        pa.field("view_position", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("study_id", pa.string()),
        pa.field("in_catalog", pa.bool_(), nullable=False),
        pa.field("shard", pa.int32()),
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
      other_preprocesses: as `preprocess`, for further models, where one reading serves several;
        `preprocess` of each model's own settings is in its fingerprint.
    """

    preprocess: Preprocess
    decode: DecodeSettings = dataclasses.field(default_factory=DecodeSettings)
    views: frozenset[str] = in_plan(default=frozenset())
    threads: int = in_none(default=1)
    other_preprocesses: tuple[Preprocess, ...] = in_none(default=())

    @property
    def ways(self) -> tuple[Preprocess, ...]:
        """Return what each model is given."""
        return (self.preprocess, *self.other_preprocesses)


class FilmReading(ImageReading):
    """How films are read.

    Args:
      settings: of films.
      catalog: what is known of them; None without one.
    """

    names = FILM_NAMES
    rows = FILM_SCHEMA
    table = TABLE_SCHEMA
    unwanted = "other_view"

    def __init__(self, settings: FilmSettings, catalog: Catalog | None = None) -> None:
        self.sizes = [way.size for way in settings.ways]
        self.threads = settings.threads
        self.limits = settings.decode.limits
        self._settings = settings
        self._catalog = catalog

    def make_ready(self, data: bytes, known: CatalogRow | None) -> ReadyImage | None:
        """Decode and preprocess a film; None for one of another view than was asked for."""
        settings = self._settings
        known_view = known.view_position if known else None
        if known_view and not wants_view(known_view, settings.views):
            return None
        with held(self.limits) as limits:
            film = decode_film(data, dataclasses.replace(settings.decode, limits=limits))
            if not wants_view(known_view or film.view_position, settings.views):
                return None
            from_dicom = film.origin == "dicom"
            views = prepared(
                settings.ways, lambda way: way.apply(film.pixels, from_dicom=from_dicom)
            )
        return ReadyImage(views, _row(film, known))

    def find(self, uri: str, member: str) -> CatalogRow | None:
        """Return the film's row of the catalogue."""
        if self._catalog is None:
            return None
        return self._catalog.find(image_path(uri, member))

    def image_id(self, source: Source, member: str, known: CatalogRow | None) -> str:
        """Return the key of the film in the catalogue, else the source's id and the member."""
        return known.image_id if known else source.image_id(member)

    def known_columns(self, known: CatalogRow | None) -> Mapping[str, Any]:
        """Return what the catalogue says of a film."""
        return {
            "view_position": known and known.view_position,
            "patient_id": known and known.patient_id,
            "study_id": known and known.study_id,
            "in_catalog": known is not None,
        }

    def is_unwanted(self, known: CatalogRow | None) -> bool:
        """Return whether the catalogue has another view of the film than was asked for.

        A film without a row is wanted, as its view may be in the file.
        """
        view = known.view_position if known else None
        return bool(view) and not wants_view(view, self._settings.views)

    def check_once(self, holders: dict[str, str], member: str, known: CatalogRow | None) -> None:
        """Raise ``duplicate_image`` where another member is that film of the catalogue already."""
        if known is None:
            return
        holder = holders.setdefault(known.image_id, member)
        if holder != member:
            raise InputError(
                Kind.DUPLICATE_IMAGE, f"{known.image_id!r} in the catalogue is {holder!r} already"
            )


def _row(film: Film, known: CatalogRow | None) -> dict[str, Any]:
    height, width = film.pixels.shape
    return {
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
