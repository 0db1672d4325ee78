"""Policies and calendars over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crm_service.cases.model import Kind
from crm_service.cases.open import Severity
from crm_service.clocks import store
from crm_service.clocks.model import DEFAULTS, Calendar, NoOpenings, Opening, Policy, is_country
from crm_service.clocks.store import StoredPolicy
from crm_service.conventions import CRM, Name, Staff
from crm_service.sla.change import Changed, NoSuchCalendar, SetCalendar, SetPolicy
from crossdock_chassis import COMMAND_PROBLEMS, INVALID, Coalescer, Database, Problem, errors, provided

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchCalendar: INVALID, NoOpenings: INVALID}
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Seconds = Annotated[int, Field(ge=60, le=31_536_000)]
Minute = Annotated[str, Field(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["09:00"])]


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no time zone such as Europe/Berlin")
    return value


def _country(value: str) -> str:
    if not is_country(value):
        raise ValueError(f"the holidays of {value} are not known: name a country such as CN, or a region such as US-CA")
    return value


class OpeningIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    begins: Minute
    ends: Annotated[Minute, Field(description="24:00 is the end of the day")]

    @model_validator(mode="after")
    def _not_empty(self) -> "OpeningIn":
        if self.begins >= self.ends:
            raise ValueError("an opening ends after it begins; split one that goes past midnight")
        return self


class CalendarIn(BaseModel):
    """Opening times in a time zone. Public holidays are closed; a day that is worked instead has a Monday's hours."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"zone": "Europe/Berlin", "openings": [{"day": "monday", "begins": "09:00", "ends": "17:00"}]}]
        },
    )

    zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)]
    openings: Annotated[list[OpeningIn], Field(min_length=1, max_length=70)]
    holidays: Annotated[str, Field(pattern="^[A-Z]{2}(-[A-Z0-9]{1,6})?$"), AfterValidator(_country)] | None = None


class PolicyIn(BaseModel):
    """The open time until the first answer, and until the resolution. Without a calendar it is always open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    first_answer_seconds: Seconds
    resolution_seconds: Seconds
    calendar: Name | None = None


class PolicyView(PolicyIn):
    kind: Kind
    severity: Severity


class CalendarView(BaseModel):
    name: str
    zone: str
    openings: list[OpeningIn]
    holidays: str | None


class SlaView(BaseModel):
    policies: Annotated[list[PolicyView], Field(description="One for each kind and severity")]
    calendars: list[CalendarView]


@dataclass(frozen=True, slots=True)
class Sla:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[SetPolicy | SetCalendar, Changed]

    async def show(self) -> SlaView:
        async with self.database.unit() as unit:
            known = await store.terms(unit.sql)
        policies = []
        for kind in Kind:
            for severity, default in DEFAULTS.items():
                found = known.policies.get((kind, severity)) or StoredPolicy(default, None)
                shown = {
                    "kind": kind,
                    "severity": severity,
                    "first_answer_seconds": found.policy.first_answer,
                    "resolution_seconds": found.policy.resolution,
                    "calendar": found.calendar,
                }
                policies.append(PolicyView.model_validate(shown))
        return SlaView(policies=policies, calendars=[_view(name, each) for name, each in known.calendars.items()])


SlaDep = Annotated[Sla, provided(Sla)]
router = APIRouter(prefix="/v1/sla", tags=["sla"])


@router.get("", summary="Show policies and calendars")
async def get_sla(caller: Staff, sla: SlaDep) -> SlaView:
    return await sla.show()


@router.put(
    "/policies/{kind}/{severity}",
    dependencies=CRM,
    responses=errors(INVALID, *COMMAND_PROBLEMS),
    summary="Set the policy of a kind and severity",
)
async def put_policy(kind: Kind, severity: Severity, body: PolicyIn, caller: Staff, sla: SlaDep) -> SlaView:
    """Active cases are timed anew. The time that has passed stays."""
    policy = Policy(body.first_answer_seconds, body.resolution_seconds)
    await sla.change(SetPolicy(kind, severity, StoredPolicy(policy, body.calendar), caller.actor))
    return await sla.show()


@router.put(
    "/calendars/{name}",
    dependencies=CRM,
    responses=errors(INVALID, *COMMAND_PROBLEMS),
    summary="Set the opening times of a calendar",
)
async def put_calendar(name: Annotated[Name, Path()], body: CalendarIn, caller: Staff, sla: SlaDep) -> SlaView:
    """Active cases are timed anew. The time that has passed is counted anew, too."""
    openings = tuple(Opening(DAYS.index(each.day), _minute(each.begins), _minute(each.ends)) for each in body.openings)
    await sla.change(SetCalendar(name, Calendar(body.zone, openings, body.holidays), caller.actor))
    return await sla.show()


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _view(name: str, calendar: Calendar) -> CalendarView:
    openings = [
        OpeningIn(day=DAYS[each.weekday], begins=_text(each.begins), ends=_text(each.ends))
        for each in calendar.openings
    ]
    return CalendarView(name=name, zone=calendar.zone, openings=openings, holidays=calendar.holidays)
