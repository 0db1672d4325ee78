"""Check invariants 4 to 6 for any service: each committed event is on Kafka once, in order, and was consumed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import asyncpg

from crossdock_chassis import Violation
from crossdock_cli.verify.books import INBOX_KEPT_HOURS, Books, DeadLetter, Group
from crossdock_cli.verify.log import Entry, Log, Place, chunks, text
from crossdock_cli.verify.report import Findings
from crossdock_events import CATALOGUE, Envelope

LOST = Violation(4, "lost", "committed events that are not on Kafka")
ALTERED = Violation(4, "other", "committed events whose record on Kafka differs")
NEVER_COMMITTED = Violation(4, "other", "events on Kafka that their service never committed")
COMMITTED_TWICE = Violation(4, "duplicated", "events committed more than once")
GAP = Violation(4, "lost", "sequences with a gap")
DISORDER = Violation(4, "other", "sequences out of order")
SAME_SEQUENCE = Violation(4, "duplicated", "different events with one sequence")
HANDLED_NOT_THERE = Violation(4, "other", "events that were handled and are not on Kafka")
PROJECTION_BEHIND = Violation(5, "lost", "events missing in a projection")
PROJECTION_AHEAD = Violation(5, "other", "projections ahead of the log")
NO_EFFECT = Violation(4, "lost", "redriven dead letters without an effect")
PASSED_OVER = Violation(6, "lost", "events that a group skipped")
BEYOND_END = Violation(6, "other", "positions beyond the end of the log")
NO_SUCH_RECORD = Violation(6, "other", "dead letters without a record on Kafka")
PARKED_APART = Violation(
    6, "other", "parked keys without an open dead letter, or open dead letters without a parked key"
)
NOT_PARKED = Violation(6, "other", "events that should be parked behind an earlier one and are not")
PARKED_FIRST = Violation(6, "other", "parked events without poison before them")
NO_MIRROR = Violation(6, "other", "dead letters missing on their topic")
NOT_THE_POISON = Violation(
    6, "other", "injected poison without a dead letter, or dead letters of records that were not injected as poison"
)

INBOX_KEPT_MILLISECONDS = INBOX_KEPT_HOURS * 3_600_000


async def check(books: Sequence[Books], log: Log, own: Log, poison: Iterable[Place] | None, found: Findings) -> None:
    """Run the checks. `log`: all records. `own`: the records without the injected ones.

    `poison`: the records that should be dead letters, or None if the caller does not know them.
    """
    for each in books:
        await _outbox(each, own, found)
        await _never_committed(each, own, found)
        await _handled(each, log, found)
        for group in each.groups:
            await _consumed(each, group, log, found)
            await _redriven(each, group, found)
        await _ahead(each, log, found)
        _dead_letters(each, log, found)
    for topic in own.topics:
        if not _mirrors(topic):
            _sequences(own, topic, found)
    if poison is not None:
        _poison(books, set(poison), found)


async def _outbox(books: Books, log: Log, found: Findings) -> None:
    mirrored = Counter(
        (e.topic, dict(e.headers).get("crossdock_origin"), _digest(e.value)) for e in _dead_letter_entries(log)
    )
    found.extend(COMMITTED_TWICE, [_named(books, row) for row in await books.committed_twice()])
    async for rows in books.outbox():
        on_kafka = log.find([row["id"] for row in rows])
        for row in rows:
            if row["pending"]:
                found.add(LOST, f"{books.service}: {row['id']} for {row['topic']} is still to be sent")
                continue
            if _mirrors(row["topic"]):
                origin = json.loads(row["headers"])["crossdock_origin"]
                if not mirrored[row["topic"], origin.encode(), _digest(row["value"])]:
                    found.add(LOST, f"{books.service}: the mirror of {origin} on {row['topic']}")
                continue
            entry = on_kafka.get(row["id"])
            if entry is None:
                found.add(LOST, _named(books, row))
            elif (entry.topic, entry.key, entry.value) != (row["topic"], row["key"], row["value"]) or {
                name: value.decode("utf-8", "backslashreplace") for name, value in entry.headers
            } != json.loads(row["headers"]):
                found.add(ALTERED, f"{_named(books, row)} is {entry.name}")


def _named(books: Books, row: asyncpg.Record) -> str:
    headers = json.loads(row["headers"])
    event = f"{headers.get('ce_type')} #{int(headers.get('ce_sequence', 0))} of {text(row['key'])}"
    return f"{books.service}: {event} ({row['id']})"


async def _never_committed(books: Books, log: Log, found: Findings) -> None:
    """Find events that the outbox does not contain. Check only events newer than the outbox's oldest row."""
    since = await books.outbox_since()
    if since is None:
        return
    for topic in log.topics:
        if _mirrors(topic):
            continue
        own = (e for e in log.firsts(topic) if e.source == books.service and e.milliseconds > since)
        for entries in chunks(own):
            committed = await books.committed([e.id for e in entries if e.id])
            found.extend(NEVER_COMMITTED, (entry.name for entry in entries if entry.id not in committed))


