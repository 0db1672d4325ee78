"""Queues and agents over HTTP, for staff."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from crm_service.conventions import CRM, WHOLE, Name, Staff
from crm_service.queues import store
from crm_service.queues.change import Change, Changed, NoSuchQueue
from crm_service.queues.store import Queue, StoredAgent
from crossdock_chassis import COMMAND_PROBLEMS, INVALID, Coalescer, Database, Problem, errors, provided

NO_SUCH_QUEUE: Final = Problem(404, "no-such-queue", "There is no queue with this name")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchQueue: NO_SUCH_QUEUE}
Skill = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}$")]
Who = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class QueueIn(BaseModel):
    """Cases that go to the queue when they are opened. Of several queues, the one that names more counts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[
        Literal["", "enquiry", "service_request", "complaint"], Field(description="Only cases of this kind")
    ] = ""
    category: Annotated[str, Field(pattern="^([a-z][a-z0-9_]{0,63})?$", description="Only of this category")] = ""
    skill: Annotated[str, Field(pattern="^([a-z][a-z0-9_-]{0,31})?$", description="What an agent needs for it")] = ""


class QueueView(QueueIn):
    name: str


class AgentIn(BaseModel):
    """A person who gets cases while present and on shift. The cases of an absent one go to others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    skills: Annotated[list[Skill], Field(max_length=50)] = []
    capacity: Annotated[int, Field(ge=1, le=1_000, description="The most active cases"), WHOLE] = 10
    present: bool
    calendar: Annotated[Name | None, Field(description="A calendar with the shifts; null for always")] = None


class AgentView(AgentIn):
    who: str
    load: Annotated[int, Field(description="Active cases")]


class DeskView(BaseModel):
    queues: list[QueueView]
    agents: list[AgentView]


@dataclass(frozen=True, slots=True)
class Desk:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[Change, Changed]

    async def show(self) -> DeskView:
        async with self.database.unit() as unit:
            queues, agents = await store.queues(unit.sql), await store.agents(unit.sql)
        return DeskView(
            queues=[QueueView.model_validate(each._asdict()) for each in queues],
            agents=[AgentView.model_validate(each._asdict()) for each in agents],
        )


DeskDep = Annotated[Desk, provided(Desk)]
router = APIRouter(prefix="/v1", tags=["queues"])


@router.get("/queues", summary="Show the queues, and the agents with their load")
async def get_queues(caller: Staff, desk: DeskDep) -> DeskView:
    return await desk.show()


@router.put("/queues/{name}", dependencies=CRM, responses=errors(*COMMAND_PROBLEMS), summary="Make or change a queue")
async def put_queue(name: Annotated[Name, Path()], body: QueueIn, caller: Staff, desk: DeskDep) -> DeskView:
    """Store the queue. New cases go to it. Cases from before stay where they are."""
    await desk.change(Change(Queue(name, body.kind, body.category, body.skill), caller.actor))
    return await desk.show()


@router.delete(
    "/queues/{name}", dependencies=CRM, responses=errors(NO_SUCH_QUEUE, *COMMAND_PROBLEMS), summary="Delete a queue"
)
async def delete_queue(name: Annotated[Name, Path()], caller: Staff, desk: DeskDep) -> DeskView:
    """Delete it. Its cases are assigned to nobody any more, and stay with those who have them."""
    await desk.change(Change(name, caller.actor))
    return await desk.show()


@router.put(
    "/agents/{who}", dependencies=CRM, responses=errors(INVALID, *COMMAND_PROBLEMS), summary="Set what an agent can do"
)
async def put_agent(who: Who, body: AgentIn, caller: Staff, desk: DeskDep) -> DeskView:
    """Set skills, capacity, shifts and presence. `who` is the subject of the person's token."""
    agent = StoredAgent(who, sorted(set(body.skills)), body.capacity, body.present, body.calendar)
    await desk.change(Change(agent, caller.actor))
    return await desk.show()
