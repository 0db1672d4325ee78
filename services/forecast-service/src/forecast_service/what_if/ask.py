"""Ask a what-if: check the question, store it for the runners, and wake them."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from pydantic import BaseModel

from crossdock_chassis import Unit
from forecast_service.calendar.model import OwnDay
from forecast_service.drivers.model import Driver
from forecast_service.runs.request import Request
from forecast_service.what_if import store
from forecast_service.what_if.model import LikeItem, NothingChanges, Question, UnknownItem


@dataclass(frozen=True, slots=True)
class Ask:
    series: tuple[str, str, str]
    origin: date | None
    horizon: int
    drivers: tuple[Driver, ...]
    days: tuple[OwnDay, ...]
    like: LikeItem | None


class Asking(BaseModel):
    id: UUID
    origin: date


@dataclass(frozen=True, slots=True)
class Asker:
    """The verb. `request` knows the origins that runs may have."""

    request: Request

    async def ask(self, unit: Unit, command: Ask) -> Asking:
        """Store the question. Raise OriginNotReached, UnknownItem or NothingChanges."""
        origin = await self.request.origin(unit, command.origin)
        like = command.like
        named = {"/item_id": command.series[0]}
        if like is not None:
            named["/changes/like_item/item_id"] = like.item_id
        unknown = await store.unknown(unit.sql, list(named.values()))
        for pointer, item in named.items():
            if item in unknown:
                raise UnknownItem(pointer, item)
        question = Question(*command.series, origin, command.horizon, command.drivers, command.days, like)
        if not question.effective:
            raise NothingChanges(origin, question.last)
        return Asking(id=await store.ask(unit, question), origin=origin)
