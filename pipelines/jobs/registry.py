"""The jobs that there are. A new one is a module of its own and one line here.

Other packages add theirs by entry points of the group ``beamscope.jobs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamscope.transforms.registry import Registry

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job

# Places, not objects: a list of commands must not wait for Beam.
JOBS: Registry[Job] = Registry("job", "beamscope.jobs")
JOBS.register(
    "slides", "beamscope.pipelines.jobs.slides:JOB", "embed the patches of whole-slide images"
)
JOBS.register(
    "xrays", "beamscope.pipelines.jobs.xrays:JOB", "embed chest X-rays out of their archives"
)
