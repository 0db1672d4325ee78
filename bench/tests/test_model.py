"""The model finds the costs that made the numbers, and names the bound that is lowest."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bench.model import Cost, Model, fit
from bench.page import write
from bench.results import Results, Row, machine
from hypothesis import given
from hypothesis import strategies as st

COSTS = {
    "order-service.api": Cost(100, 1_000),
    "order-service.worker": Cost(80, 2_000),
    "inventory-service.worker": Cost(200, 3_000),
    "postgres order_service": Cost(60, 400),
    "postgres inventory_service": Cost(60, 400),
    "kafka": Cost(30, 700),
}
TRANSACTIONS = {"20/s": 4.0, "200/s": 1.0, "500/s": 0.4, "single": 0.05, "batched": 0.01}


def document() -> dict[str, Any]:
    """Return a result in which every process has exactly its cost."""
    found = Results(machine("18", "4"), "")
    for load, each in TRANSACTIONS.items():
        found.counted[load] = {
            f"{service} {name}": value
            for service in ("order-service", "inventory-service")
            for name, value in (("transactions", each), ("messages", 2.0))
        }
        found.cpu[load] = {name: cost.at(2 * each if name == "kafka" else each) for name, cost in COSTS.items()}
    found.rows = [Row("Relay", [40_000.0], "rows/s"), Row("End to end, single", [1_000.0], "orders/s", 1_500.0)]
    found.rows += [Row("End to end, batched", [2_000.0], "orders/s")]
    for rate in (20, 200):
        found.rows += [Row(f"Accepted to confirmed at {rate}/s, {name}", [30.0], "ms") for name in ("p50", "p99")]
    return found.document()


@given(order=st.floats(1, 1_000), transaction=st.floats(1, 10_000))
def test_fit_finds_the_costs_of_exact_points(order: float, transaction: float) -> None:
    cost = fit([(x, order + transaction * x) for x in (0.01, 0.1, 1, 3)])
    assert cost.order == pytest.approx(order, rel=0.01) and cost.transaction == pytest.approx(transaction, rel=0.01)


@given(points=st.lists(st.tuples(st.floats(0.001, 10), st.floats(1, 10_000)), max_size=6))
def test_no_fitted_cost_is_below_zero(points: list[tuple[float, float]]) -> None:
    cost = fit(points)
    assert cost.order >= 0 and cost.transaction >= 0


def test_cores_limit_small_machines_and_the_design_large_ones() -> None:
    model = Model.of(document())
    assert model.costs["kafka"].transaction == pytest.approx(700)
    total = sum(model.work("single").values())
    few = model.limits("single", 2, most=True)[0]
    assert few.by == "all cores busy" and few.rate == pytest.approx(2e6 / total)
    assert model.limits("batched", 128, most=False)[0].by == "one inventory-service.worker"
    assert model.limits("batched", 128, most=True)[0].by.startswith("one relay in ")
    assert model.limits("batched", 128, most=True)[0].rate == pytest.approx(20_000)
    for load in TRANSACTIONS:
        rates = [model.limits(load, cores, most=True)[0].rate for cores in (2, 8, 32, 128)]
        assert all(more >= less for less, more in pairwise(rates))
    assert model.processes("single", 5_000)["order-service.api"] == 1  # 150 µs an order


def test_page_gets_the_numbers_and_keeps_its_text(tmp_path: Path) -> None:
    latest, page, picture = tmp_path / "latest.json", tmp_path / "page.md", tmp_path / "picture.svg"
    latest.write_text(json.dumps(document()))
    blocks = "".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in ("machine", "rows", "model", "check"))
    page.write_text(f"before\n{blocks}<!-- watch -->\nold\n<!-- end -->\nafter\n<!-- growth -->\nkept\n<!-- end -->\n")
    watch = tmp_path / "watch.json"
    watch.write_text(json.dumps(document()))
    for _ in range(2):
        write(latest, tmp_path / "none.json", watch, page=page, picture=picture)
    text = page.read_text()
    assert text.startswith("before\n") and "after\n" in text and "kept" in text and "old" not in text
    assert "| End to end, single | 1,000 orders/s | ≥ 1,500 (missed) |" in text
    assert len(re.findall(r"<circle", picture.read_text())) == 4
