"""Send a steady load with retries from a process of its own, like partners that retry until an answer.

`load` starts the process `python load.py '{"orders": …}'`, and `Load` reads its output: a line of JSON for each answer.
"""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
from harness import CRM, INVENTORY, ORDERS, Harness, order

from crossdock_local.posting import DOMAIN

CLIENTS = 16
GIVE_UP_SECONDS = 150.0
PAUSE_SECONDS = 0.1
AGAIN = frozenset({409, 503})
"""Statuses to retry if they have Retry-After. 409: another request with the same key is running."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a load. Every 50 orders, `scarce` items get `received` units. One order in ten is cancelled.

    With `staff_token`, the partner complains about every twentieth order, and a customer writes a mail.
    """

    orders_url: str
    inventory_url: str
    token: str
    tag: str
    orders: int
    plentiful: list[str]
    scarce: list[str]
    clients: int = CLIENTS
    received: int = 5
    seed: int = 1
    crm_url: str = ""
    staff_token: str = ""


@dataclass(slots=True)
class Outcome:
    """The result of the load.

    `unseen`: the number of lost answers, whose requests were retried. `clashes`: references with two different orders.
    `complaints`: cases by the order. `senders`: the addresses of mails.
    """

    answered: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    unseen: int = 0
    refused: list[str] = field(default_factory=list)
    clashes: list[str] = field(default_factory=list)
    complaints: dict[str, str] = field(default_factory=dict)
    senders: list[str] = field(default_factory=list)


