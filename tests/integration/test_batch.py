"""Send two thousand lines in one request, a third of them invalid in all ways of a partner's export."""

import json
from collections import Counter
from typing import Any
from uuid import uuid4

from harness import Harness, eventually, order

LINES = 2_000


def _line(number: int, tag: str, item: str) -> tuple[bytes, str]:
    """Return a line to send and its expected outcome."""
    body: dict[str, Any] = order(f"{tag}-{number}", (item, 1))
    match number % 12:
        case 3:
            return b'{"reference": "' + str(number).encode(), "invalid"
        case 5:
            return json.dumps(order(f"{tag}-{number}", ("no-such-item", 1))).encode(), "invalid"
        case 7:
            return json.dumps(body | {"total": "999.00"}).encode(), "invalid"
        case 9:
            return json.dumps(body | {"colour": "red"}).encode(), "invalid"
        case 11:
            return json.dumps(order(f"{tag}-{number - 1}", (item, 2))).encode(), "conflict"
        case 1:
            return json.dumps(order(f"{tag}-{number - 1}", (item, 1))).encode(), "existing"
        case _:
            return json.dumps(body).encode(), "created"


async def test_batch_answers_each_line_and_keeps_only_valid_orders(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=LINES)
    tag = uuid4().hex[:10]
    sent = [_line(number, tag, item) for number in range(LINES)]
    content = b"\n".join(line for line, _ in sent)
    async with harness.client() as client:
        answer = await client.post(
            "/v1/orders:batch", content=content, headers={"content-type": "application/x-ndjson"}
        )
        assert answer.status_code == 200, answer.text
        answers = [json.loads(line) for line in answer.text.splitlines()]
        assert [each["line"] for each in answers] == list(range(1, LINES + 1))
        assert [each["outcome"] for each in answers] == [outcome for _, outcome in sent]
        created = {each["reference"]: each["id"] for each in answers if each["outcome"] == "created"}
        for each in answers:
            if each["outcome"] in ("existing", "conflict"):
                assert each["id"] == created[each["reference"]]
            if each["outcome"] in ("invalid", "conflict"):
                assert each["problem"]["type"].startswith("urn:crossdock:problem:")
        harness.accepted |= {("acme", name): order_id for name, order_id in created.items()}

        again = await client.post("/v1/orders:batch", content=content, headers={"content-type": "application/x-ndjson"})
        repeated = Counter(json.loads(line)["outcome"] for line in again.text.splitlines())
        counts = Counter(outcome for _, outcome in sent)
        assert repeated == {
            "existing": counts["created"] + counts["existing"],
            "conflict": counts["conflict"],
            "invalid": counts["invalid"],
        }

    async def reserved() -> bool:
        return bool((await harness.availability(item))["reserved"] == counts["created"])

    await eventually(reserved)
    await harness.adds_up()
