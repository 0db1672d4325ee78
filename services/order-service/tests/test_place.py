from typing import Any
async def test_first(shop: Any) -> None:
    order_id = await shop.placed()
    print(await shop.show(order_id))
    out = await shop.hears(shop.reserved(order_id))
    print(out, await shop.show(order_id), await shop.timeline(order_id))
    r = await shop.client.get("/v1/orders", params={"status":"confirmed"})
    print(r.json())
    r = await shop.client.post(f"/v1/orders/{order_id}:cancel")
    print(r.json())
    import json
    r = await shop.client.post(f"/v1/orders:batch", headers={"content-type":"application/x-ndjson"}, content=b"garbage\n\n"+json.dumps({"reference":"x"}).encode())
    print(r.status_code, r.text)
