"""The state machine of a case. Pure: times and ids are arguments, events are return values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from crossdock_events.cases import (
    CaseBegan,
    CaseEvent,
    ComplaintAssigned,
    ComplaintClosed,
    ComplaintEscalated,
    ComplaintMerged,
    ComplaintOpened,
    ComplaintReopened,
    ComplaintResolved,
    ComplaintReturnAsked,
    ComplaintTied,
    EnquiryReceived,
    ServiceRequested,
)


class CaseError(Exception):
    """A request about a case that is refused."""


class NoSuchCase(CaseError):
    pass


class WrongReference(CaseError):
    """The customer, order or line of a request is not known, or belongs to somebody else."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.errors = [{"pointer": pointer, "detail": detail, "code": "unknown"}]


class NotPossible(CaseError):
    """The status of the case does not allow what was asked for."""

    def __init__(self, did: "Did", status: "Status") -> None:
        super().__init__(f"A case that is {status} cannot be {did}")
        self.extra = {"case_status": status}


class CannotMerge(CaseError):
    """The cases are not two of the same customer and partner."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.errors = [{"pointer": "/into", "detail": detail, "code": "cannot_merge"}]


class Kind(StrEnum):
    ENQUIRY = "enquiry"
    SERVICE_REQUEST = "service_request"
    COMPLAINT = "complaint"


class Status(StrEnum):
    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    RESOLVED = "resolved"
    CLOSED = "closed"
    REOPENED = "reopened"
    MERGED = "merged"


class Did(StrEnum):
    """What an entry of the history did."""

    OPENED = "opened"
    ASSIGNED = "assigned"
    RELEASED = "released"
    ANSWERED = "answered"
    NOTIFIED = "notified"
    UNDELIVERED = "undelivered"
    REPLIED = "replied"
    NOTED = "noted"
    WAITED = "waited"
    RESUMED = "resumed"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    CLOSED = "closed"
    ESCALATED = "escalated"
    MERGED = "merged"
    TOOK_OVER = "took_over"
    SPLIT = "split"
    GROUPED = "grouped"
    RETURN_ASKED = "return_asked"


ACTIVE: Final = frozenset({Status.NEW, Status.OPEN, Status.WAITING, Status.REOPENED})
ANY: Final = frozenset(Status)

FROM: Final[Mapping[Did, frozenset[Status]]] = {
    Did.ASSIGNED: ACTIVE,
    Did.RELEASED: ACTIVE,
    Did.ANSWERED: ACTIVE,
    Did.NOTIFIED: ACTIVE,
    Did.REPLIED: ACTIVE | {Status.RESOLVED},
    Did.UNDELIVERED: ANY,
    Did.NOTED: ANY,
    Did.WAITED: ACTIVE,
    Did.RESUMED: frozenset({Status.WAITING}),
    Did.RESOLVED: ACTIVE,
    Did.REOPENED: frozenset({Status.RESOLVED}),
    Did.CLOSED: frozenset({Status.RESOLVED}),
    Did.ESCALATED: ACTIVE,
    Did.MERGED: ACTIVE | {Status.RESOLVED},
    Did.TOOK_OVER: ACTIVE | {Status.RESOLVED},
    Did.SPLIT: ACTIVE | {Status.RESOLVED},
    Did.GROUPED: ACTIVE | {Status.RESOLVED},
    Did.RETURN_ASKED: ACTIVE,
}
BEGAN: Final[Mapping[Kind, type[CaseBegan]]] = {
    Kind.ENQUIRY: EnquiryReceived,
    Kind.SERVICE_REQUEST: ServiceRequested,
    Kind.COMPLAINT: ComplaintOpened,
}
CUSTOMER: Final = "customer"


@dataclass(frozen=True, slots=True)
class Tie:
    """What a case concerns: an order, or one line of it. `quantity` is in base units of the item."""

    order_id: UUID
    line_id: str | None = None
    quantity: int | None = None


@dataclass(slots=True, eq=False)
class Case:
    """A case, as far as decisions need it. Each method changes it and returns the events of the change.

    `version` is the sequence of its last event, and `entries` the number of its last entry. `waiting_for` is customer,
    partner or inside while it waits. `level` counts its escalations. Only complaints have events after the first one.
    """

    id: UUID
    kind: Kind
    customer_id: UUID
    partner: str | None
    severity: str = "normal"
    status: Status = Status.NEW
    waiting_for: str | None = None
    assignee: str | None = None
    resolved_at: datetime | None = None
    root_cause: str | None = None
    segment: str = ""
    contract: str = ""
    level: int = 0
    merged_into: UUID | None = None
    parent: UUID | None = None
    version: int = 0
    entries: int = 0

    def began(self, channel: str, category: str | None, follows: UUID | None) -> list[CaseEvent]:
        event = BEGAN[self.kind](
            case_id=self.id,
            customer_id=self.customer_id,
            partner=self.partner,
            channel=channel,
            severity=self.severity,
            category=category,
            follows=follows,
        )
        return [event]

    def tied(self, tie: Tie) -> list[CaseEvent]:
        return self._said(ComplaintTied, order_id=tie.order_id, line_id=tie.line_id, quantity=tie.quantity)

    def assign(self, who: str) -> list[CaseEvent]:
        """Give the case to a person. A case that nobody has worked on becomes open."""
        status = Status.OPEN if self.status in (Status.NEW, Status.REOPENED) else self.status
        self._become(Did.ASSIGNED, status, self.waiting_for)
        self.assignee = who
        return self._said(ComplaintAssigned)

    def release(self) -> list[CaseEvent]:
        """Take the case from its person, so that its queue gives it to another one."""
        self.assignee = None
        return self.keep(Did.RELEASED)

    def answer(self) -> list[CaseEvent]:
        self._become(Did.ANSWERED, Status.OPEN)
        return []

    def notify(self) -> list[CaseEvent]:
        """Note that a rule has written to the customer. It is no answer: the clock of the first answer goes on."""
        return self.keep(Did.NOTIFIED)

    def note(self) -> list[CaseEvent]:
        return self.keep(Did.NOTED)

    def wait(self, what: str) -> list[CaseEvent]:
        self._become(Did.WAITED, Status.WAITING, what)
        return []

    def resume(self) -> list[CaseEvent]:
        self._become(Did.RESUMED, Status.OPEN)
        return []

    def resolve(self, now: datetime) -> list[CaseEvent]:
        self._become(Did.RESOLVED, Status.RESOLVED)
        self.resolved_at = now
        return self._said(ComplaintResolved)

    def reopen(self) -> list[CaseEvent]:
        self._become(Did.REOPENED, Status.REOPENED)
        self.resolved_at = None
        return self._said(ComplaintReopened, reason="staff")

    def close(self, root_cause: str) -> list[CaseEvent]:
        self._become(Did.CLOSED, Status.CLOSED)
        self.root_cause = root_cause
        return self._said(ComplaintClosed, root_cause=root_cause)

    def reply(self) -> list[CaseEvent]:
        """Take a message of the customer. It ends a wait for the customer, and reopens a resolved case."""
        if self.status is Status.RESOLVED:
            self._become(Did.REPLIED, Status.REOPENED)
            self.resolved_at = None
            return self._said(ComplaintReopened, reason="reply")
        waits = self.status is Status.WAITING and self.waiting_for != CUSTOMER
        self._become(
            Did.REPLIED,
            Status.OPEN if self.status is Status.WAITING and not waits else self.status,
            self.waiting_for if waits else None,
        )
        return []

    def escalate(self, *, by_clock: bool) -> list[CaseEvent]:
        """Raise the level by one."""
        self._become(Did.ESCALATED, self.status, self.waiting_for)
        self.level += 1
        return self._said(ComplaintEscalated, level=self.level, reason="clock" if by_clock else "staff")

    def merge(self, into: "Case", *, same_customer: bool) -> list[CaseEvent]:
        """Go on in another case of the same customer and partner. Raise CannotMerge."""
        if into.id == self.id:
            raise CannotMerge("a case cannot be merged into itself")
        if not same_customer or into.partner != self.partner:
            raise CannotMerge("the other case is another customer's or another partner's")
        into.check(Did.TOOK_OVER)
        self._become(Did.MERGED, Status.MERGED)
        self.merged_into = into.id
        return self._said(ComplaintMerged, into=into.id)

    def check(self, did: Did) -> None:
        """Raise NotPossible if the status does not allow it."""
        if self.status not in FROM[did]:
            raise NotPossible(did, self.status)

    def keep(self, did: Did) -> list[CaseEvent]:
        """Do something that leaves the status as it is."""
        self._become(did, self.status, self.waiting_for)
        return []

    def ask_return(
        self, order_id: UUID, parts: Sequence[Mapping[str, object]], reason: str, wish: str
    ) -> list[CaseEvent]:
        """Ask for the return of parts of an order. Raise WrongReference for anything but a complaint."""
        if self.kind is not Kind.COMPLAINT:
            raise WrongReference("/order_id", "only a complaint asks for a return")
        self._become(Did.RETURN_ASKED, self.status, self.waiting_for)
        return self._said(ComplaintReturnAsked, order_id=order_id, parts=parts, reason=reason, wish=wish)

    def takes_replies(self, now: datetime, within: timedelta) -> bool:
        """Return whether a reply belongs to this case. Else it begins another one, which follows this one."""
        if self.status is Status.RESOLVED:
            return self.resolved_at is not None and now <= self.resolved_at + within
        return self.status not in (Status.CLOSED, Status.MERGED)

    def _become(self, did: Did, status: Status, waiting_for: str | None = None) -> None:
        self.check(did)
        self.status, self.waiting_for = status, waiting_for

    def _said(self, event: type[CaseEvent], **fields: object) -> list[CaseEvent]:
        if self.kind is not Kind.COMPLAINT:
            return []
        own = {"case_id": self.id, "customer_id": self.customer_id, "partner": self.partner}
        return [event.model_validate(own | fields)]
