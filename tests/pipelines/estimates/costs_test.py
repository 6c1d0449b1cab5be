import os
from pathlib import Path

import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.estimates import rates
from beamscope.pipelines.estimates.costs import COSTS, estimate, load_costs
from beamscope.pipelines.estimates.rates import MeasuredRate, keep_rate, measured_rate
from beamscope.pipelines.runners.config import config_names, config_options
from beamscope.transforms.problems import InputError

TABLE = {
    "prices": {"source": "a list", "date": "2026-01", "currency": "EUR", "vcpu_hour": 0.05,
               "memory_gb_hour": 0.004, "gpu_hour": {"nvidia-l4": 0.6}},
    "machines": {"n2-standard-8": {"vcpus": 8, "memory_gb": 32},
                 "g2-standard-16": {"vcpus": 16, "memory_gb": 64}},
    "throughput": {"core": {"images_per_second": 10, "source": "a bench", "date": "2026-02"},
                   "nvidia-l4": {"images_per_second": 500, "model": "M"}},
}  # fmt: skip
MEASURED = MeasuredRate(120.0, "openvino, float32", 224, 2048, "EPYC", 4, "2026-03-01")


@pytest.fixture
def costs(tmp_path):
    (tmp_path / "costs.yaml").write_text(yaml.safe_dump(TABLE))
    return load_costs(str(tmp_path / "costs.yaml"))


def options(name, *flags):
    return PipelineOptions([*config_options(name), *flags])


def test_cost_of_processors(costs):
    found = estimate(7_200_000, options("dataflow_cpu"), costs)
    # 20 machines of 8 cores, 10 images a second each: 4,500 s. A machine costs 0.4 + 0.128 an hour.
    assert (found.workers, found.machine) == (20, "n2-standard-8")
    assert found.hours == pytest.approx(1.25)
    assert found.cost == pytest.approx(1.25 * 20 * 0.528)
    assert (found.currency, found.prices) == ("EUR", "a list, 2026-01")
    assert found.rate.source == "that; a bench, 2026-02"
    assert found.table.endswith("costs.yaml")


def test_cost_of_disks_and_of_threads_that_share_a_core(tmp_path):
    table = {**TABLE, "prices": {**TABLE["prices"], "ssd_gb_hour": 0.001}}
    table["machines"] = {"n2-standard-8": {"vcpus": 8, "cores": 4, "memory_gb": 32}}
    (tmp_path / "costs.yaml").write_text(yaml.safe_dump(table))
    costs = load_costs(str(tmp_path / "costs.yaml"))
    found = estimate(7_200_000, options("dataflow_cpu"), costs)
    assert found.hours == pytest.approx(2.5)
    assert found.cost == pytest.approx(2.5 * 20 * (0.528 + 0.1))


def test_prices_of_a_million_patches_in_the_documents():
    """The table of docs/dataflow.md has what the table of costs gives."""
    costs = load_costs(None)
    rates = {"dataflow_cpu": {"50x1": 98.8}, "dataflow_t4": {"50x1": 990, "152x2": 88},
             "dataflow_l4": {"50x1": 2_700, "152x2": 330}}  # fmt: skip
    lines = (Path(__file__).parents[3] / "docs" / "dataflow.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| `dataflow_") and "$" in line]
    assert len(rows) == len(rates)
    for (name, models), row in zip(rates.items(), rows, strict=True):
        assert f"`{name}`" in row
        for rate in models.values():
            found = estimate(
                1_000_000, options(name), costs, workers=1, images_per_second=float(rate)
            )
            assert f"{found.cost:.2f} $" in row, (name, found.cost)
            assert f"{rate:,}" in row


def test_cost_of_gpus(costs):
    found = estimate(7_200_000, options("dataflow_l4"), costs, workers=2)
    assert found.machine == "g2-standard-16, 1 nvidia-l4"
    assert found.hours == pytest.approx(2.0)
    assert found.cost == pytest.approx(2 * 2 * (16 * 0.05 + 64 * 0.004 + 0.6))


