"""Every verb has its duration, its wait and its outcomes, without code of its own."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import toy
from examples import cancelled, placed
from prometheus_client import REGISTRY
from pydantic import BaseModel

from crossdock_chassis import Coalescer, Feature, Overloaded, Problem, Service, Unit, every, on
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.testing import envelope_of
from crossdock_events import Envelope
from crossdock_events.orders import OrderPlaced

numbers = count()


class Seen(BaseModel):
    name: str


class Refused(Exception):
    pass


class Undeclared(Exception):
    pass


@pytest.fixture
def verb() -> str:
    """The metrics of a process add up, so that each test has a verb of its own."""
    return f"verb_{next(numbers)}"


@pytest.fixture
def declared(service: Service) -> Service:
    return replace(service, features=[Feature(problems={Refused: Problem(409, "refused", "Refused")})])


def outcomes(verb: str) -> dict[str, float]:
    (family,) = (each for each in REGISTRY.collect() if each.name == "crossdock_verb_outcomes")
    return {
        sample.labels["outcome"]: sample.value
        for sample in family.samples
        if sample.labels["verb"] == verb and sample.name.endswith("_total")
    }


def observed(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"{name}_count", labels) or 0


async def handle(unit: Unit, batch: Sequence[str]) -> list[Seen | Exception]:
    """Counts each name; refuses "no", is surprised by "boom"."""
    await unit.sql.execute(toy.MARK, batch)
    if "boom" in batch:
        raise Undeclared("boom")
    return [Refused(name) if name == "no" else Seen(name=name) for name in batch]


# --- commands


async def test_commands_are_counted_once_by_their_answer(declared: Service, verb: str) -> None:
    place = Coalescer(declared.database, handle, Seen, name=verb)
    names = ["a", "no", "b", "boom", "c"]
    await asyncio.gather(*(place(name) for name in names), return_exceptions=True)
    assert outcomes(verb) == {"ok": 3, "refused": 1, "internal": 1}
    await place.many(names)
    assert outcomes(verb) == {"ok": 6, "refused": 2, "internal": 2}, "a batch counts like single commands"


async def test_wait_is_observed_by_command_and_duration_by_batch(declared: Service, verb: str) -> None:
    place = Coalescer(declared.database, handle, Seen, name=verb)
    await asyncio.gather(*(place(str(n)) for n in range(20)))
    assert observed("crossdock_command_wait_seconds", verb=verb) == 20
    assert 1 <= observed("crossdock_verb_seconds", verb=verb, kind="command") < 5


async def test_command_behind_a_slow_one_waits_as_long(declared: Service, verb: str) -> None:
    release, begun = asyncio.Event(), asyncio.Event()

    async def slow(unit: Unit, batch: Sequence[str]) -> list[Seen | Exception]:
        begun.set()
        await release.wait()
        return await handle(unit, batch)

    place = Coalescer(declared.database, slow, Seen, name=verb)
    first = asyncio.create_task(place("first"))
    await begun.wait()
    second = asyncio.create_task(place("second"))
    await asyncio.sleep(0.05)
    release.set()
    await asyncio.gather(first, second)
    waited = REGISTRY.get_sample_value("crossdock_command_wait_seconds_sum", {"verb": verb})
    assert waited is not None and waited >= 0.05


async def test_cold_command_is_measured_like_a_hot_one(declared: Service, verb: str) -> None:
    cold = Coalescer(declared.database, handle, Seen, limit=1, name=verb)
    await cold("a")
    with pytest.raises(Refused):
        await cold("no")
    assert outcomes(verb) == {"ok": 1, "refused": 1}
    assert observed("crossdock_verb_seconds", verb=verb, kind="command") == 2


async def test_shed_commands_are_counted_as_overloaded(declared: Service, verb: str) -> None:
    place = Coalescer(declared.database, handle, Seen, name=verb)
    declared.database.pressure.outbox_depth = declared.database.pressure.outbox_limit + 1
    with pytest.raises(Overloaded):
        await place("a")
    with pytest.raises(Overloaded):
        await place.many(["a", "b"])
    assert outcomes(verb) == {"overloaded": 3}


async def test_contended_command_is_counted_when_it_is_answered(declared: Service, verb: str) -> None:
    await Coalescer(declared.database, handle, Seen, limit=1)("a")
    place = Coalescer(declared.database, handle, Seen, name=verb)
    async with declared.database.unit() as other:
        await other.sql.execute("SELECT FROM mark WHERE name = 'a' FOR UPDATE")
        waiting = asyncio.create_task(place("a"))
        async with asyncio.timeout(10):
            while observed("crossdock_verb_seconds", verb=verb, kind="command") < 1:
                await asyncio.sleep(0.01)
        assert outcomes(verb) == {}, "it is tried again, with a longer lock timeout"
    await waiting
    assert outcomes(verb) == {"ok": 1}


# --- reactions


def reacting(service: Service, verb: str) -> Inbox:
    async def react(unit: Unit, batch: Sequence[Envelope[Any]]) -> None:
        await unit.sql.execute(toy.MARK, [each.event.reference for each in batch])
        if any(each.event.reference == "poison" for each in batch):
            raise Refused

    async def first(unit: Unit, batch: Sequence[Envelope[Any]]) -> None:
        """Never fails, and is undone with the reaction after it."""

    react.__name__, first.__name__ = verb, f"{verb} before"
    reactions = [on(OrderPlaced, first), on(OrderPlaced, react)]
    return Inbox(replace(service, reactions=reactions).subscriptions()[0])


def records(*references: str) -> list[Record]:
    envelopes = [envelope_of(placed(reference)) for reference in references]
    return [Record(each.encode(), 0, offset, each.time.timestamp()) for offset, each in enumerate(envelopes)]


async def test_events_are_counted_when_their_transaction_commits(declared: Service, verb: str) -> None:
    inbox = reacting(declared, verb)
    batch = records("PO-1", "PO-2", "PO-3")
    with pytest.raises(ZeroDivisionError):
        async with declared.database.unit() as unit:
            await inbox.take(unit, batch, careful=False)
            raise ZeroDivisionError
    assert outcomes(verb) == {}, "rolled back: Kafka brings them again"
    async with declared.database.unit() as unit:
        await inbox.take(unit, batch, careful=False)
    assert outcomes(verb) == {"ok": 3}
    assert observed("crossdock_verb_seconds", verb=verb, kind="reaction") == 2


async def test_poison_is_counted_once_by_its_problem(declared: Service, verb: str) -> None:
    async with declared.database.unit() as unit:
        await reacting(declared, verb).take(unit, records("PO-1", "poison", "PO-2", "PO-3"), careful=True)
    assert outcomes(verb) == outcomes(f"{verb} before") == {"ok": 3, "refused": 1}


async def test_events_of_other_types_are_not_counted_for_a_verb(declared: Service, verb: str) -> None:
    async with declared.database.unit() as unit:
        event = envelope_of(cancelled(placed()))
        await reacting(declared, verb).take(unit, [Record(event.encode(), 0, 0, 0.0)], careful=True)
    assert outcomes(verb) == {}


# --- jobs


async def test_job_is_counted_and_measured_by_run(declared: Service, verb: str) -> None:
    answers: Counter[str] = Counter()

    async def work(unit: Unit) -> None:
        answers["runs"] += 1
        await unit.sql.execute(toy.MARK, ["job"])
        if answers["runs"] == 2:
            raise Refused

    work.__qualname__ = verb
    job = every(60, work)
    for _ in range(3):
        await Jobs(declared.database, [job]).run_due()
        if answers["runs"] == 1:
            async with declared.database.unit() as unit:
                await unit.sql.execute("UPDATE job SET due_at = now()")
    assert outcomes(job.name) == {"ok": 1, "refused": 1}, "a run that is not due is not counted"
    assert observed("crossdock_verb_seconds", verb=job.name, kind="job") == 2
