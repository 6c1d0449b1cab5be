"""What a start finds in an output in a store before its pipeline runs."""

from __future__ import annotations

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
        headers = update_index(layout, slot, own.__contains__ if share is not None else None)
        plans = {
            name: headers[name]
            for name, request in own.items()
            if name in headers and planner.holds(json.loads(headers[name]), request, order.seen)
        }
        return write_found(layout, slot, plans, list_item_parts(layout)) if plans else None
