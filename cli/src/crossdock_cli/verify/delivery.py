"""Check invariants 4 to 6 for any service: each committed event is on Kafka once, in order, and was consumed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import asyncpg

from crossdock_chassis import Violation
from crossdock_cli.verify.books import Books, DeadLetter, Group
from crossdock_cli.verify.log import Entry, Log, Place
from crossdock_cli.verify.report import Findings

LOST = Violation(4, "lost", "committed events that are not on Kafka")
ALTERED = Violation(4, "other", "committed events whose record on Kafka differs")
NEVER_COMMITTED = Violation(4, "other", "events on Kafka that their service never committed")
COMMITTED_TWICE = Violation(4, "duplicated", "events committed more than once")
GAP = Violation(4, "lost", "sequences with a gap")
DISORDER = Violation(4, "other", "sequences out of order")
SAME_SEQUENCE = Violation(4, "duplicated", "different events with one sequence")
HANDLED_NOT_THERE = Violation(4, "other", "events that were handled and are not on Kafka")
PROJECTION_BEHIND = Violation(5, "lost", "events missing in a projection")
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

INBOX_KEPT_MILLISECONDS = 90 * 3_600_000
"""Only newer events are checked, because the inbox forgets ids after 96 h."""


def check(books: Sequence[Books], log: Log, own: Log, poison: Iterable[Place] | None, found: Findings) -> None:
    """Run the checks. `log`: all records. `own`: the records without the injected ones.

    `poison`: the records that should be dead letters, or None if the caller does not know them.
    """
    on_kafka = {entry.id: entry for topic in own.topics if not _mirrors(topic) for entry in own.firsts(topic)}
    for each in books:
        _outbox(each, own, on_kafka, found)
        _never_committed(each, own, found)
        _handled(each, log, found)
        for group in each.groups:
            _taken(each, group, log, found)
        _dead_letters(each, log, found)
    for topic in own.topics:
        if not _mirrors(topic):
            _sequences(own, topic, found)
    if poison is not None:
        _poison(books, set(poison), found)


def _outbox(books: Books, log: Log, on_kafka: dict[str | None, Entry], found: Findings) -> None:
    mirrored = Counter((e.topic, dict(e.headers).get("crossdock_origin"), e.value) for e in _dead_letter_entries(log))
    ids: set[str] = set()
    for row in books.outbox:
        if row["pending"]:
            found.add(LOST, f"{books.service}: {row['id']} for {row['topic']} is still to be sent")
            continue
        if _mirrors(row["topic"]):
            origin = json.loads(row["headers"])["crossdock_origin"]
            if not mirrored[row["topic"], origin.encode(), row["value"]]:
                found.add(LOST, f"{books.service}: the mirror of {origin} on {row['topic']}")
            continue
        if row["id"] in ids:
            found.add(COMMITTED_TWICE, _named(books, row))
        ids.add(row["id"])
        entry = on_kafka.get(row["id"])
        if entry is None:
            found.add(LOST, _named(books, row))
        elif (entry.topic, entry.key, entry.value) != (row["topic"], row["key"], row["value"]):
            found.add(ALTERED, f"{_named(books, row)} is {entry.name}")


def _named(books: Books, row: asyncpg.Record) -> str:
    headers = json.loads(row["headers"])
    event = f"{headers.get('ce_type')} #{int(headers.get('ce_sequence', 0))} of {_text(row['key'])}"
    return f"{books.service}: {event} ({row['id']})"


def _never_committed(books: Books, log: Log, found: Findings) -> None:
    """Find events that the outbox does not contain. Check only events newer than the outbox's oldest row."""
    if not books.outbox:
        return
    since = min(row["created_at"] for row in books.outbox).timestamp() * 1000
    committed = {row["id"] for row in books.outbox}
    for topic in log.topics:
        if not _mirrors(topic):
            for entry in log.firsts(topic):
                if entry.source == books.service and entry.id not in committed and entry.milliseconds > since:
                    found.add(NEVER_COMMITTED, entry.name)


def _handled(books: Books, log: Log, found: Findings) -> None:
    known = {entry.id for entries in log.topics.values() for entry in entries}
    mended = {letter.resolution.get("headers", {}).get("ce_id") for letter in books.dead_letters}
    found.extend(HANDLED_NOT_THERE, (f"{books.service}: {id}" for id in sorted(books.inbox - known - mended)))


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