async def _handled(books: Books, log: Log, found: Findings) -> None:
    mended = {letter.resolution.get("headers", {}).get("ce_id") for letter in books.dead_letters}
    async for rows in books.inbox():
        ids = [row["id"] for row in rows]
        on_kafka = log.find(ids)
        found.extend(
            HANDLED_NOT_THERE, (f"{books.service}: {id}" for id in ids if id not in on_kafka and id not in mended)
        )


def _sequences(log: Log, topic: str, found: Findings) -> None:
    for key, entries in log.by_key(topic).items():
        sequences = [entry.sequence for entry in entries]
        if sequences == list(range(1, len(sequences) + 1)):
            continue
        where = f"{key} on {topic}: {_short(sequences)}"
        if len(set(sequences)) < len(sequences):
            found.add(SAME_SEQUENCE, where)
        if sequences != sorted(sequences):
            found.add(DISORDER, where)
        if set(range(1, max(sequences) + 1)) - set(sequences):
            found.add(GAP, where)


async def _consumed(books: Books, group: Group, log: Log, found: Findings) -> None:
    """Check that each record below the position was handled, is a dead letter, or is of a type without a handler.

    Of a log only the positions are checked here, because its service compares its records itself.
    """
    aside = {letter.place for letter in books.dead_letters if letter.group == group.name}
    oldest = log.newest(group.topics) - INBOX_KEPT_MILLISECONDS
    positions = {(tp.topic, tp.partition): at for (name, tp), at in books.positions.items() if name == group.name}
    for topic in sorted(group.topics):
        ends: dict[int, int] = defaultdict(int)

        def expected(topic: str = topic, ends: dict[int, int] = ends) -> Iterator[Entry]:
            for entry in log.records(topic):
                ends[entry.partition] = entry.offset + 1
                consumed = entry.offset < positions.get((topic, entry.partition), 0) and entry.place not in aside
                stated = entry.stated_type
                if consumed and group.kind != "log" and (not stated or stated in group.types):
                    yield entry

        for entries in chunks(expected()):
            if group.kind == "reaction":
                handled = await books.handled([e.id for e in entries if e.id])
                missed = (e for e in entries if e.id not in handled and e.milliseconds > oldest)
                found.extend(PASSED_OVER, (f"{group.name}: {entry.name}" for entry in missed))
            else:
                heads = await books.heads(group.name, topic, [text(e.key) for e in entries])
                behind = (e for e in entries if heads.get((e.source, text(e.key)), 0) < e.sequence)
                found.extend(PROJECTION_BEHIND, (f"{group.name}: {entry.name}" for entry in behind))
        for (name, partition), at in positions.items():
            if name == topic and at > ends[partition]:
                where = f"{topic}/{partition} is at {at}, the log ends at {ends[partition]}"
                found.add(BEYOND_END, f"{group.name}: {where}")


async def _ahead(books: Books, log: Log, found: Findings) -> None:
    """Find heads beyond the log: a projection would ignore the next events of the key.

    Leave out keys with an event that a person mended, because its sequence may be another one.
    """
    mended = {
        (letter.group, letter.place[0], text(letter.key))
        for letter in books.dead_letters
        if "headers" in letter.resolution
    }
    async for rows in books.all_heads():
        for row in rows:
            group, at = row["consumer_group"], log.last_sequence(row["source"], row["topic"], row["key"])
            if row["sequence"] > at and (group, row["topic"], row["key"]) not in mended:
                where = f"{row['key']} on {row['topic']} is at {row['sequence']}, the log ends at {at}"
                found.add(PROJECTION_AHEAD, f"{group}: {where}")


