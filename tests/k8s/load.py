"""Post orders from inside the cluster until the input ends: `python -c "$(cat load.py)" TOKEN TAG < input`.

Each request has a connection of its own, as behind a proxy that keeps none. One without an answer is counted, and sent
again under the same key. The output is JSON: `accepted` has the id of each order, `lost` what came in its place.
"""

import asyncio
import json
import sys

import httpx

CLIENTS = 4
URL = "http://order-service:8410/v1/orders"
LINE = {"line_id": "1", "item_id": "1082185", "quantity": 1, "unit_price": "0.99"}


async def main(token: str, tag: str) -> None:
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    accepted: list[str] = []
    lost: list[str] = []

    async def client(name: int) -> None:
        number = 0
        while not ended.done():
            reference = f"{tag}-{name}-{number}"
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": reference}
            body = {"reference": reference, "currency": "USD", "lines": [LINE], "total": "0.99"}
            try:
                async with httpx.AsyncClient(timeout=15) as http:
                    answer = await http.post(URL, json=body, headers=headers)
            except httpx.HTTPError as error:
                lost.append(repr(error))
            else:
                if answer.is_success:
                    accepted.append(answer.json()["id"])
                    number += 1
                    continue
                lost.append(f"{answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(0.2)

    await asyncio.gather(*(client(name) for name in range(CLIENTS)))
    print(json.dumps({"accepted": accepted, "lost": lost}))


asyncio.run(main(*sys.argv[1:]))