def _taken(books: Books, group: Group, log: Log, found: Findings) -> None:
    """Check that each record below the position was handled, is a dead letter, or is of a type without a handler."""
    aside = {letter.place for letter in books.dead_letters if letter.group == group.name}
    newest = max((e.milliseconds for t in group.topics for e in log.topics.get(t, ())), default=0)
    positions = {(tp.topic, tp.partition): at for (name, tp), at in books.positions.items() if name == group.name}
    for topic in sorted(group.topics):
        ends: dict[int, int] = defaultdict(int)
        for entry in log.topics.get(topic, ()):
            ends[entry.partition] = entry.offset + 1
            if entry.offset >= positions.get((topic, entry.partition), 0) or entry.place in aside:
                continue
            if entry.type and entry.type not in group.types:
                continue
            if group.kind == "reaction":
                if entry.id not in books.inbox and entry.milliseconds > newest - INBOX_KEPT_MILLISECONDS:
                    found.add(PASSED_OVER, f"{group.name}: {entry.name}")
            elif books.heads.get((group.name, entry.source, topic, _text(entry.key)), 0) < entry.sequence:
                found.add(PROJECTION_BEHIND, f"{group.name}: {entry.name}")
        for (name, partition), at in positions.items():
            if name == topic and at > ends[partition]:
                where = f"{topic}/{partition} is at {at}, the log ends at {ends[partition]}"
                found.add(BEYOND_END, f"{group.name}: {where}")


def _dead_letters(books: Books, log: Log, found: Findings) -> None:
    if not books.dead_letters and not books.parked:
        return
    records = {entry.place: entry for entries in log.topics.values() for entry in entries}
    shown = {dict(entry.headers).get("crossdock_origin") for entry in _dead_letter_entries(log)}
    kinds = {group.name: group.kind for group in books.groups}
    waiting: dict[tuple[str, str, bytes], list[DeadLetter]] = defaultdict(list)
    for letter in books.dead_letters:
        entry = records.get(letter.place)
        if entry is None or (entry.key, entry.value) != (letter.key, letter.value):
            found.add(NO_SUCH_RECORD, f"{letter.group}: {_where(letter.place)}")
        if kinds.get(letter.group) == "reaction" and _where(letter.place).encode() not in shown:
            found.add(NO_MIRROR, f"{letter.group}: {_where(letter.place)}")
        if letter.open and letter.key is not None:
            waiting[letter.group, letter.place[0], letter.key].append(letter)
    for group, topic, key in sorted(waiting.keys() ^ books.parked):
        state = "is parked without an open dead letter" if (group, topic, key) in books.parked else "is not parked"
        found.add(PARKED_APART, f"{group}: {_text(key)} on {topic} {state}")
    for (group, topic, key), letters in waiting.items():
        first = letters[0]
        if first.state != "poison":
            found.add(PARKED_FIRST, f"{group}: {_text(key)} at {_where(first.place)}")
        _behind(books, group, topic, key, letters, log, found)


def _behind(
    books: Books, group: str, topic: str, key: bytes, letters: Sequence[DeadLetter], log: Log, found: Findings
) -> None:
    """Check that the later events of the key are parked behind its poison."""
    types = next((each.types for each in books.groups if each.name == group), frozenset())
    aside = {letter.place for letter in letters}
    by_place = {entry.place: entry for entry in log.topics.get(topic, ())}
    ids = {by_place[place].id for place in aside if place in by_place}
    for entry in log.topics.get(topic, ()):
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
    return (entry for topic, entries in log.topics.items() if _mirrors(topic) for entry in entries)


def _mirrors(topic: str) -> bool:
    return topic.endswith(".dlq")


def _where(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic}/{partition}/{offset}"


def _text(key: bytes | None) -> str:
    return "no key" if key is None else key.decode("utf-8", "backslashreplace")


def _short(sequences: Sequence[int]) -> str:
    shown = ", ".join(map(str, sequences[:12]))
    return shown if len(sequences) <= 12 else f"{shown}, … ({len(sequences)})"
