"""A server that accepts orders without storing them: same front door, route class, body and answer as order-service.

`CROSSDOCK_…=… python -m bench.validate_only api` starts it in the same way as a service's api process.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response

from crossdock_chassis import (
    Caller,
    Database,
    Feature,
    HotRoute,
    IdempotencyKey,
    Service,
    Wait,
    cause,
    json_response,
    main,
    new_id,
    requires,
)
from crossdock_events import Cause
from order_service import migrations, tables
from order_service.orders.draft import Draft, settle
from order_service.orders.views import Links, Receipt
from order_service.settings import Settings

router = APIRouter(route_class=HotRoute, prefix="/v1")


@router.post("/orders", status_code=201)
async def post_order(
    body: Draft,
    caller: Annotated[Caller, requires("orders:write")],
    why: Annotated[Cause, cause],
    key: IdempotencyKey,
    wait: Wait,
) -> Response:
    settle(body)
    order_id = new_id()
    links = Links.of(order_id)
    receipt = Receipt(
        id=order_id,
        reference=body.reference,
        placed_at=datetime.now(UTC),
        currency=body.currency,
        total=str(body.total),
        links=links,
    )
    return json_response(receipt, 201, location=links.self)


def build(settings: Settings) -> Service:
    return Service(
        name="validate-only",
        settings=settings,
        database=Database(settings.postgres, source="validate-only"),
        metadata=tables.Base.metadata,
        migrations=migrations,
        features=[Feature(routers=[router])],
    )


if __name__ == "__main__":
    main(build, Settings)
