"""What a start finds in an output in a store before its pipeline runs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from beamscope.pipelines.jobs.order import Order
from beamscope.transforms.activity import doing
from beamscope.transforms.output.found import Found, list_item_parts, write_found
from beamscope.transforms.output.layout import Layout, file_name
from beamscope.transforms.output.leases.lease_file import EVERYTHING
from beamscope.transforms.output.plan_index import update_index
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.ptransforms.plan_items import takes_some_of
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.patches.drawn import Drawn, digests_in, set_digest
from beamscope.transforms.patches.ptransforms.draw_sample import TotalPlanner
from beamscope.transforms.patches.whole_plans import sample_end
from beamscope.transforms.storage import files


def find_before(order: Order, planner: ItemPlanner[Any, Any], layout: Layout) -> Found | None:
    """Find the plans that still hold, and the finished blocks, of an output in a store.

    It costs two listings, one of the index, and a look at the slides; workers then ask for neither
    plan nor slide of what is done.

    Returns:
      where it is written for the workers; None if there is nothing, or the output is on a disk,
      where each file is verified instead.
    """
    if files.is_local(layout.root) or not layout.fingerprint:
        return None
    share = order.extent.share
    slot = share.slot if share is not None else EVERYTHING
    with doing("looking for what is done"):
        own = {
            file_name(request.id): request
            for request in order.requests
            if takes_some_of(share, planner, request)
        }
        drawn = None
        if isinstance(planner, TotalPlanner):
            drawn = _drawn_before(order, planner, layout)
            planner = dataclasses.replace(planner, drawn=drawn)  # type: ignore[type-var]
        headers = update_index(layout, slot, own.__contains__ if share is not None else None)
        plans = {
            name: headers[name]
            for name, request in own.items()
            if name in headers and planner.holds(json.loads(headers[name]), request, order.seen)
        }
        if not plans:
            return None
        found = write_found(layout, slot, plans, list_item_parts(layout))
        return dataclasses.replace(found, drawn=drawn is not None)


def _drawn_before(order: Order, planner: TotalPlanner, layout: Layout) -> Drawn | None:
    """Return the sample that an earlier start has drawn of the very same items; None if none has.

    An item that failed is planned again, after which the sample may be another.
    """
    try:
        end = sample_end(layout)
    except (DamagedError, FileNotFoundError):
        return None
    headers = {name: json.loads(text) for name, text in update_index(layout.whole).items()}
    wholes = digests_in(headers, (request.id for request in order.requests))
    if not wholes or set_digest(wholes) != end.drawn_from:
        return None
    whole = planner.whole()
    for request in order.requests:
        if not whole.holds(headers[file_name(request.id)], request, order.seen):
            return None
    return Drawn(end, wholes)
