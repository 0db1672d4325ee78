"""Handle the records of one consumer group inside a unit. They are from Kafka, or from a table if redriven."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import NamedTuple
from uuid import UUID

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Unit
from crossdock_chassis.messaging.aside import (
    BLOCK,
    BLOCKED,
    PARK,
    PARKED,
    Aside,
    AsideState,
    Record,
    aggregate_of,
    behind,
    keep,
)
from crossdock_chassis.messaging.breaker import Breaker, Failure, SystemFault, reason_of
from crossdock_chassis.messaging.reactions import Subscription, react_in_order
from crossdock_chassis.messaging.stops import count_tolerated
from crossdock_chassis.observability import metrics, tracing
from crossdock_events import Envelope, Event, Malformed, Message, Unknown, name_of
from crossdock_events._envelope import STRUCTURED

CLAIM = """
    INSERT INTO inbox (event_id) SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id
    ON CONFLICT DO NOTHING RETURNING event_id
"""

# The lock keeps the tables of the generation until this batch has ended. A switch of generations does not wait for it.
# The commit does not wait for the disk. A crash of PostgreSQL loses rows and positions together: both are made again.
ENTER = """
    SELECT set_config('search_path', $3 || ', public', true), set_config('synchronous_commit', 'off', true)
    FROM projection
    WHERE (generation, version) = ($1, $2) AND state <> 'retired' FOR KEY SHARE
"""

ADVANCE = """
    INSERT INTO projection_head AS head (consumer_group, source, topic, key, sequence)
    SELECT $1, source, topic, key, sequence
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS new (source, topic, key, sequence)
    ORDER BY source, topic, key
    ON CONFLICT (consumer_group, source, topic, key) DO UPDATE SET sequence = excluded.sequence
    WHERE head.sequence < excluded.sequence
"""

HEADS = """
    SELECT source, topic, key, sequence FROM projection_head
    JOIN unnest($2::text[], $3::text[], $4::text[]) AS wanted (source, topic, key) USING (source, topic, key)
    WHERE consumer_group = $1
    ORDER BY source, topic, key FOR UPDATE OF projection_head
