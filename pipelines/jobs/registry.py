"""The registry of jobs. A new job is one module and one line here.

Other packages register jobs as entry points of the group ``beamscope.jobs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamscope.transforms.registry import Registry

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job

# Import paths, not objects: listing the commands must not import Beam.
JOBS: Registry[Job] = Registry("job", "beamscope.jobs")
JOBS.register(
    "slides", "beamscope.pipelines.jobs.slides:JOB", "embed the patches of whole-slide images"
)
JOBS.register(
    "xrays", "beamscope.pipelines.jobs.xrays:JOB", "embed chest X-rays from their archives"
)
JOBS.register(
    "patches", "beamscope.pipelines.jobs.patches:JOB", "write the patches of slides as images"
)
JOBS.register("films", "beamscope.pipelines.jobs.films:JOB", "write chest X-rays as images")
JOBS.register(
    "images", "beamscope.pipelines.jobs.images:JOB", "embed patches that are image files already"
)
