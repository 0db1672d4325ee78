"""Post every basket over HTTP, as its store. Many at once, each with retries until a final answer."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from crossdock_cli.replay.orders import Order

SENDERS = 24
ANSWER_SECONDS = 60.0
"""The time limit for the retries of one order while the service sheds load or is unavailable."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
MAX_FIELDS = 3
AGAIN = frozenset({409, 425, 429, 502, 503, 504})
"""Statuses to retry. 409 only with Retry-After: an earlier try with this key, whose answer was lost, still runs."""


@dataclass(frozen=True, slots=True)
class Posted:
    """An order that was accepted. Times are seconds of `time.perf_counter`.

    `sent`: just before the successful request. `accepted`: when its answer arrived. `existing`: an earlier replay had
    posted the order. `status`: the current status.
    """

    order: Order
    order_id: str
    existing: bool
    status: str
    sent: float
    accepted: float


@dataclass(frozen=True, slots=True)
class Failed:
    order: Order
    problem: str


@dataclass(frozen=True, slots=True)
class Pace:
    """The schedule of the orders. The whole day takes `seconds`; 0 means as fast as possible."""

    midnight: datetime
    seconds: float

    def due(self, at: datetime) -> float:
        return (at - self.midnight) / timedelta(days=1) * self.seconds

    def clock(self, elapsed: float) -> str:
        """Return the simulated time after `elapsed` seconds, 24:00 at the end. For paced replays only."""
        minutes = int(min(elapsed / self.seconds, 1) * 24 * 60)
        return f"{minutes // 60:02}:{minutes % 60:02}"


class Sender:
    """Posts the orders of one run. The run is part of each Idempotency-Key, so a retry returns the first answer.

    In a later run, the store's reference finds the order of the earlier run.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, tokens: Mapping[str, str], run: str) -> None:
        self._client, self._url, self._tokens, self._run = client, url, tokens, run

    async def post(self, order: Order) -> Posted | Failed:
        headers = {
            "Authorization": f"Bearer {self._tokens[order.partner]}",
            "Idempotency-Key": f"{self._run}-{order.reference}",
        }
        deadline = time.perf_counter() + ANSWER_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            sent = time.perf_counter()
            try:
                answer = await self._client.post(f"{self._url}/v1/orders", json=order.body, headers=headers)
            except httpx.TransportError as error:
                trouble, wait = f"{type(error).__name__} {error}".strip(), None
            else:
                if answer.is_success:
                    accepted, taken = time.perf_counter(), answer.json()
                    existing = answer.status_code == httpx.codes.OK
                    return Posted(order, taken["id"], existing, taken["status"], sent, accepted)
                trouble, wait = problem_of(answer), answer.headers.get("Retry-After")
                if answer.status_code not in AGAIN or (answer.status_code == httpx.codes.CONFLICT and wait is None):
                    return Failed(order, trouble)
            if time.perf_counter() + pause > deadline:
                return Failed(order, trouble)
            asked = float(wait) if wait and wait.isdigit() else 0.0
            # A random pause, so that requests that were refused together are not retried together.
            await asyncio.sleep(max(min(asked, LONGEST_PAUSE_SECONDS), pause * random.uniform(0.5, 1.5)))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def post_all(
    sender: Sender, orders: Sequence[Order], pace: Pace, answered: Callable[[Posted | Failed], None]
) -> list[Posted | Failed]:
    """Post the orders in their order. Call `answered` with each answer, and return all in the order of arrival."""
    line: asyncio.Queue[Order | None] = asyncio.Queue()
    answers: list[Posted | Failed] = []

    async def feed() -> None:
        start = time.perf_counter()
        for order in orders:
            await asyncio.sleep(max(0.0, start + pace.due(order.at) - time.perf_counter()))
            line.put_nowait(order)
        for _ in range(SENDERS):
            line.put_nowait(None)

    async def send() -> None:
        while (order := await line.get()) is not None:
            answer = await sender.post(order)
            answers.append(answer)
            answered(answer)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed())
        for _ in range(SENDERS):
            tasks.create_task(send())
    return answers


def problem_of(answer: httpx.Response) -> str:
    """Return one line: the status and, of an RFC 9457 problem, its type, detail and first fields."""
    try:
        problem: Any = answer.json()
        fields = [
            " ".join(str(value) for name, value in error.items() if name != "code")
            for error in problem.get("errors", [])
        ][:MAX_FIELDS]
        said = " · ".join(str(part) for part in (problem.get("type"), problem.get("detail"), *fields) if part)
    except (ValueError, AttributeError):
        said = answer.text[:200]
    return f"{answer.status_code} {said}".strip()
