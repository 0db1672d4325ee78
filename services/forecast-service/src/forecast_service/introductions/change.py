"""State how the demand of a new item begins, or take it back."""

from dataclasses import dataclass

from pydantic import BaseModel

from crossdock_chassis import Actor, Unit, record_action, segment
from forecast_service.introductions import store, views
from forecast_service.introductions.model import Introduction, NoSuchItem, check
from forecast_service.introductions.views import IntroductionView


@dataclass(frozen=True, slots=True)
class ChangeIntroduction:
    """`new` replaces what is stated. None removes it."""

    item_id: str
    new: Introduction | None
    by: Actor


class Stated(BaseModel):
    """What is stated now."""

    introduction: IntroductionView | None


async def change_introduction(unit: Unit, command: ChangeIntroduction) -> Stated:
    """Return what is stated now. Raise NoSuchItem or InvalidIntroduction."""
    await store.lock(unit)
    new = command.new
    if new is not None:
        bases = [each.item_id for each in new.bases]
        items = await store.known_items(unit.sql, [command.item_id, *bases])
        if command.item_id not in items:
            raise NoSuchItem(command.item_id)
        check(new, await store.behind(unit.sql, bases), items)
    before = await views.find(unit.sql, command.item_id)
    if new is not None:
        await store.keep(unit, new, command.by.who)
    else:
        await store.remove(unit, command.item_id)
    after = await views.find(unit.sql, command.item_id)
    was, now = _document(before), _document(after)
    if was != now:
        path = f"/v1/introductions/{segment(command.item_id)}"
        await record_action(unit, command.by, "introduction:change", path, before=was, after=now)
    return Stated(introduction=after)


def _document(stated: IntroductionView | None) -> dict[str, object] | None:
    return None if stated is None else stated.model_dump(mode="json", exclude={"changed_at", "changed_by"})