async def _redriven(books: Books, group: Group, found: Findings) -> None:
    """Check that each event which was redriven is in the inbox, or in the head of its projection."""
    redriven = (
        letter
        for letter in books.dead_letters
        if letter.group == group.name and letter.state == "redriven" and letter.recent
    )
    for letters in chunks(redriven):
        events = [(letter, CATALOGUE.decode(letter.resolved)) for letter in letters]
        sent = [(letter, event) for letter, event in events if isinstance(event, Envelope)]
        applied: set[Place] = set()
        if group.kind == "reaction":
            handled = await books.handled([str(event.id) for _, event in sent])
            applied = {letter.place for letter, event in sent if str(event.id) in handled}
        else:
            for letter, event in sent:
                heads = await books.heads(group.name, letter.place[0], [event.event.key])
                if heads.get((event.source, event.event.key), 0) >= event.sequence:
                    applied.add(letter.place)
        found.extend(
            NO_EFFECT,
            (
                f"{group.name}: {text(letter.key)} at {_where(letter.place)}"
                for letter in letters
                if letter.place not in applied
            ),
        )


def _dead_letters(books: Books, log: Log, found: Findings) -> None:
    if not books.dead_letters and not books.parked:
        return
    shown = {dict(entry.headers).get("crossdock_origin") for entry in _dead_letter_entries(log)}
    kinds = {group.name: group.kind for group in books.groups}
    waiting: dict[tuple[str, str, bytes], list[DeadLetter]] = defaultdict(list)
    for letter in books.dead_letters:
        entry = log.at(letter.place)
        if entry is None or (entry.key, entry.value) != (letter.key, letter.value):
            found.add(NO_SUCH_RECORD, f"{letter.group}: {_where(letter.place)}")
        if kinds.get(letter.group) == "reaction" and _where(letter.place).encode() not in shown:
            found.add(NO_MIRROR, f"{letter.group}: {_where(letter.place)}")
        if letter.open and letter.key is not None:
            waiting[letter.group, letter.place[0], letter.key].append(letter)
    for group, topic, key in sorted(waiting.keys() ^ books.parked):
        state = "is parked without an open dead letter" if (group, topic, key) in books.parked else "is not parked"
        found.add(PARKED_APART, f"{group}: {text(key)} on {topic} {state}")
    for (group, topic, key), letters in waiting.items():
        first = letters[0]
        if first.state != "poison":
            found.add(PARKED_FIRST, f"{group}: {text(key)} at {_where(first.place)}")
        _behind(books, group, topic, key, letters, log, found)


def _behind(
    books: Books, group: str, topic: str, key: bytes, letters: Sequence[DeadLetter], log: Log, found: Findings
) -> None:
    """Check that the later events of the key are parked behind its poison."""
    types = next((each.types for each in books.groups if each.name == group), frozenset())
    aside = {letter.place for letter in letters}
    of_key = list(log.of_key(topic, key))
    ids = {entry.id for entry in of_key if entry.place in aside}
    for entry in of_key:
        if entry.key != key or entry.place <= letters[0].place or entry.place in aside:
            continue
        if entry.type and entry.type not in types:
            continue
        if entry.id is None or entry.id not in ids:
            found.add(NOT_PARKED, f"{group}: {entry.name}")


def _poison(books: Sequence[Books], sent: set[Place], found: Findings) -> None:
    letters = [letter for each in books for letter in each.dead_letters]
    kept = {letter.place for letter in letters if letter.state != "parked"}
    poisonous = {letter.place for letter in letters if letter.state == "poison"}
    found.extend(
        NOT_THE_POISON, (f"{_where(place)} was injected and is no dead letter" for place in sorted(sent - kept))
    )
    found.extend(NOT_THE_POISON, (f"{_where(place)} was not injected" for place in sorted(poisonous - sent)))


def _dead_letter_entries(log: Log) -> Iterable[Entry]:
    return (entry for topic in log.topics if _mirrors(topic) for entry in log.records(topic))


def _mirrors(topic: str) -> bool:
    return topic.endswith(".dlq")


def _where(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic}/{partition}/{offset}"


def _digest(value: bytes) -> bytes:
    return sha256(value).digest()


def _short(sequences: Sequence[int]) -> str:
    shown = ", ".join(map(str, sequences[:12]))
    return shown if len(sequences) <= 12 else f"{shown}, … ({len(sequences)})"