"""

BLOCKED_KEYS_LIMIT = 1_000
"""With this many blocked keys in a group, the cause is no longer a few locked rows: the whole batch waits."""

ISOLATE_SECONDS = 8.0
"""Isolating keys takes at most this long, because the transaction is limited. Then a smaller batch is tried."""

ISOLATE_LOCK_SECONDS = 0.02
"""The lock timeout while keys are isolated. Each blocked key of a batch costs about ten such waits."""


MAX_TYPE = 255
"""No type of the catalogue is that long. An index row of PostgreSQL could not hold a type of any length."""


class Blocked(Exception):
    """A reaction failed for a passing reason, such as a locked row, and the connection is sound.

    The keys at fault can be isolated, unless the group has too many blocked keys already.
    """


class GenerationEnded(Exception):
    """The generation of a projection is retired, or another version of the service builds it. Its consumer ends."""


class VersionUnknown(Exception):
    """A subscribed event has a version that this build does not know. Skipping it would lose the event."""

    def __init__(self, ce_type: str) -> None:
        text = f"{ce_type[:MAX_TYPE]} is newer than this build: deploy a build that knows it, or decide in /v1/stopped"
        super().__init__(text)
        self.ce_type = ce_type


@dataclass(frozen=True, slots=True)
class Item:
    record: Record
    envelope: Envelope[Event]

    @property
    def aggregate(self) -> tuple[str, bytes | None]:
        return aggregate_of(self.record.message)


class Decoded(NamedTuple):
    """The events of a batch to which the group subscribes, and the records that are none, with the reason."""

    items: list[Item]
    malformed: list[tuple[Record, str]]


class Inbox:
    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.breaker = Breaker()
        self.blocked = float("-inf")  # the monotonic time of the last block, in a unit that may not have committed yet

    def refuses(self, record: Record) -> VersionUnknown | None:
        """Return an error if the partition must stop before this record. A known type costs a look at one header.

        A type longer than any real one is no reason to stop: the record is poison.
        """
        ce_type = _type_header(record.message)
        if ce_type in self.subscription.types:
            return None
        if ce_type is None:
            decoded = self.subscription.catalogue.decode(record.message)
            ce_type = decoded.type if isinstance(decoded, Unknown) else None
        return None if ce_type is None or len(ce_type) > MAX_TYPE else self._newer(ce_type)

    def _newer(self, ce_type: str) -> VersionUnknown | None:
        """Return an error if the group subscribes to this event, but not in this version."""
        if ce_type not in self.subscription.types and name_of(ce_type) in self.subscription.names:
            return VersionUnknown(ce_type)
        return None

    async def take(
        self,
        unit: Unit,
        records: Sequence[Record],
        *,
        careful: bool,
        untried: Exception | None = None,
        decoded: Decoded | None = None,
    ) -> None:
        """Decode, set poison and parked events aside, drop repeats, claim, react.

        An event in a version that this build does not know is poison here: the consumer stops before it, unless a
        person has decided to set it aside.

        If `careful`, a batch that raises is halved by key, under savepoints, until the failing event is alone. Poison
        becomes a dead letter; an event that failed for a passing reason is blocked, and `retries` handles it again.
        If key after key fails for one reason, SystemFault is raised, and the caller tries the batch again later.
        If not, the error is raised and the caller rolls the unit back: Blocked if a reaction failed for a passing
        reason. `untried` is a reason to block the only record without a reaction.
        """
        await self._enter(unit)
        items, malformed = decoded or self.decode(records)
        aside: list[Aside] = []
        parked = await self._parked(unit, [*items, *malformed])
        if malformed:
            await self._set_aside_malformed(unit, malformed, items, parked, aside)
        fresh: list[Item] = []
        for item in items:
            if (state := parked.get(item.aggregate)) is not None:
                aside.append(behind(item.record, state))
            else:
                fresh.append(item)
        fresh = await self._claim(unit, fresh)
        before = len(aside)
        if fresh and untried is not None:
            for item in fresh:
                await self._block(unit, item, untried, aside)
        elif fresh and careful:
            await self._halve(unit, fresh, aside, monotonic() + ISOLATE_SECONDS)
        elif fresh:
            await self._react_at_once(unit, fresh)
        if any(each.state == "blocked" for each in aside[before:]):
            self.blocked = monotonic()
            await self._check_room(unit)
        if aside:
            await keep(unit, self.subscription, aside)
        if self.breaker.tolerated:
            await self._count_tolerated(unit, aside)
        if untried is None and self.breaker.waits:
            self._close_breaker(fresh, aside)

    async def again(self, unit: Unit, records: Sequence[Record]) -> list[Aside]:
        """Handle blocked records again, in their order. Return the records that are to stay aside."""
        await self._enter(unit)
        items, malformed = self.decode(records)
        aside = [Aside(record, "poison", reason) for record, reason in malformed]
        bad = {(*aggregate_of(record.message), record.partition): record.offset for record, _ in reversed(malformed)}
        fresh: list[Item] = []
        for item in items:
            first = bad.get((*item.aggregate, item.record.partition))
            if first is not None and item.record.offset > first:
                aside.append(behind(item.record, "parked"))
            else:
                fresh.append(item)
        if fresh := await self._claim(unit, fresh):
            await self._halve(unit, fresh, aside, monotonic() + ISOLATE_SECONDS)
            await self._count_tolerated(unit, aside)
            self._close_breaker(fresh, aside)
        return aside

    async def _count_tolerated(self, unit: Unit, aside: Sequence[Aside]) -> None:
        counted = Counter(each.fingerprint for each in aside if each.fingerprint in self.breaker.tolerated)
        if counted:
            await count_tolerated(unit, self.subscription.group, counted)

    def _close_breaker(self, items: Sequence[Item], aside: Sequence[Aside]) -> None:
        failed = {id(each.record) for each in aside}
        self.breaker.close({item.envelope.event.ce_type for item in items if id(item.record) not in failed})

    async def apply(self, unit: Unit, records: Sequence[Record]) -> None:
        """Handle records of one key that were set aside, even if it is parked. Raise any error of a reaction."""
        await self._enter(unit)
        items, _ = self.decode(records)
        if fresh := await self._claim(unit, items):
            await self._lock(unit, fresh, careful=False)
            await self.react(unit, fresh)

    async def _enter(self, unit: Unit) -> None:
        """Let the handlers of a projection write the tables of its generation. Raise GenerationEnded."""
        if (own := self.subscription.generation) is not None and not await unit.sql.fetchrow(
            ENTER, own.number, own.version, own.schema
        ):
            raise GenerationEnded(f"{self.subscription.group} has ended: another generation replaces it")

    def decode(self, records: Sequence[Record]) -> Decoded:
        items: list[Item] = []
        malformed: list[tuple[Record, str]] = []
        subscription = self.subscription
        for record in records:
            ce_type = _type_header(record.message)
            if ce_type is not None and ce_type not in subscription.types:
                self._pass_over(record, ce_type, malformed)
                continue
            match subscription.catalogue.decode(record.message):
                case Envelope() as envelope:
                    if envelope.event.ce_type in subscription.types:
                        items.append(Item(record, envelope))
                case Malformed(reason=reason):
                    malformed.append((record, reason))
                case Unknown(type=ce_type):
                    self._pass_over(record, ce_type, malformed)
        return Decoded(items, malformed)

    def _pass_over(self, record: Record, ce_type: str, malformed: list[tuple[Record, str]]) -> None:
        """Skip and count an event to which the group does not subscribe. One in a newer version is set aside."""
        if refusal := self._newer(ce_type):
            malformed.append((record, str(refusal)))
        else:
            metrics.UNKNOWN_TYPES.labels(self.subscription.group, _bounded(ce_type, self.subscription)).inc()

    async def _parked(
        self, unit: Unit, entries: Sequence[Item | tuple[Record, str]]
    ) -> dict[tuple[str, bytes | None], AsideState]:
        """Return the parked keys among these entries, with the state of the records that wait behind them."""
        aggregates = {
            aggregate
            for aggregate in (e.aggregate if isinstance(e, Item) else aggregate_of(e[0].message) for e in entries)
            if aggregate[1] is not None
        }
        if not aggregates:
            return {}
        ordered = sorted(aggregates)
        rows = await unit.sql.fetch(
            PARKED, self.subscription.group, [topic for topic, _ in ordered], [key for _, key in ordered]
        )
        return {(row["topic"], row["key"]): "blocked" if row["blocked"] else "parked" for row in rows}

    async def _set_aside_malformed(
        self,
        unit: Unit,
        malformed: Sequence[tuple[Record, str]],
        items: list[Item],
        parked: Mapping[tuple[str, bytes | None], AsideState],
        aside: list[Aside],
    ) -> None:
        """Set malformed records aside and park their keys. Earlier events of the key in the batch are still handled."""
        newly: set[tuple[str, bytes | None]] = set()
        for record, reason in malformed:
            aggregate = aggregate_of(record.message)
            if aggregate in parked or aggregate in newly:
                aside.append(behind(record, parked.get(aggregate, "parked")))
                continue
            aside.append(Aside(record, "poison", reason))
            if aggregate[1] is None:
                continue
            newly.add(aggregate)
            await unit.sql.execute(PARK, self.subscription.group, *aggregate)
            later = [i for i in items if i.aggregate == aggregate and i.record.offset > record.offset]
            for item in later:
                items.remove(item)
                aside.append(behind(item.record, "parked"))

    async def _claim(self, unit: Unit, items: Sequence[Item]) -> list[Item]:
        """Claim the events not handled before. A batch may contain repeats, because a relay resends after a crash."""
        if not items:
            return []
        if self.subscription.kind == "projection":
            return await self._advance(unit, items)
        first: dict[UUID, Item] = {}
        for item in items:
            first.setdefault(item.envelope.id, item)
        rows = await unit.sql.fetch(CLAIM, list(first))
        claimed = {row["event_id"] for row in rows}
        return [item for id, item in first.items() if id in claimed]

    async def _advance(self, unit: Unit, items: Sequence[Item]) -> list[Item]:
        group = self.subscription.group
        lanes = [_lane(item.envelope) for item in items]
        heads = dict.fromkeys(lanes, 0)
        columns = [list(column) for column in zip(*sorted(heads), strict=True)]
        for row in await unit.sql.fetch(HEADS, group, *columns):
            heads[row["source"], row["topic"], row["key"]] = row["sequence"]
        fresh: list[Item] = []
        moved: dict[tuple[str, str, str], int] = {}
        for item, lane in zip(items, lanes, strict=True):
            if item.envelope.sequence > heads[lane]:
                heads[lane] = moved[lane] = item.envelope.sequence
                fresh.append(item)
        if fresh:
            columns = [list(column) for column in zip(*moved, strict=True)]
            await unit.sql.execute(ADVANCE, group, *columns, list(moved.values()))
        return fresh

    async def _lock(self, unit: Unit, items: Sequence[Item], *, careful: bool) -> None:
        """Take all locks if the batch has several types or is halved. For one type its reaction takes them at once."""
        locks = self.subscription.locks
        if locks is not None and (careful or len({type(item.envelope.event) for item in items}) > 1):
            await locks(unit, [item.envelope for item in items])

    async def _react_at_once(self, unit: Unit, items: Sequence[Item]) -> None:
        try:
            await self._lock(unit, items, careful=False)
            await self.react(unit, items)
            self.breaker.handled(item.envelope.event.ce_type for item in items)
        except Exception as error:
            if is_transient(error) and not unit.sql.is_closed():
                raise Blocked(reason_of(error)) from error
            raise

    async def react(self, unit: Unit, items: Sequence[Item]) -> None:
        for reaction, batch in react_in_order(self.subscription.reactions, [item.envelope for item in items]):
            name = f"{self.subscription.group} {type(batch[0].event).__name__}"
            parents = [envelope.cause.traceparent for envelope in batch]
            began = perf_counter()
            try:
                with tracing.span(name, parents=parents, attributes={"batch": len(batch)}):
                    await reaction.do(unit, batch)
            finally:
                metrics.verb_seconds(reaction.verb, "reaction").observe(perf_counter() - began)
            unit.count(reaction.verb, len(batch))

    async def _halve(self, unit: Unit, items: Sequence[Item], aside: list[Aside], until: float) -> None:
        try:
            async with unit.savepoint():
                await self._lock(unit, items, careful=True)
                await self.react(unit, items)
            self.breaker.handled(item.envelope.event.ce_type for item in items)
            return
        except Exception as error:
            if unit.sql.is_closed() or (is_transient(error) and monotonic() > until):
                raise
            failure = error
        keys: dict[tuple[str, bytes | None], list[Item]] = defaultdict(list)
        for item in items:
            keys[item.aggregate].append(item)
        if len(keys) > 1:
            half = len(keys) // 2
            parts = list(keys.values())
            await self._halve(unit, [item for part in parts[:half] for item in part], aside, until)
            await self._halve(unit, [item for part in parts[half:] for item in part], aside, until)
        elif len(items) > 1:
            await self._one_by_one(unit, items, aside, until)
        elif is_transient(failure) and items[0].aggregate[1] is not None:
            await self._block(unit, items[0], failure, aside)
        else:
            await self._poison(unit, items[0], failure, aside)

    async def _one_by_one(self, unit: Unit, items: Sequence[Item], aside: list[Aside], until: float) -> None:
        """Handle the events of one key in order. Set aside the events after a failing one."""
        for position, item in enumerate(items):
            before = len(aside)
            await self._halve(unit, [item], aside, until)
            if len(aside) > before:
                await self._set_aside_behind(unit, items[position + 1 :], aside)
                return

    async def _set_aside_behind(self, unit: Unit, later: Sequence[Item], aside: list[Aside]) -> None:
        state: AsideState = "blocked" if aside[-1].state == "blocked" else "parked"
        for item in later:
            await self._unclaim(unit, item)
            aside.append(behind(item.record, state))

    async def _block(self, unit: Unit, item: Item, error: Exception, aside: list[Aside]) -> None:
        await self._unclaim(unit, item)
        aside.append(Aside(item.record, "blocked", reason_of(error)))
        await unit.sql.execute(BLOCK, self.subscription.group, *item.aggregate)

    async def _check_room(self, unit: Unit) -> None:
        group = self.subscription.group
        if await unit.sql.fetchval(BLOCKED, group, BLOCKED_KEYS_LIMIT + 1) > BLOCKED_KEYS_LIMIT:
            raise Blocked(f"{group} has {BLOCKED_KEYS_LIMIT} blocked keys already")

    async def _poison(self, unit: Unit, item: Item, error: Exception, aside: list[Aside]) -> None:
        failure = Failure(item.envelope.event.ce_type, error, self.subscription.packages)
        if self.breaker.refuses(failure):
            raise SystemFault(self.subscription.group, failure) from error
        await self._unclaim(unit, item)
        aside.append(Aside(item.record, "poison", failure.reason, failure.fingerprint))
        for reaction in self.subscription.reactions:
            if isinstance(item.envelope.event, reaction.event):
                unit.count(reaction.verb, 1, error)
        if item.aggregate[1] is not None:
            await unit.sql.execute(PARK, self.subscription.group, *item.aggregate)

    async def _unclaim(self, unit: Unit, item: Item) -> None:
        """Release the claim so that a redrive can claim the event."""
        if self.subscription.kind == "reaction":
            await unit.sql.execute("DELETE FROM inbox WHERE event_id = $1", item.envelope.id)
        else:
            source, topic, key = _lane(item.envelope)
            await unit.sql.execute(
                "UPDATE projection_head SET sequence = least(sequence, $5) "
                "WHERE (consumer_group, source, topic, key) = ($1, $2, $3, $4)",
                self.subscription.group,
                source,
                topic,
                key,
                item.envelope.sequence - 1,
            )


def _type_header(message: Message) -> str | None:
    """Return the type of a binary-mode event from its header, None if the event must be decoded."""
    headers = message.headers
    raw = headers.get("ce_type")
    if not raw or headers.get("content-type", b"").lower().startswith(STRUCTURED):
        return None
    return raw.decode("utf-8", "replace")


def _bounded(ce_type: str, subscription: Subscription) -> str:
    """Return a bounded label: the type if it is in the catalogue, else `other`."""
    try:
        return subscription.catalogue[ce_type].ce_type
    except KeyError:
        return "other"


def _lane(envelope: Envelope[Event]) -> tuple[str, str, str]:
    return envelope.source, envelope.event.topic.name, envelope.event.key
