"""Policies and calendars over HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Literal
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crm_service.cases.model import Kind
from crm_service.cases.open import Severity
from crm_service.clocks import store
from crm_service.clocks.model import (
    DEFAULTS,
    YEARS,
    Calendar,
    NoOpenings,
    Opening,
    Policy,
    SpecialDay,
    is_country,
    unknown_years,
)
from crm_service.clocks.store import StoredPolicy, Subject
from crm_service.conventions import CRM, Day, Name, Staff
from crm_service.customers.problems import NO_SUCH_CUSTOMER
from crm_service.sla.change import Changed, NoSuchCalendar, SetCalendar, SetPolicy, SetTerms
from crossdock_chassis import COMMAND_PROBLEMS, INVALID, Coalescer, Database, Problem, errors, provided

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchCalendar: INVALID,
    NoOpenings: INVALID,
}
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Seconds = Annotated[int, Field(ge=60, le=31_536_000)]
Label = Annotated[str, Field(pattern="^([a-z][a-z0-9_-]{0,31})?$")]
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


class SpanIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    begins: Minute
    ends: Minute

    @model_validator(mode="after")
    def _not_empty(self) -> "SpanIn":
        if self.begins >= self.ends:
            raise ValueError("an opening ends after it begins")
        return self


class SpecialDayIn(BaseModel):
    """A day with its own openings, whatever weekday or holiday it is. Without any it is closed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    day: Annotated[Day, Field(strict=False)]
    openings: Annotated[list[SpanIn], Field(max_length=10)] = []


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
    special: Annotated[list[SpecialDayIn], Field(max_length=400)] = []

    @model_validator(mode="after")
    def _days_are_unique(self) -> "CalendarIn":
        if len({each.day for each in self.special}) < len(self.special):
            raise ValueError("a special day is listed twice")
        return self


class PolicyIn(BaseModel):
    """The open time until the first answer, and until the resolution. Without a calendar it is always open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    first_answer_seconds: Seconds
    resolution_seconds: Seconds
    next_answer_seconds: Annotated[
        Seconds | None, Field(description="Until the answer to each later message; null for no such clock")
    ] = None
    escalation_seconds: Annotated[
        list[Seconds], Field(max_length=10, description="Open time of the resolution until each escalation, ascending")
    ] = []
    calendar: Name | None = None

    @model_validator(mode="after")
    def _ascending(self) -> "PolicyIn":
        if any(one >= other for one, other in pairwise(self.escalation_seconds)):
            raise ValueError("escalation_seconds must ascend")
        return self


class PolicyView(PolicyIn):
    kind: Kind
    severity: Severity
    segment: Annotated[str, Field(description="Only for this segment of customers; empty for all")] = ""
    contract: Annotated[str, Field(description="Only under this contract; empty for all")] = ""


class TermsIn(BaseModel):
    """What a customer has bought. Empty for none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    segment: Label = ""
    contract: Label = ""


class CalendarView(BaseModel):
    name: str
    zone: str
    openings: list[OpeningIn]
    holidays: str | None
    special: list[SpecialDayIn]
    unknown_years: Annotated[
        list[int],
        Field(description="Years whose days that are worked instead are not published yet: update `holidays`"),
    ]


class SlaView(BaseModel):
    policies: Annotated[
        list[PolicyView], Field(description="One for each kind and severity, then those of segments and contracts")
    ]
    calendars: list[CalendarView]


@dataclass(frozen=True, slots=True)
class Sla:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[SetPolicy | SetCalendar, Changed]
    terms: Coalescer[SetTerms, Changed]

    async def show(self) -> SlaView:
        async with self.database.unit() as unit:
            known = await store.terms(unit.sql)
            this = unit.now.year
        common = [Subject(kind, severity) for kind in Kind for severity in DEFAULTS]
        policies = [_policy(each, known.policy(each)) for each in common]
        policies += [_policy(of, each) for of, each in known.policies.items() if of not in common]
        years = range(this, this + YEARS - 1)
        return SlaView(
            policies=policies, calendars=[_view(name, each, years) for name, each in known.calendars.items()]
        )


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
async def put_policy(
    kind: Kind,
    severity: Severity,
    body: PolicyIn,
    caller: Staff,
    sla: SlaDep,
    segment: Annotated[Label, Query(description="Only for this segment of customers")] = "",
    contract: Annotated[Label, Query(description="Only under this contract, which counts before the segment")] = "",
) -> SlaView:
    """Active cases are timed anew. The time that has passed stays."""
    steps = tuple(body.escalation_seconds)
    policy = Policy(body.first_answer_seconds, body.resolution_seconds, body.next_answer_seconds, steps)
    of = Subject(kind, severity, segment, contract)
    await sla.change(SetPolicy(of, StoredPolicy(policy, body.calendar), caller.actor))
    return await sla.show()


@router.put(
    "/customers/{customer_id}",
    dependencies=CRM,
    responses=errors(NO_SUCH_CUSTOMER, *COMMAND_PROBLEMS),
    summary="Set the segment and contract of a customer",
)
async def put_customer_terms(customer_id: UUID, body: TermsIn, caller: Staff, sla: SlaDep) -> TermsIn:
    """Set what chooses the policies of this customer's cases. Active ones are timed anew: what has passed stays."""
    await sla.terms(SetTerms(customer_id, body.segment, body.contract, caller.actor))
    return body


@router.put(
    "/calendars/{name}",
    dependencies=CRM,
    responses=errors(INVALID, *COMMAND_PROBLEMS),
    summary="Set the opening times of a calendar",
)
async def put_calendar(name: Annotated[Name, Path()], body: CalendarIn, caller: Staff, sla: SlaDep) -> SlaView:
    """Active cases are timed anew. The time that has passed is counted anew, too."""
    openings = tuple(Opening(DAYS.index(each.day), _minute(each.begins), _minute(each.ends)) for each in body.openings)
    special = tuple(
        SpecialDay(each.day, tuple((_minute(span.begins), _minute(span.ends)) for span in each.openings))
        for each in sorted(body.special, key=lambda each: each.day)
    )
    await sla.change(SetCalendar(name, Calendar(body.zone, openings, body.holidays, special), caller.actor))
    return await sla.show()


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _policy(of: Subject, found: StoredPolicy) -> PolicyView:
    first, resolution, later, steps = found.policy
    return PolicyView.model_validate(
        {
            **of._asdict(),
            "kind": Kind(of.kind),
            "first_answer_seconds": first,
            "resolution_seconds": resolution,
            "next_answer_seconds": later,
            "escalation_seconds": list(steps),
            "calendar": found.calendar,
        }
    )


def _view(name: str, calendar: Calendar, years: Sequence[int]) -> CalendarView:
    openings = [
        OpeningIn(day=DAYS[each.weekday], begins=_text(each.begins), ends=_text(each.ends))
        for each in calendar.openings
    ]
    special = [
        SpecialDayIn(day=day, openings=[SpanIn(begins=_text(begins), ends=_text(ends)) for begins, ends in own])
        for day, own in calendar.special
    ]
    return CalendarView(
        name=name,
        zone=calendar.zone,
        openings=openings,
        holidays=calendar.holidays,
        special=special,
        unknown_years=unknown_years(calendar.holidays, years),
    )
