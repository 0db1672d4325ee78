"""Run a macro: a stored list of acts, on a case or on all of its children, in one unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from crm_service.cases import store as cases
from crm_service.cases.act import Expected
from crm_service.cases.model import ACTIVE, Case, Did
from crm_service.cases.open import Text
from crm_service.cases.store import Entry
from crm_service.cases.timing import time_cases
from crm_service.post.compose import Post
from crossdock_chassis import Actor, Unit, record_action
from crossdock_events import Cause
from crossdock_events.cases import CaseEvent

MOST: Final = 500
KEEP: Final = """
    INSERT INTO macros (name, acts) VALUES ($1, $2::jsonb) ON CONFLICT (name) DO UPDATE SET acts = excluded.acts
"""
CHILDREN: Final = "SELECT id FROM cases WHERE parent = $1 ORDER BY id LIMIT $2"


class NoSuchMacro(Exception):
    pass


class TooManyChildren(Exception):
    def __init__(self) -> None:
        detail = f"a macro runs on at most {MOST} cases"
        super().__init__(detail)
        self.errors = [{"pointer": "/children", "detail": detail, "code": "too_many"}]


class _Act(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(_Act):
    do: Literal["answer"]
    text: Text


class Note(_Act):
    do: Literal["note"]
    text: Text


class Wait(_Act):
    do: Literal["wait"]
    what: Literal["customer", "partner", "inside"]


class Assign(_Act):
    do: Literal["assign"]
    to: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Escalate(_Act):
    do: Literal["escalate"]


class Resolve(_Act):
    do: Literal["resolve"]


class Close(_Act):
    do: Literal["close"]
    root_cause: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")]


MacroAct = Annotated[Answer | Note | Wait | Assign | Escalate | Resolve | Close, Field(discriminator="do")]


class Macro(BaseModel):
    """Acts in their order."""

    model_config = ConfigDict(extra="forbid", strict=True)

    acts: Annotated[list[MacroAct], Field(min_length=1, max_length=20)]


@dataclass(frozen=True, slots=True)
class SetMacro:
    """Without a macro, the one with this name is deleted."""

    name: str
    macro: Macro | None
    by: Actor


@dataclass(frozen=True, slots=True)
class RunMacro:
    case_id: UUID
    name: str
    children: bool
    by: Actor
    expected: Expected
    cause: Cause


class Ran(BaseModel):
    cases: int


async def set_macro(unit: Unit, command: SetMacro) -> Ran:
    """Store or delete a macro. Raise NoSuchMacro if it is to be deleted and there is none."""
    if command.macro is not None:
        await unit.sql.execute(KEEP, command.name, to_json([each.model_dump() for each in command.macro.acts]).decode())
    elif not await unit.sql.fetchval("DELETE FROM macros WHERE name = $1 RETURNING true", command.name):
        raise NoSuchMacro(f"There is no macro {command.name}")
    await record_action(
        unit, command.by, "macro:set" if command.macro else "macro:delete", f"/v1/macros/{command.name}"
    )
    return Ran(cases=0)


async def macros(unit: Unit) -> dict[str, Macro]:
    rows = await unit.sql.fetch("SELECT name, acts::text FROM macros ORDER BY name")
    return {row["name"]: Macro.model_validate({"acts": from_json(row["acts"])}) for row in rows}


@dataclass(frozen=True, slots=True)
class Running:
    post: Post

    async def run_macro(self, unit: Unit, command: RunMacro) -> Ran:
        """Do all acts on each case, or nothing.

        Children that are not active are left out. Raise NoSuchMacro, NoSuchCase, NotPossible, TooManyChildren, or the
        error of `expected.check`.
        """
        macro = (await macros(unit)).get(command.name)
        if macro is None:
            raise NoSuchMacro(f"There is no macro {command.name}")
        case = await cases.lock(unit, command.case_id, None)
        command.expected.check(case.entries)
        found = [case]
        if command.children:
            ids = [row["id"] for row in await unit.sql.fetch(CHILDREN, case.id, MOST + 1)]
            if len(ids) > MOST:
                raise TooManyChildren
            found = [each for each in await cases.lock_many(unit, ids) if each.status in ACTIVE]
        for each in found:
            await self._do(unit, command, each, macro.acts)
        if found:
            await time_cases(unit, found)
        after = {"macro": command.name, "cases": len(found)}
        await record_action(unit, command.by, "macro:run", f"/v1/cases/{case.id}", after=after)
        return Ran(cases=len(found))

    async def _do(self, unit: Unit, command: RunMacro, case: Case, acts: Sequence[Any]) -> None:
        for act in acts:
            did, body, mail_id = DID[act.do], None, None
            events = change(case, act, unit)
            if isinstance(act, Answer | Note):
                body = act.text
            elif isinstance(act, Assign):
                body = act.to
            if isinstance(act, Answer):
                mail_id = await self.post.answer(unit, case.id, case.customer_id, act.text)
            await cases.record(unit, case, Entry(did, "staff", command.by.who, body, mail_id), events, command.cause)


DID: Final = {
    "answer": Did.ANSWERED,
    "note": Did.NOTED,
    "wait": Did.WAITED,
    "assign": Did.ASSIGNED,
    "escalate": Did.ESCALATED,
    "resolve": Did.RESOLVED,
    "close": Did.CLOSED,
}


def change(case: Case, act: Any, unit: Unit) -> list[CaseEvent]:
    """Ask the state machine. Raise NotPossible."""
    match act:
        case Answer():
            return case.answer()
        case Note():
            return case.note()
        case Wait():
            return case.wait(act.what)
        case Assign():
            return case.assign(act.to)
        case Escalate():
            return case.escalate(by_clock=False)
        case Resolve():
            return case.resolve(unit.now)
        case _:
            return case.close(act.root_cause)