class Load:
    """A running load. `until(n)` waits until `n` orders are answered, `end` until all are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.outcome = Outcome()
        self._process = process
        self._more = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def until(self, count: int) -> None:
        async with asyncio.timeout(GIVE_UP_SECONDS), self._more:
            await self._more.wait_for(lambda: len(self.outcome.answered) >= count or self._listening.done())
        assert len(self.outcome.answered) >= count

    async def end(self) -> Outcome:
        async with asyncio.timeout(2 * GIVE_UP_SECONDS):
            await self._listening
            assert await self._process.wait() == 0
        return self.outcome

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        outcome = self.outcome
        async for line in self._process.stdout:
            said = json.loads(line)
            match said["what"]:
                case "answered":
                    if outcome.answered.setdefault(said["reference"], said["id"]) != said["id"]:
                        outcome.clashes.append(said["reference"])
                case "complained":
                    outcome.complaints[said["order_id"]] = said["id"]
                case "mailed":
                    outcome.senders.append(said["sender"])
                case "cancelled":
                    outcome.cancelled.add(said["id"])
                case "unseen":
                    outcome.unseen += 1
                case _:
                    outcome.refused.append(said["problem"])
            async with self._more:
                self._more.notify_all()

    async def stop(self) -> None:
        self._listening.cancel()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def load(harness: Harness, orders: int, *, desk: bool = False, **more: Any) -> AsyncIterator[Load]:
    """Run a load during the block, with new items. Afterwards, the harness knows the answered orders.

    With `desk` there are complaints and mails too.
    """
    if desk:
        token = harness.stack.operator_token(["crm:staff"], "loader")
        more |= {"crm_url": harness.stack.url(CRM), "staff_token": token}
    plentiful = await harness.items(8, on_hand=10 * orders)
    scarce = await harness.items(2, on_hand=5)
    plan = Plan(
        harness.stack.url(ORDERS),
        harness.stack.url(INVENTORY),
        harness.token("loader"),
        uuid4().hex[:10],
        orders,
        plentiful,
        scarce,
        **more,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, json.dumps(asdict(plan)), stdout=asyncio.subprocess.PIPE
    )
    running = Load(process)
    try:
        yield running
    finally:
        await running.stop()
        harness.accepted |= {("loader", name): order_id for name, order_id in running.outcome.answered.items()}


# The process of the load


def say(**what: str) -> None:
    print(json.dumps(what), flush=True)


class Partner:
    def __init__(self, plan: Plan, client: httpx.AsyncClient) -> None:
        self._plan, self._client = plan, client

    async def ask(
        self, url: str, body: Any = None, key: str | None = None, *, soon: bool = False, **more: Any
    ) -> httpx.Response | None:
        """Retry the request until a final answer. Return None without one after GIVE_UP_SECONDS.

        `soon`: an order that is not known yet will be.
        """
        headers = ({"Idempotency-Key": key} if key else {}) | more.pop("headers", {})
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                while True:
                    try:
                        answer = await self._client.post(url, json=body, headers=headers, **more)
                    except httpx.ConnectError:
                        pass  # nothing was sent
                    except httpx.TransportError:
                        say(what="unseen")
                    else:
                        waits = soon and answer.status_code == 422 and "known soon" in answer.text
                        if not waits and (answer.status_code not in AGAIN or "retry-after" not in answer.headers):
                            return answer
                        if answer.json()["type"].endswith("outcome-unknown"):
                            say(what="unseen")
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            say(what="refused", problem=f"{url} was not answered")
            return None

    async def place(self, number: int, chance: random.Random) -> None:
        plan = self._plan
        reference = f"{plan.tag}-{number}"
        body = _order(plan, reference, chance)
        key = f"key-{reference}" if chance.random() < 0.5 else None  # without a key, the reference identifies the order
        times = 2 if chance.random() < 0.05 else 1  # an impatient partner sends the request twice at once
        cancels = chance.random() < 0.1
        answers = await asyncio.gather(*(self.ask(f"{plan.orders_url}/v1/orders", body, key) for _ in range(times)))
        for answer in answers:
            if answer is None:
                continue
            if answer.status_code not in (200, 201):
                say(what="refused", problem=f"{answer.status_code} {answer.text}")
                return
            say(what="answered", reference=reference, id=answer.json()["id"])
        order_id = "" if answers[0] is None else answers[0].json()["id"]
        if plan.staff_token and order_id and number % 20 == 0:
            await asyncio.gather(self.complain(order_id), self.write(f"{plan.tag}-{number}@example.com"))
        if cancels and order_id:
            answer = await self.ask(f"{plan.orders_url}/v1/orders/{order_id}:cancel", None)
            if answer is not None and answer.status_code == 200:
                say(what="cancelled", id=order_id)
            elif answer is not None:
                say(what="refused", problem=f"{answer.status_code} {answer.text}")

    async def complain(self, order_id: str) -> None:
        body = {"kind": "complaint", "subject": "Late", "text": "Where is it?", "order_id": order_id}
        answer = await self.ask(f"{self._plan.crm_url}/v1/cases", body, f"case-{order_id}", soon=True)
        if answer is not None and answer.status_code == 201:
            say(what="complained", order_id=order_id, id=answer.json()["id"])
        elif answer is not None:
            say(what="refused", problem=f"{answer.status_code} {answer.text}")

    async def write(self, sender: str) -> None:
        plan = self._plan
        mail = f"From: {sender}\r\nTo: support@{DOMAIN}\r\nSubject: Mine\r\nMessage-ID: <{sender}>\r\n\r\nWhere is it?"
        headers = {"Authorization": f"Bearer {plan.staff_token}", "Content-Type": "message/rfc822"}
        url = f"{plan.crm_url}/v1/mail?recipient=support@{DOMAIN}"
        answer = await self.ask(url, headers=headers, content=mail.encode())
        if answer is not None and answer.is_success:
            say(what="mailed", sender=sender)
        elif answer is not None:
            say(what="refused", problem=f"{answer.status_code} {answer.text}")

    async def receive(self, number: int) -> None:
        plan = self._plan
        lines = [{"item_id": item, "quantity": plan.received} for item in plan.scarce]
        body = {"reference": f"{plan.tag}-{number}", "location_id": "WEST", "lines": lines}
        answer = await self.ask(f"{plan.inventory_url}/v1/receipts", body)
        if answer is not None and answer.status_code not in (200, 201):
            say(what="refused", problem=f"{answer.status_code} {answer.text}")


def _order(plan: Plan, reference: str, chance: random.Random) -> dict[str, Any]:
    """Return an order of one to five lines. Some repeat an item, and every third contains a scarce item."""
    lines = [(chance.choice(plan.plentiful), chance.randint(1, 3)) for _ in range(chance.randint(1, 3))]
    if chance.random() < 0.3:
        lines.append((chance.choice(plan.scarce), chance.randint(1, 4)))
    if chance.random() < 0.1:
        lines.append(lines[0])
    return order(reference, *lines, priority=chance.randint(0, 9), partial=chance.random() < 0.2)


async def run(plan: Plan) -> None:
    chance = random.Random(plan.seed)
    headers = {"Authorization": f"Bearer {plan.token}"}
    limits = httpx.Limits(max_connections=2 * plan.clients)
    async with httpx.AsyncClient(headers=headers, timeout=20, limits=limits) as client:
        partner = Partner(plan, client)
        left = _work(plan, partner, chance)

        async def one() -> None:
            for each in left:
                await each()

        await asyncio.gather(*(one() for _ in range(plan.clients)))


def _work(plan: Plan, partner: Partner, chance: random.Random) -> Iterator[Callable[[], Awaitable[None]]]:
    for number in range(plan.orders):
        yield partial(partner.place, number, random.Random(chance.random()))
        if number % 50 == 49:
            yield partial(partner.receive, number)


def main(arguments: Sequence[str]) -> None:
    asyncio.run(run(Plan(**json.loads(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
