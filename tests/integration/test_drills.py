"""Two drills on the whole stack: the home page shows each fault and its end, and nothing is left behind."""

import asyncio
import json

import pytest
from harness import INVENTORY, Harness
from typer.testing import CliRunner

from crossdock_cli import attention
from crossdock_cli.app import build
from crossdock_local.drills.engine import run
from crossdock_local.drills.faults import Poison, Stockout


class Silent:
    def say(self, text: str) -> None:
        return None

    def wait(self, text: str) -> None:
        return None


async def test_stockout_is_shown_and_cleared(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Stockout("stockout", harness.stack)
    monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
    monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)
    look = attention.looking(harness.stack)
    times = await asyncio.to_thread(run, fault, look, lambda solved: "apply", Silent())
    (row,) = times.rows
    assert (row.cause, row.service, row.count) == ("backordered", INVENTORY, 1)
    level = await harness.availability(str(row.subject))
    assert (level["status"], level["on_hand"], level["reserved"]) == ("discontinued", 0, 0)
    done = await asyncio.to_thread(CliRunner().invoke, build(["attention"]), ["attention", "--json"])
    assert {each["what"] for each in json.loads(done.output)["checked"]} >= {"broker", f"{INVENTORY}/operations"}
    shown = await asyncio.to_thread(CliRunner().invoke, build(["attention"]), ["attention"])
    assert "Checked at" in shown.output
    await harness.adds_up()


async def test_poison_is_shown_and_cleared(harness: Harness) -> None:
    fault = Poison("poison", harness.stack)
    look = attention.looking(harness.stack)
    try:
        times = await asyncio.to_thread(run, fault, look, lambda solved: "apply", Silent())
    finally:
        if fault.place is not None:
            harness.injected.add(fault.place)
            harness.poison.add(fault.place)
    assert {row.cause for row in times.rows} == {"dead_letters", "key_parked"}
    await harness.adds_up()
