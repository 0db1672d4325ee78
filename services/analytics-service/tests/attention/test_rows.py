"""What needs attention, from facts: each cause once, and what is no cause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics_service.attention.model import (
    Cause,
    Facts,
    Failures,
    ItemWaits,
    Operations,
    ServiceFacts,
    Stops,
    Waiting,
    rows_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD = NOW - timedelta(hours=1)
ORDERS = "order-service"


def operations(outbox: dict[str, Any] | None = None, **group: Any) -> Operations:
    """Return the state of a service that works, with changes of its outbox and of its one group."""
    partition = {"topic": "crossdock.orders.v1", "partition": 3, "lag": 7}
    well = {
        "group": "order-service",
        "kind": "reaction",
        "lag": 0,
        "lag_seconds": 0.0,
        "seen_at": NOW - timedelta(seconds=61),
        "parked": 0,
        "blocked": 0,
        "held_keys": 0,
        "partitions": [partition],
    }
    sends = {"depth": 0, "age_seconds": 0.0, "relay_runs": True}
    return Operations.model_validate({"at": NOW, "outbox": sends | (outbox or {}), "groups": [well | group]})


def failures(more: str | None = None, **changes: Any) -> Failures:
    example = {"group": "order-service", "topic": "crossdock.stock.v1", "type": None}
    failure = {"fingerprint": "0123456789ab", "reason": "ValueError: no", "records": 12, "keys": 3, "first_at": OLD}
    return Failures.model_validate({"items": [failure | {"example": example} | changes], "next": more})


def stops(**changes: Any) -> Stops:
    place = {"group": "order-service", "topic": "crossdock.orders.v1", "partition": 3}
    stop = {"id": 5, "kind": "version", "type": "x", "reason": "too new", "since": OLD, "decision": None}
    return Stops.model_validate({"items": [place | stop | changes], "next": None})


def about(**parts: Any) -> Facts:
    return Facts(NOW, services=[ServiceFacts(ORDERS, **parts)])


WELL = operations()
DEAD_LETTERS = f"/dead-letters?service={ORDERS}"
GROUP = f"/consumers?service={ORDERS}&group={ORDERS}"

CASES: list[tuple[Cause, Facts, dict[str, Any]]] = [
    (
        "service_silent",
        about(silent={"operations": "no connection"}),
        {"service": ORDERS, "count": None, "detail": "no connection", "since": None},
    ),
    (
        "broker_away",
        Facts(NOW, broker_away="no answer in time", broker_away_since=OLD),
        {"service": None, "since": OLD, "explain": "/consumers"},
    ),
    (
        "process_dead",
        about(operations=operations({"relay_runs": False})),
        {"subject": "worker", "since": NOW - timedelta(seconds=61)},
    ),
    (
        "process_dead",
        about(operations=operations(seen_at=OLD, lag=4)),
        {"subject": ORDERS, "since": OLD, "count": 4, "explain": GROUP},
    ),
    (
        "consumer_stopped",
        about(operations=WELL, stops=stops()),
        {"subject": ORDERS, "since": OLD, "count": 7, "action": "/v1/stopped/5:park", "explain": GROUP},
    ),
    ("consumer_stopped", about(stops=stops(kind="lost")), {"count": None, "action": "/v1/stopped/5:skip"}),
    ("consumer_stopped", about(stops=stops(kind="breaker", decision="park")), {"action": "/v1/stopped/5:end"}),
    (
        "outbox_blocked",
        about(operations=operations({"depth": 9, "age_seconds": 60.0})),
        {"count": 9, "since": NOW - timedelta(seconds=60)},
    ),
    (
        "dead_letters",
        about(failures=failures()),
        {
            "subject": "0123456789ab",
            "count": 12,
            "since": OLD,
            "action": "/v1/dead-letters:resolve",
            "explain": f"{DEAD_LETTERS}&fingerprint=0123456789ab",
        },
    ),
    (
        "key_parked",
        about(operations=operations(parked=5, held_keys=2)),
        {"subject": ORDERS, "count": 2, "since": None, "explain": f"{DEAD_LETTERS}&state=parked"},
    ),
    (
        "key_parked",
        about(operations=operations(blocked=1, held_keys=1)),
        {"count": 1, "action": None, "explain": f"{DEAD_LETTERS}&state=blocked"},
    ),
    (
        "log_behind",
        about(operations=operations(kind="log", group="analytics-log", lag=900, lag_seconds=60.0)),
        {"subject": "analytics-log", "count": 900, "since": NOW - timedelta(seconds=60)},
    ),
    (
        "consumer_behind",
        about(operations=operations(lag=900, lag_seconds=60.0)),
        {"subject": ORDERS, "count": 900, "since": NOW - timedelta(seconds=60), "explain": GROUP},
    ),
    (
        "answer_overdue",
        Facts(NOW, unanswered=Waiting(2, OLD, {"EUR": "6.00"})),
        {"count": 2, "since": OLD, "explain": "/orders?status=placed"},
    ),
    (
        "backordered",
        Facts(NOW, backorders=[ItemWaits(3, OLD, None, "SKU/1", 40)]),
        {"subject": "SKU/1", "count": 3, "since": OLD, "explain": "/stock/SKU%2F1"},
    ),
]


@pytest.mark.parametrize(("cause", "facts", "expected"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_cause_is_one_row(cause: Cause, facts: Facts, expected: dict[str, Any]) -> None:
    (row,) = rows_of(facts)
    shown = row.model_dump() | {"action": None if row.action is None else row.action.url}
    assert {name: shown[name] for name in ("cause", *expected)} == {"cause": cause, **expected}
    assert row.sentence.strip()


def test_each_cause_has_a_case() -> None:
    assert {cause for cause, _, _ in CASES} == set(Cause.__args__)  # type: ignore[attr-defined]


FINE: dict[str, Facts] = {
    "nothing": Facts(NOW),
    "a service that works": about(operations=WELL, failures=Failures(items=[], next=None)),
    "a new message": about(operations=operations({"depth": 1, "age_seconds": 0.5})),
    "a small lag": about(operations=operations(lag=3, lag_seconds=2.0)),
    "an unknown lag": about(operations=operations(lag=None, lag_seconds=None, seen_at=None)),
    "a group that no version has": about(operations=operations(kind=None, seen_at=OLD)),
    "poison without events behind it": about(operations=operations(held_keys=1)),
}


@pytest.mark.parametrize("facts", FINE.values(), ids=FINE)
def test_state_that_needs_nobody_is_no_row(facts: Facts) -> None:
    assert rows_of(facts) == []


def test_rows_are_sorted_by_severity_then_age() -> None:
    younger, older = ItemWaits(1, NOW, None, "A", 1), ItemWaits(1, OLD, None, "B", 1)
    facts = Facts(
        NOW,
        services=[ServiceFacts("b", failures=failures()), ServiceFacts("a", silent={"stopped": "HTTP 500"})],
        backorders=[younger, older],
        broker_away="no connection",
    )
    found = [(row.cause, row.subject) for row in rows_of(facts)]
    assert found == [
        ("service_silent", None),
        ("broker_away", None),
        ("dead_letters", "0123456789ab"),
        ("backordered", "B"),
        ("backordered", "A"),
    ]


def test_a_stopped_group_is_not_behind_too() -> None:
    behind = operations(lag=900, lag_seconds=60.0)
    whole = stops(kind="breaker", topic=None, partition=None)
    (row,) = rows_of(about(operations=behind, stops=whole))
    assert (row.cause, row.count) == ("consumer_stopped", 900)


def test_consumers_are_not_dead_while_kafka_is_away() -> None:
    unseen = ServiceFacts(ORDERS, operations=operations(seen_at=OLD))
    (row,) = rows_of(Facts(NOW, services=[unseen], broker_away="no connection"))
    assert row.cause == "broker_away"


def test_reasons_beyond_the_limit_are_mentioned() -> None:
    rows = rows_of(about(failures=failures(more="c2")))
    assert [row.count for row in rows] == [12, None]


def test_parked_keys_of_one_reason_have_its_redrive() -> None:
    parked = operations(parked=5, held_keys=2)
    dead, keys = rows_of(about(operations=parked, failures=failures()))
    assert (keys.cause, keys.since, keys.action) == ("key_parked", OLD, dead.action)
    other = failures(example={"group": "projection", "topic": "t", "type": None})
    assert rows_of(about(operations=parked, failures=other))[1].action is None


def test_only_what_was_not_counted_is_at_least_so_much() -> None:
    facts = Facts(NOW, backorders=[ItemWaits(3, OLD, None, "KEG", 40)])
    for found, sentences in (
        (facts, ["3 orders wait for 40 units of KEG."]),
        (replace(facts, all_counted=False), ["At least 3 orders wait for 40 units of KEG."]),
        (replace(facts, all_items=False), ["3 orders wait for 40 units of KEG.", "Orders wait for more than 1 items."]),
    ):
        assert [row.sentence for row in rows_of(found)] == sentences
