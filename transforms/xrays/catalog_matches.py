"""Match films and catalogue: count both sides, and add the columns of the catalogue."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.sources.sources import image_path
from beamscope.transforms.xrays.settings import XraySettings


def catalog_counts(images: pa.Table, settings: XraySettings) -> dict[str, int]:
    """Count which films are in the catalogue, and which of its rows have a film; empty without one.

    ``in_catalog`` and ``not_in_catalog`` are films, failed ones included; ``catalog_rows`` are all
    rows of the catalogue, and ``catalog_rows_without_film`` those of the views asked for.
    """
    catalog = settings.load_catalog()
    if catalog is None:
        return {}
    films = images.filter(pc.is_valid(images["member"]))
    matched = films.filter(films["in_catalog"])
    # By the path, since a film that failed while it was planned has no id of the catalogue's.
    places = zip(matched["source"].to_pylist(), matched["member"].to_pylist(), strict=True)
    found = (catalog.find(image_path(source, member)) for source, member in places)
    image_ids = [row.image_id for row in found if row]
    return {
        "in_catalog": matched.num_rows,
        "not_in_catalog": films.num_rows - matched.num_rows,
        "catalog_rows": len(catalog),
        "catalog_rows_without_film": catalog.count_without(image_ids, settings.films.views),
    }


def with_catalog_columns(images: pa.Table, settings: XraySettings) -> pa.Table:
    """Return the table of films with the further columns of the catalogue behind its own.

    They are null for films that are not in the catalogue.
    """
    catalog = settings.load_catalog()
    if catalog is None:
        return images
    places = zip(images["source"].to_pylist(), images["member"].to_pylist(), strict=True)
    paths = [image_path(source, member or "") for source, member in places]
    columns = catalog.extra_columns(paths)
    for name in columns.column_names:
        images = images.append_column(name, columns[name])
    return images


def explain_no_match(images: pa.Table, settings: XraySettings) -> str | None:
    """Say that no film at all is in the catalogue, with a film and a key to compare.

    Returns:
      one sentence; None where a film is in the catalogue, or there is no film or no catalogue.
    """
    catalog = settings.load_catalog()
    films = images.filter(pc.is_valid(images["member"]))
    if catalog is None or not films.num_rows or pc.any(films["in_catalog"]).as_py():
        return None
    path = image_path(films["source"][0].as_py(), films["member"][0].as_py())
    key = catalog.first_key()
    compared = f"keys are like {key!r}" if key is not None else "it has no rows"
    return (
        f"none of {films.num_rows:,} films is in the catalogue: {compared}, films are like {path!r}"
    )
