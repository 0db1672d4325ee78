"""The database itself guards the ledger and the levels."""

import asyncpg
import pytest
from warehouse import Warehouse


@pytest.mark.parametrize(
    "statement", ["UPDATE movements SET on_hand = 9", "DELETE FROM movements", "TRUNCATE movements", "MERGE"]
)
async def test_ledger_rows_cannot_be_changed(warehouse: Warehouse, statement: str) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    if statement == "MERGE":
        statement = "MERGE INTO movements USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE"
    with pytest.raises(asyncpg.RestrictViolationError):
        await warehouse.fetch(statement)
    await warehouse.check()


async def test_level_cannot_reserve_more_than_on_hand(warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    for wrong in ("reserved = 4", "reserved = -1", "on_hand = -1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await warehouse.fetch(f"UPDATE levels SET {wrong}")
