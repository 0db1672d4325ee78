"""The gauge of levels that differ from the ledger."""

import pytest
from warehouse import Warehouse

from crossdock_chassis import LEDGER_DRIFT
from inventory_service.stock import measure
from inventory_service.stock.measure import LedgerRounds


async def test_gauge_counts_drift_until_a_round_without_it(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "ITEMS", 2)
    await warehouse.open("a", "b", "c")
    await warehouse.receive_all([("a", 3), ("b", 3), ("c", 1)])
    rounds = LedgerRounds()

    async def measured() -> float:
        async with warehouse.database.unit() as unit:
            await rounds.measure_ledger_drift(unit)
        (sample,) = next(iter(LEDGER_DRIFT.collect())).samples
        return sample.value

    assert [await measured(), await measured()] == [0, 0]
    await warehouse.fetch("UPDATE levels SET on_hand = 4 WHERE item_id = 'c'")
    assert [await measured(), await measured()] == [0, 1]  # the second page has c
    assert [await measured(), await measured()] == [1, 1]
    await warehouse.fetch("UPDATE levels SET on_hand = 1 WHERE item_id = 'c'")
    assert [await measured(), await measured()] == [1, 0]