def test_cost_where_only_embedding_has_gpus(costs):
    """The machines that embed count, not those that plan."""
    found = estimate(7_200_000, options("dataflow_l4_split"), costs, workers=2)
    assert found == estimate(7_200_000, options("dataflow_l4"), costs, workers=2)


def test_a_measured_rate_goes_first(costs):
    here = estimate(1_200, options("direct"), costs, measured=MEASURED)
    assert here.hours == pytest.approx(10 / 3600)
    assert (here.cost, here.machine) == (None, "this machine")
    way = "measured by check-model, openvino, float32, 2026-03-01"
    assert here.rate.source == f"{way}, on this machine"
    there = estimate(1_200, options("dataflow_cpu"), costs, workers=1, measured=MEASURED)
    assert there.rate.images_per_second == pytest.approx(120 / 4 * 8)
    assert "for each core of this machine" in there.rate.source
    given = estimate(1_200, options("direct"), costs, images_per_second=1, measured=MEASURED)
    assert (given.rate.source, given.hours) == ("--images_per_second", pytest.approx(1 / 3))


def test_without_a_measurement_here_it_is_the_cores_of_this_machine(costs):
    found = estimate(1_000, options("direct_parallel"), costs)
    assert found.rate.images_per_second == 10 * (os.cpu_count() or 1)


def test_what_is_not_known_is_said(costs):
    found = estimate(1_000, options("dataflow_t4"), costs)
    assert (found.hours, found.cost) == (None, None)
    assert found.missing.startswith("no throughput of nvidia-tesla-t4 is known")
    found = estimate(1_000, options("dataflow_t4"), costs, images_per_second=100)
    assert found.hours is not None
    assert "no price of n1-standard-8, 1 nvidia-tesla-t4 is known" in found.missing


@pytest.mark.parametrize("name", [name for name in config_names() if name.startswith("dataflow")])
def test_beamscopes_own_table_knows_the_machines_of_the_configs(name):
    found = estimate(1_000, options(name), load_costs(None), images_per_second=10)
    assert found.cost is not None
    assert found.table == str(COSTS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("a: [", "while parsing"),
        ("{}", "is not a table of costs like"),
        ("prices: {}\nmachines: {}\nthroughput: {core: {}}", "images_per_second"),
        ("prices: {}\nmachines: 3\nthroughput: {}", "machines is no mapping"),
    ],
)
def test_load_costs_errors(tmp_path, content, words):
    path = tmp_path / "costs.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        load_costs(str(path))
    assert caught.value.message.startswith(f"--costs {path}: ")


def test_rates_are_kept_for_each_model_and_way(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    assert measured_rate("9f") is None
    keep_rate("9f", 10.0, way="none, float32", input_px=224, features=8)
    keep_rate("9f", 30.0, way="openvino, float32", input_px=224, features=8)
    keep_rate("9f", 25.0, way="openvino, float32", input_px=224, features=8)
    keep_rate("aa", 99.0, way="none, float32", input_px=64, features=3)
    found = measured_rate("9f")
    assert (found.images_per_second, found.way, found.input_px) == (25.0, "openvino, float32", 224)
    assert measured_rate("aa").features == 3
    # What another machine has measured, on a shared home, says nothing of this one.
    monkeypatch.setattr(rates.os, "cpu_count", lambda: 1_000)
    assert measured_rate("9f") is None


@pytest.mark.parametrize("content", ["", "[]", '{"9f": 3}', '{"9f": [{"x": 1}]}'])
def test_a_damaged_file_of_rates_is_as_none(tmp_path, monkeypatch, content):
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path))
    rates.rates_path().write_text(content)
    assert measured_rate("9f") is None
    keep_rate("9f", 10.0, way="none, float32", input_px=224, features=8)
    assert measured_rate("9f").images_per_second == 10.0
