"""Slides as bags of patches, for multiple-instance learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from beamscope.transforms.dataset.join import label_of

if TYPE_CHECKING:
    from beamscope.transforms.dataset.dataset import Dataset


class SlideBags:
    """A sequence of slides; reading one takes its row groups alone.

    PyTorch's ``DataLoader`` takes it as it is, as a map-style dataset: with ``batch_size=None``, or
    with a collate function of your own, because bags differ in length.

    Attributes:
      ids: ids of the slides, in order.
      labels: label of each slide, in order; None if there are no labels.
    """

    def __init__(
        self,
        dataset: Dataset,
        labels: pa.Table | Mapping[str, Any] | None,
        label: str,
        column: str,
    ) -> None:
        self._dataset = dataset
        self._column = column
        self.ids = dataset.ids
        self.labels: list[Any] | None = None
        if labels is not None:
            known = label_of(labels, label)
            self.ids = [item_id for item_id in self.ids if item_id in known]
            self.labels = [known[item_id] for item_id in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a slide.

        Returns:
          ``slide_id``; ``embeddings``, ``[n, D]``; ``coordinates``, int32 ``[n, 2]`` in level-0
          pixels; ``label``, if there are labels.

        Raises:
          IndexError: there are not that many slides.
        """
        item_id = self.ids[index]
        found = self._dataset.features(item_id, column=self._column)
        bag = {
            self._dataset.id_column: item_id,
            "embeddings": found.embeddings,
            "coordinates": found.coordinates,
        }
        if self.labels is not None:
            bag["label"] = self.labels[index]
        return bag

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))
