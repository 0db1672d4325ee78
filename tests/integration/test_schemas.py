"""Follow `ce_dataschema` of real records to the schema that analytics-service serves."""

from collections.abc import Sequence
from uuid import uuid4

import httpx
from harness import Harness, eventually, order
from jsonschema import Draft202012Validator

from crossdock_cli.verify.log import Entry

TOPIC = "crossdock.orders.v1"


async def test_schema_at_the_address_in_the_header_fits_the_data(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=1)
    async with harness.client() as client:
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))

    async def published() -> Sequence[Entry] | None:
        entries = (await harness.log(TOPIC)).by_key(TOPIC).get(placed["id"], [])
        return entries if len(entries) == 2 else None

    entries = await eventually(published)
    async with httpx.AsyncClient() as anyone:  # no token
        for entry in entries:
            headers = dict(entry.headers)
            answered = await anyone.get(headers["ce_dataschema"].decode())
            assert answered.status_code == 200 and answered.json()["title"] == entry.type
            Draft202012Validator(answered.json()).validate(entry.data)
