"""Invariants of cases: each is the fold of its history, and each complaint equals its events."""

from collections import Counter
from collections.abc import AsyncIterator
from itertools import islice
from typing import Final
from uuid import UUID

from crm_service.cases.model import BEGAN
from crm_service.clocks import store as clocks
from crm_service.clocks.model import BREACH
from crossdock_chassis import AtRest, Check, CheckAtRest
from crossdock_events.cases import CaseEvent

CHUNK: Final = 1_000
FIRST: Final = {event.ce_type: kind for kind, event in BEGAN.items()}
ROWS: Final = """
    SELECT id::text, kind, status, customer_id::text, partner, severity, channel, root_cause, version,
           (SELECT count(*) FROM case_ties WHERE case_id = cases.id) AS ties
    FROM cases WHERE id = ANY ($1::uuid[])
"""
TIMED: Final = """
    SELECT id, kind, severity, segment, contract,
           (SELECT array_agg(concat_ws(' ', clock, round, noticed)) FROM case_timers WHERE case_id = id) AS timers,
           (SELECT array_agg(concat_ws(' ', clock, round, noticed)) FROM sla_marks WHERE case_id = id) AS marks
    FROM cases WHERE id > $1 ORDER BY id LIMIT $2
"""
ESCALATED: Final = """
    SELECT id::text, kind, coalesce(level, 0) AS level, coalesce(entries, 0) AS entries
    FROM (SELECT id, kind, level FROM cases) AS cases FULL JOIN (
        SELECT case_id AS id, count(*) AS entries FROM case_entries WHERE did = 'escalated' GROUP BY case_id
    ) AS counted USING (id)
    WHERE level > 0 OR entries > 0
"""
MARKS: Final = """
    SELECT case_id::text AS id, clock, noticed, count(*) AS marks FROM sla_marks WHERE noticed IN ('risk', 'breach')
    GROUP BY case_id, clock, noticed
"""
AT_RISK: Final = "crossdock.SlaAtRisk.v1"
BREACHED: Final = "crossdock.SlaBreached.v1"
FIRST_ID: Final = UUID(int=0)
TIED: Final = "crossdock.ComplaintTied.v1"


async def _not_the_cases(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.log.events(CaseEvent).items())
    seen = 0
    while part := dict(islice(events, CHUNK)):
        rows = {row["id"]: dict(row) for row in await at_rest.sql.fetch(ROWS, list(part))}
        seen += len(rows)
        for id, own in part.items():
            row, first = rows.get(id), own[0]
            names = ("customer_id", "partner", "severity", "channel")
            expected = {"kind": FIRST.get(first.type), "version": own[-1].sequence}
            expected |= {name: first.data.get(name) for name in names}
            if row is not None and row["kind"] == "complaint":
                expected["ties"] = sum(each.type == TIED for each in own)
                closed = [each.data["root_cause"] for each in own if each.type == "crossdock.ComplaintClosed.v1"]
                expected["root_cause"] = closed[-1] if closed else None
            found = None if row is None else {name: row[name] for name in expected}
            if found != expected:
                yield f"{id}: stored is {found}, the topic has {expected}"
    if (count := await at_rest.sql.fetchval("SELECT count(*) FROM cases")) != seen:
        yield f"{count - seen} cases have no event"


async def _other_timers(at_rest: AtRest) -> AsyncIterator[str]:
    """Yield the cases whose timers are not those of their history, less the ones that were noticed."""
    terms, last = await clocks.terms(at_rest.sql), FIRST_ID
    while rows := await at_rest.sql.fetch(TIMED, last, CHUNK):
        last = rows[-1]["id"]
        histories = await clocks.histories(at_rest.sql, [row["id"] for row in rows])
        for row in rows:
            history = histories.get(row["id"])
            folded = [] if history is None else terms.fold(clocks.subject_of(row), history)
            moments = clocks.moments(row["id"], folded)
            expected = {f"{each.clock} {each.round} {each.noticed}" for each in moments} - set(row["marks"] or ())
            if set(row["timers"] or ()) != expected:
                yield f"{row['id']}: timers are {sorted(row['timers'] or ())}, not {sorted(expected)}"


