"""The part of a runner that answers what-ifs, in a child of its own, so that none waits for a chunk of a run."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from crossdock_chassis import ChildFailed, ChildLost, Database
from forecast_service.fitting.series import Outcome
from forecast_service.forecasts.choices import read as read_choices
from forecast_service.introductions.apply import shape
from forecast_service.places import Zones, series_id
from forecast_service.runs.compute import EXTEND_SECONDS
from forecast_service.runs.engine import Engine
from forecast_service.runs.inputs import Inputs
from forecast_service.runs.loop import Stop
from forecast_service.runs.model import usable
from forecast_service.what_if import model, store
from forecast_service.what_if.model import CHANGED, Question
from forecast_service.what_if.store import Asked

ANSWER_SECONDS: Final = 50.0
"""Less than the lease: no other runner has claimed the question meanwhile."""


class Answer:
    """Answers one what-if at a time."""

    def __init__(self, database: Database, engine: Engine, zones: Zones | None = None) -> None:
        self._database, self._engine, self._inputs = database, engine, Inputs(zones)

    async def turn(self, stop: Stop, alive: Callable[[], None]) -> bool:
        """Answer the next question. Return False if there is none."""
        asked = await store.claim(self._database)
        if asked is None:
            return False
        work = asyncio.create_task(self._answered(asked))
        while not work.done() and not stop.done():
            await asyncio.wait({work, stop}, timeout=EXTEND_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            alive()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
            await store.hand_back(self._database, asked)
        else:
            work.result()
        return True

    async def _answered(self, asked: Asked) -> None:
        try:
            document = await self._document(asked.question)
        except (ChildLost, ChildFailed) as error:
            document = {"failed": str(error)}
        await store.answer(self._database, asked, document)

    async def _document(self, question: Question) -> Mapping[str, Any]:
        """Forecast the series as it is and with the change. Raise ChildLost or ChildFailed."""
        id = series_id(question.item_id, question.location_id, question.region)
        like = None if question.like is None else series_id(question.like.item_id)
        now = datetime.now(UTC)
        occasion = question.origin, now.replace(minute=0, second=0, microsecond=0)
        async with self._database.unit() as unit:
            company = [each for each in await store.peers(unit.sql, id) if each != like]
            series = [id, *company] if like is None else [id, like, *company]
            found, new, calendar = await self._inputs.read(
                unit.sql, series, question.origin, question.horizon, now, occasion
            )
            choices = await read_choices(unit.sql, series, question.origin)
        as_is, others = found[0], found[1:]
        new[CHANGED] = new[as_is.series]
        changed = model.with_change(question, as_is, None if like is None else others[0], calendar)
        made: dict[str, Outcome] = {}
        for task in model.tasks(question, calendar, as_is, changed, others, choices):
            async for outcome in self._engine.call(task, seconds=ANSWER_SECONDS):
                if outcome.series in (as_is.series, CHANGED):
                    (made[outcome.series],) = shape([outcome], new)
        ordered = {name: made[name] for name in (as_is.series, CHANGED) if name in made}
        if len(ordered) < 2 or not all(usable(each, question.horizon) for each in ordered.values()):
            return {"failed": "its forecast is not made of usable numbers"}
        return model.document(question, ordered, list(model.warnings(question, changed, others, ordered)))
