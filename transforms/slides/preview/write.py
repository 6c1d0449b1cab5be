"""Look at planned slides again, to write the page and their annotations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.output.layout import Layout, file_name
from beamscope.transforms.slides.annotations import as_geojson
from beamscope.transforms.slides.planning.plan import OpenedPlan, ReadyPlan
from beamscope.transforms.slides.planning.plan_file import read_plan
from beamscope.transforms.slides.planning.sight import Sight, look_at_slide
from beamscope.transforms.slides.preview.data import Preview, preview_of
from beamscope.transforms.slides.preview.page import page
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache

# What a browser still opens without a wait.
_LARGEST_PAGE = 100_000_000


@dataclasses.dataclass(frozen=True)
class Pages:
    """Write what a person looks at beside the plans of slides.

    Attributes:
      layout: of the output.
      settings: of the plan.
      cache: of remote slides.
      threads: how many slides are looked at side by side.
    """

    layout: Layout
    settings: SlideSettings
    cache: FileCache | None
    threads: int

    def write_page(self, requests: Sequence[SlideRequest], most: int) -> tuple[str, int]:
        """Write the page of the first slides.

        Args:
          requests: every slide.
          most: how many slides to show at most.

        Returns:
          path of the page, and number of slides on it.
        """
        previews: list[Preview] = []
        size = 0
        seen = 0
        for sight in self._sights(requests[:most]):
            seen += 1
            if sight is None:
                continue
            preview = preview_of(sight, self.settings)
            size += len(preview.data["png"]) + len(preview.data["jpeg"])
            if size > _LARGEST_PAGE and previews:
                seen -= 1
                break
            previews.append(preview)
        title = f"beamscope plan: {len(requests):,} slides"
        notes = []
        if seen - len(previews):
            notes.append(f"not shown, since they failed or are too small: {seen - len(previews):,}")
        if len(requests) - seen:
            notes.append(f"not on this page (--page_slides): {len(requests) - seen:,}")
        path = files.join(self.layout.root, "plan", "index.html")
        text = page(previews, self.settings, title=title, note="; ".join(notes))
        files.write_bytes(path, text.encode())
        return path, len(previews)

    def write_geojson(self, requests: Sequence[SlideRequest]) -> tuple[str, int]:
        """Write tissue and patches of every slide as GeoJSON for QuPath.

        Returns:
          path of the folder, and number of files in it.
        """
        folder = files.join(self.layout.root, "plan", "geojson")
        written = 0
        for request, sight in zip(requests, self._sights(requests), strict=True):
            if sight is None:
                continue
            plan = read_plan(self.layout.plan(request.slide_id))
            x_level0 = plan.x_level0 if isinstance(plan, ReadyPlan) else ()
            y_level0 = plan.y_level0 if isinstance(plan, ReadyPlan) else ()
            path = files.join(folder, f"{file_name(request.slide_id)}.geojson")
            files.write_bytes(path, as_geojson(sight, x_level0, y_level0))
            written += 1
        return folder, written

    def _sights(self, requests: Sequence[SlideRequest]) -> Iterator[Sight | None]:
        """Yield what is to be seen of each slide, in order; None of one that failed."""
        with ThreadPoolExecutor(self.threads) as threads:
            # A few at a time, so that not all thumbnails are in memory.
            step = 2 * self.threads
            for start in range(0, len(requests), step):
                yield from threads.map(self._sight, requests[start : start + step])

    def _sight(self, request: SlideRequest) -> Sight | None:
        if not isinstance(read_plan(self.layout.plan(request.slide_id)), OpenedPlan):
            return None
        found = look_at_slide(request, self.settings, self.cache)
        return found if isinstance(found, Sight) else None
