"""The checks of the log find nothing in what it keeps, and each difference that an edit makes."""

import pytest
from records import confirmed, released

from analytics_service.log.checks import GAPS, NOT_THE_RECORDS, OUT_OF_ORDER
from crossdock_chassis import Record, Service, Violation, new_id
from crossdock_chassis.testing import Deliver, Violations

EDITS: dict[str, tuple[str, set[Violation]]] = {
    "a record is missing": ("DELETE FROM log WHERE position = 2", {NOT_THE_RECORDS, GAPS}),
    "the last record is missing": ("DELETE FROM log WHERE position = 4", {NOT_THE_RECORDS, GAPS}),
    "a value differs": ("UPDATE log SET value = 'x' WHERE position = 2", {NOT_THE_RECORDS}),
    "a key differs": ("UPDATE log SET key = NULL WHERE position = 2", {NOT_THE_RECORDS}),
    "headers differ": ("UPDATE log SET headers = '{}' WHERE position = 2", {NOT_THE_RECORDS}),
    "a time differs": (
        "UPDATE log SET kafka_time = kafka_time - interval '1 ms' WHERE position = 2",
        {NOT_THE_RECORDS},
    ),
    "a record is not on Kafka": (
        'UPDATE log SET "offset" = 1000, position = 4 WHERE position = 4',
        {NOT_THE_RECORDS},
    ),
    "a position is there twice": ("UPDATE log SET position = 1 WHERE position = 2", {GAPS}),
    "the head is behind": ("UPDATE log_head SET position = 3", {GAPS}),
    "two records are swapped": (
        "UPDATE log SET position = CASE position WHEN 1 THEN 2 ELSE 1 END WHERE position IN (1, 2)",
        {OUT_OF_ORDER},
    ),
}


async def keep_four(service: Service, deliver: Deliver) -> None:
    await deliver(service, confirmed(), confirmed(), released(new_id()))
    await deliver(service, confirmed())


async def test_log_as_it_is_kept_has_no_difference(
    service: Service, deliver: Deliver, violations: Violations, delivered_records: list[Record]
) -> None:
    await keep_four(service, deliver)
    assert len(delivered_records) == 4
    assert await violations(service) == {}


@pytest.mark.parametrize("edit", EDITS)
async def test_edit_of_the_log_is_found(service: Service, deliver: Deliver, violations: Violations, edit: str) -> None:
    await keep_four(service, deliver)
    statement, expected = EDITS[edit]
    assert (await violations(service, statement)).keys() == {each.title for each in expected}


async def test_log_without_the_newest_records_is_found(
    service: Service, deliver: Deliver, violations: Violations
) -> None:
    await keep_four(service, deliver)
    found = await violations(service, "DELETE FROM log WHERE position > 2", "UPDATE log_head SET position = 2")
    assert {title: len(each) for title, each in found.items()} == {NOT_THE_RECORDS.title: 2}
