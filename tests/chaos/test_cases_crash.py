"""Kill crm-service while rules open cases and clocks run out. Each case is opened once, and each timer fires once."""

import asyncio

import httpx
from harness import CRM, Harness, eventually
from load import load

ORDERS = 300
RULE = {"trouble": "backordered", "after_days": 0, "severity": "critical", "subject": "It waits", "notice": "It waits."}
OPEN = "SELECT array_agg(id) FROM cases WHERE channel = 'rule' AND severity = 'critical'"
BACK = (
    "UPDATE case_entries SET at = at - interval '100 minutes' WHERE case_id = ANY ($1)",
    "UPDATE cases SET changed_at = changed_at - interval '100 minutes' WHERE id = ANY ($1)",
    "UPDATE case_timers SET due_at = due_at - interval '100 minutes' WHERE case_id = ANY ($1)",
)
MARKED = "SELECT count(*) FROM sla_marks WHERE case_id = ANY ($1) AND noticed = 'breach'"


async def again(harness: Harness) -> None:
    """Kill the worker, and start it again."""
    worker = harness.stack.process(f"{CRM}.worker")
    for step in (worker.kill, worker.start, worker.wait_ready):
        await asyncio.to_thread(step)


async def test_rules_and_timers_fire_once_while_workers_die(harness: Harness) -> None:
    headers = {"Authorization": f"Bearer {harness.stack.operator_token(['crm:staff'], 'ann')}"}
    async with httpx.AsyncClient(base_url=harness.stack.url(CRM), headers=headers, timeout=60) as staff:
        assert (await staff.put("/v1/rules/crashes", json=RULE)).is_success
        async with load(harness, ORDERS) as running:
            for moment in (80, 200):
                await running.until(moment)
                await again(harness)
            outcome = await running.end()
        assert not outcome.refused and len(outcome.answered) == ORDERS
        await harness.adds_up()
        assert (await staff.delete("/v1/rules/crashes")).is_success
        worker = harness.stack.process(f"{CRM}.worker")
        await asyncio.to_thread(worker.kill)
        async with harness.database(CRM) as sql:
            ids = await sql.fetchval(OPEN)
            assert len(ids) > 10
            for statement in BACK:
                await sql.execute(statement, ids)
            await asyncio.to_thread(worker.start)

            async def some() -> bool:
                return bool(await sql.fetchval(MARKED, ids))

            async def all_of_them() -> bool:
                return bool(await sql.fetchval(MARKED, ids) == len(ids))

            await eventually(some)
            await again(harness)
            await eventually(all_of_them)
    await harness.adds_up()
