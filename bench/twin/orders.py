"""The twin's order service: `python -m bench.twin.orders api|worker`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import uvicorn
import uvloop
from aiokafka import AIOKafkaProducer
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bench.twin import common
from bench.twin.models import Order, OrderLine

CENT = Decimal("0.01")


class LineIn(BaseModel):
    line_id: str = Field(max_length=36)
    item_id: str = Field(max_length=64)
    quantity: int = Field(ge=1, le=1_000_000)
    unit_price: Decimal = Field(ge=0, max_digits=18, decimal_places=6)


class AddressIn(BaseModel):
    name: str
    street: str
    city: str
    region: str | None = None
    postcode: str | None = None
    country: str = Field(pattern="^[A-Z]{2}$")


class OrderIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference: str = Field(min_length=1, max_length=64)
    customer_id: str | None = None
    priority: int = Field(default=5, ge=0, le=9)
    ship_to: AddressIn | None = None
    currency: str = Field(pattern="^[A-Z]{3}$")
    lines: list[LineIn] = Field(min_length=1, max_length=500)
    total: Decimal

    @model_validator(mode="after")
    def adds_up(self) -> "OrderIn":
        total = sum((line.quantity * line.unit_price for line in self.lines), Decimal(0)).quantize(CENT)
        if total != self.total:
            raise ValueError(f"the lines add up to {total}")
        return self


class OrderOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    reference: str
    status: str
    currency: str
    total: Decimal
    created_at: datetime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine, app.state.sessions = common.sessions()
    app.state.producer = await common.producer()
    async with httpx.AsyncClient() as client:
        app.state.keys = KeySet.import_key_set((await client.get(f"{common.setting('ISSUER')}/jwks.json")).json())
    yield
    await app.state.producer.stop()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as opened:
        yield opened


async def publisher(request: Request) -> AIOKafkaProducer:
    producer: AIOKafkaProducer = request.app.state.producer
    return producer


async def partner(request: Request, token: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    try:
        claims = jwt.decode(token.credentials, request.app.state.keys, algorithms=["RS256"]).claims
        jwt.JWTClaimsRegistry(aud={"essential": True, "value": common.setting("AUDIENCE")}).validate(claims)
    except (JoseError, ValueError) as error:
        raise HTTPException(401, "invalid token") from error
    if "orders:write" not in claims["scope"].split():
        raise HTTPException(403, "orders:write is needed")
    return str(claims["partner"])


@app.post("/orders", status_code=201)
async def place_order(
    body: OrderIn,
    caller: Annotated[str, Depends(partner)],
    database: Annotated[AsyncSession, Depends(session)],
    producer: Annotated[AIOKafkaProducer, Depends(publisher)],
) -> OrderOut:
    now = datetime.now(UTC)
    order = Order(
        id=uuid4(),
        partner=caller,
        reference=body.reference,
        customer_id=body.customer_id,
        priority=body.priority,
        currency=body.currency,
        total=body.total,
        ship_to=body.ship_to.model_dump() if body.ship_to else None,
        status="placed",
        created_at=now,
        updated_at=now,
        lines=[OrderLine(id=uuid4(), **line.model_dump()) for line in body.lines],
    )
    database.add(order)
    try:
        await database.commit()
    except IntegrityError as error:
        raise HTTPException(409, "this reference exists") from error
    lines = [{"line_id": each.line_id, "item_id": each.item_id, "quantity": each.quantity} for each in body.lines]
    event = {"order_id": str(order.id), "partner": caller, "priority": order.priority, "lines": lines}
    await producer.send_and_wait(common.PLACED, event, key=str(order.id))
    return OrderOut.model_validate(order)


@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {"status": "ok"}


async def work() -> None:
    """Confirm each order that inventory has reserved."""
    engine, sessions = common.sessions()
    producer = await common.producer()

    async def confirm(event: dict[str, Any]) -> None:
        async with sessions() as database:
            order = await database.get(Order, UUID(event["order_id"]), with_for_update=True)
            if order is None or order.status != "placed":
                return
            order.status, order.updated_at = "confirmed", datetime.now(UTC)
            await database.commit()
        await producer.send_and_wait(common.CONFIRMED, {"order_id": event["order_id"]}, key=event["order_id"])

    try:
        await common.consume(common.RESERVED, "twin-orders", confirm)
    finally:
        await producer.stop()
        await engine.dispose()


def main() -> None:
    if sys.argv[1] == "worker":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work())
        return
    uvicorn.run(app, host="127.0.0.1", port=int(common.setting("HTTP_PORT")), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