async def _escalated_otherwise(at_rest: AtRest) -> AsyncIterator[str]:
    """Yield the cases whose level is not the number of their escalations, each published once as 1, 2, …"""
    levels: dict[str, list[int]] = {}
    for id, own in at_rest.log.events(CaseEvent).items():
        if found := [each.data["level"] for each in own if each.type == "crossdock.ComplaintEscalated.v1"]:
            levels[id] = found
    for row in await at_rest.sql.fetch(ESCALATED):
        published = levels.pop(row["id"], [])
        steps = list(range(1, row["level"] + 1))
        if row["entries"] != row["level"] or published != (steps if row["kind"] == "complaint" else []):
            yield f"{row['id']} has level {row['level']} and {row['entries']} entries, its topic the levels {published}"
    for id, found in levels.items():
        yield f"{id}: the topic has the levels {found}, and the case none"


OTHER_TIMERS: Final = CheckAtRest(5, "other", "timers that differ from the history of their case", _other_timers)
UNSETTLED: Final = (
    "SELECT format('%s jobs of crm-service are to set timers', count(*)) FROM job "
    "WHERE kind = 'retime-cases' AND status IN ('queued', 'running') HAVING count(*) > 0",
)
NOT_THE_CASES: Final = CheckAtRest(4, "other", "cases that differ from their topic", _not_the_cases)
NOT_THE_HISTORY: Final = Check(
    5,
    "other",
    "cases that differ from their history",
    "SELECT format('%s is %s with %s entries', id, cases.status, entries) FROM cases LEFT JOIN LATERAL ("
    "    SELECT count(*) AS count, max(number) AS last FROM case_entries WHERE case_id = cases.id"
    ") AS history ON true "
    "LEFT JOIN case_entries AS final ON final.case_id = cases.id AND final.number = cases.entries "
    "WHERE (history.count, history.last) IS DISTINCT FROM (cases.entries, cases.entries) "
    "OR (final.status, final.waiting_for, final.at) IS DISTINCT FROM (cases.status, cases.waiting_for, changed_at) "
    "OR NOT EXISTS (SELECT FROM customers WHERE customers.id = cases.customer_id)",
)


async def _noticed_otherwise(at_rest: AtRest) -> AsyncIterator[str]:
    """Yield clocks whose breaches were not published once each, and risks that were published without a mark.

    Of a clock that has run out unseen, the breach alone is published.
    """
    published: Counter[tuple[str, str, str]] = Counter()
    for id, own in at_rest.log.events(CaseEvent).items():
        published.update((id, each.data["clock"], each.type) for each in own if each.type in (AT_RISK, BREACHED))
    async for row in at_rest.sql.cursor(MARKS):
        count = published.pop((row["id"], row["clock"], BREACHED if row["noticed"] == BREACH else AT_RISK), 0)
        if count > row["marks"] or (row["noticed"] == BREACH and count != row["marks"]):
            yield f"{row['id']}: {row['noticed']} of {row['clock']} was published {count} times, not {row['marks']}"
    for (id, clock, kind), count in published.items():
        yield f"{id}: {kind} of {clock} was published {count} times without a mark"


NOTICED_OTHERWISE: Final = CheckAtRest(
    5, "duplicated", "clocks that were noticed otherwise than published", _noticed_otherwise
)
ESCALATED_OTHERWISE: Final = CheckAtRest(5, "duplicated", "escalations that are not one per step", _escalated_otherwise)
CHECKS: Final = (NOT_THE_CASES, NOT_THE_HISTORY, OTHER_TIMERS, ESCALATED_OTHERWISE, NOTICED_OTHERWISE)
