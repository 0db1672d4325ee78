"""Macros over HTTP, for staff."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from crm_service.cases.problems import NO_SUCH_CASE, NOT_POSSIBLE
from crm_service.conventions import CRM, Name, Staff
from crm_service.macros.run import Macro, NoSuchMacro, Ran, RunMacro, SetMacro, TooManyChildren, macros
from crossdock_chassis import (
    COMMAND_PROBLEMS,
    INVALID,
    Coalescer,
    Database,
    IdempotencyKey,
    IfMatch,
    Problem,
    cause,
    errors,
    provided,
)
from crossdock_events import Cause

NO_SUCH_MACRO: Final = Problem(404, "no-such-macro", "There is no macro with this name")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchMacro: NO_SUCH_MACRO, TooManyChildren: INVALID}


class MacroView(Macro):
    name: str


class MacroList(BaseModel):
    items: list[MacroView]


class Run(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    macro: Name
    children: Annotated[bool, Field(description="On the active cases whose parent it is, at most 500")] = False


@dataclass(frozen=True, slots=True)
class Macros:
    """The dependencies of the routes."""

    database: Database
    set: Coalescer[SetMacro, Ran]
    run: Coalescer[RunMacro, Ran]

    async def show(self) -> MacroList:
        async with self.database.unit() as unit:
            found = await macros(unit)
        return MacroList(items=[MacroView(name=name, acts=each.acts) for name, each in found.items()])


MacrosDep = Annotated[Macros, provided(Macros)]
MacroName = Annotated[Name, Path()]
router = APIRouter(prefix="/v1", tags=["macros"])


@router.get("/macros", summary="List macros")
async def get_macros(caller: Staff, known: MacrosDep) -> MacroList:
    return await known.show()


@router.put("/macros/{name}", dependencies=CRM, responses=errors(*COMMAND_PROBLEMS), summary="Make or change a macro")
async def put_macro(name: MacroName, body: Macro, caller: Staff, known: MacrosDep) -> MacroList:
    """Store acts with their texts, which run together on a case."""
    await known.set(SetMacro(name, body, caller.actor))
    return await known.show()


@router.delete(
    "/macros/{name}", dependencies=CRM, responses=errors(NO_SUCH_MACRO, *COMMAND_PROBLEMS), summary="Delete a macro"
)
async def delete_macro(name: MacroName, caller: Staff, known: MacrosDep) -> MacroList:
    await known.set(SetMacro(name, None, caller.actor))
    return await known.show()


@router.post(
    "/cases/{case_id}:run",
    dependencies=CRM,
    responses=errors(NO_SUCH_CASE, NO_SUCH_MACRO, NOT_POSSIBLE, INVALID),
    summary="Run a macro on a case, or on its children",
)
async def post_run(
    case_id: UUID,
    body: Run,
    caller: Staff,
    why: Annotated[Cause, cause],
    key: IdempotencyKey,
    match: IfMatch,
    known: MacrosDep,
) -> Ran:
    """Do all acts of the macro, or none if one is not possible."""
    command = RunMacro(case_id, body.macro, body.children, caller.actor, match, why)
    return (await known.run(command, key.of(body))).result
