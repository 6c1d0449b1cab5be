"""Estimate hours and cost of a job from a table of throughputs and prices."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions

from beamscope.pipelines.estimates.rates import MeasuredRate
from beamscope.pipelines.runners.accelerators import gpu_machine, requested_gpus
from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

COSTS = Path(__file__).with_name("costs.yaml")


@dataclasses.dataclass(frozen=True)
class Rate:
    """Images that one worker embeds in a second, and how that is known."""

    images_per_second: float
    source: str


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Hours and cost of a job; None for what is not known.

    Attributes:
      workers: number of machines.
      machine: in words.
      rate: of each.
      hours: until the job ends, if nothing but the model takes time.
      cost: of all machines, for these hours.
      currency: of the cost.
      prices: where the prices are from; empty without a cost.
      missing: what is not known, and what to do about it; empty if all is.
      table: path of the table of costs.
    """

    workers: int
    machine: str
    rate: Rate | None
    hours: float | None
    cost: float | None
    currency: str = ""
    prices: str = ""
    missing: str = ""
    table: str = ""


def load_costs(path: str | None) -> Mapping[str, Any]:
    """Read a table of costs; None for the one that comes with beamscope.

    Raises:
      InputError: ``bad_config``.
    """
    where = f"--costs {path}" if path else str(COSTS)
    try:
        content = yaml.safe_load(Path(path or COSTS).read_text())
        for name in ("prices", "machines", "throughput"):
            if not isinstance(content[name], dict):
                raise TypeError(f"{name} is no mapping")
        for entry in content["throughput"].values():
            float(entry["images_per_second"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise InputError(Kind.BAD_CONFIG, f"{where}: {one_line(error)}") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            Kind.BAD_CONFIG, f"{where}: is not a table of costs like {COSTS}: {one_line(error)}"
        ) from error
    table: Mapping[str, Any] = {**content, "path": path or str(COSTS)}
    return table


def estimate(
    images: int,
    options: PipelineOptions,
    costs: Mapping[str, Any],
    *,
    workers: int | None = None,
    images_per_second: float | None = None,
    measured: MeasuredRate | None = None,
) -> Estimate:
    """Estimate a job that embeds some images.

    Args:
      images: patches or films.
      options: of the runner that the job is to run on.
      costs: see `load_costs`.
      workers: number of machines; None for the most that the options allow.
      images_per_second: of one machine, where the user says it.
      measured: of the model on this machine; None where nobody has measured it.
    """
    found = _estimate(images, options, costs, workers, images_per_second, measured)
    return dataclasses.replace(found, table=costs["path"])


def _estimate(
    images: int,
    options: PipelineOptions,
    costs: Mapping[str, Any],
    workers: int | None,
    images_per_second: float | None,
    measured: MeasuredRate | None,
) -> Estimate:
    remote = runs_on_dataflow(options)
    worker = options.view_as(WorkerOptions)
    # With a hint, the machines that embed: others plan and assemble, which is little beside it.
    kind = gpu_machine(options) if remote else ""
    count = workers or (
        max(worker.max_num_workers or 0, worker.num_workers or 0, 1) if remote else 1
    )
    gpus = requested_gpus(options) if remote else {}
    machine = costs["machines"].get(kind)
    cores = (
        machine.get("cores", machine["vcpus"])
        if machine
        else None
        if remote
        else os.cpu_count() or 1
    )
    rate = _rate(costs, gpus, cores, remote, images_per_second, measured)
    here = "a machine like this one" if "flink" in runner_name(options) else "this machine"
    said = ", ".join([kind or ("unknown machine" if remote else here),
                      *(f"{number} {name}" for name, number in gpus.items())])  # fmt: skip
    if rate is None:
        known = ", ".join(gpus) or kind
        return Estimate(
            count, said, None, None, None,
            missing=f"no throughput of {known} is known: give --images_per_second, or add it to a "
            "copy of the table (--costs)",
        )  # fmt: skip
    hours = images / rate.images_per_second / count / 3600
    if not remote:
        return Estimate(count, said, rate, hours, None)
    price = _price_per_hour(costs, machine, gpus, worker.disk_size_gb or 0)
    if price is None:
        return Estimate(
            count, said, rate, hours, None,
            missing=f"no price of {said} is known: add it to a copy of the table (--costs)",
        )  # fmt: skip
    prices = costs["prices"]
    return Estimate(
        count, said, rate, hours, price * hours * count, str(prices.get("currency", "")),
        f"{prices.get('source', 'no source')}, {prices.get('date', 'no date')}",
    )  # fmt: skip


def _rate(
    costs: Mapping[str, Any],
    gpus: Mapping[str, int],
    cores: int | None,
    remote: bool,
    given: float | None,
    measured: MeasuredRate | None,
) -> Rate | None:
    if given is not None:
        return Rate(given, "--images_per_second")
    table = costs["throughput"]
    if gpus:
        found = [table[name]["images_per_second"] * n for name, n in gpus.items() if name in table]
        if len(found) < len(gpus):
            return None
        return Rate(sum(found), "; ".join(_source(table[name]) for name in gpus))
    if measured is not None:
        way = f"measured by check-model, {measured.way}, {measured.date}"
        if not remote:
            return Rate(measured.images_per_second, f"{way}, on this machine")
        if cores is not None:
            # A guess that says so: cores differ.
            rate = measured.images_per_second / measured.cores * cores
            return Rate(rate, f"{way}, for each core of this machine")
    if cores is None or "core" not in table:
        return None
    return Rate(table["core"]["images_per_second"] * cores, _source(table["core"]))


def _source(entry: Mapping[str, Any]) -> str:
    model = f" of {entry['model']}" if entry.get("model") else ""
    return f"that{model}; {entry.get('source', 'no source')}, {entry.get('date', 'no date')}"


def _price_per_hour(
    costs: Mapping[str, Any],
    machine: Mapping[str, Any] | None,
    gpus: Mapping[str, int],
    ssd_gb: int,
) -> float | None:
    prices = costs["prices"]
    per_gpu = prices.get("gpu_hour") or {}
    if machine is None or any(name not in per_gpu for name in gpus):
        return None
    return float(
        machine["vcpus"] * prices["vcpu_hour"]
        + machine["memory_gb"] * prices["memory_gb_hour"]
        # A table of one's own may have no price of disks.
        + ssd_gb * prices.get("ssd_gb_hour", 0)
        + sum(per_gpu[name] * number for name, number in gpus.items())
    )
