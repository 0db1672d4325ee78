"""Events about a case: an enquiry, a service request or a complaint."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from crossdock_events._event import Code, Event, Identifier, OpenEnum, Topic, Value

Channel = Annotated[Code, OpenEnum("api", "mail", "phone", "web", "rule")]
Severity = Annotated[Code, OpenEnum("low", "normal", "high", "critical")]


class CaseEvent(Event, topic=Topic("crossdock.cases.v1", key="case_id", owner="crm-service")):
    """Sent by crm-service only. `partner` is there if the case came from a partner or concerns its order."""

    case_id: UUID
    customer_id: UUID
    partner: Identifier | None = None


class CaseBegan(CaseEvent):
    """What the first event of a case has. `follows` is the closed case that it goes on with."""

    channel: Channel
    severity: Severity
    category: Code | None = None
    follows: UUID | None = None


class EnquiryReceived(CaseBegan, type="crossdock.EnquiryReceived.v1", carries="change", stability="draft"):
    """A customer has a question. crm-service follows it to its answer."""


class ServiceRequested(CaseBegan, type="crossdock.ServiceRequested.v1", carries="change", stability="draft"):
    """A customer asks for installation, guidance, repair or maintenance."""


class ComplaintOpened(CaseBegan, type="crossdock.ComplaintOpened.v1", carries="change", stability="draft"):
    """A customer complains. A `ComplaintTied` follows for each order or line that it concerns."""


class ComplaintTied(CaseEvent, type="crossdock.ComplaintTied.v1", carries="change", stability="draft"):
    """The complaint concerns this order, or one line of it. `quantity` is in base units of the item."""

    order_id: UUID
    line_id: Identifier | None = None
    shipment_id: UUID | None = None
    lot: Identifier | None = None
    quantity: Annotated[int, Field(gt=0)] | None = None


class ComplaintAssigned(CaseEvent, type="crossdock.ComplaintAssigned.v1", carries="state", stability="draft"):
    """A member of staff works on the complaint. crm-service knows who."""


class ComplaintEscalated(CaseEvent, type="crossdock.ComplaintEscalated.v1", carries="state", stability="draft"):
    """The complaint takes too long, or staff ask for help. `level` rises by one each time."""

    level: Annotated[int, Field(gt=0)]
    reason: Annotated[Code, OpenEnum("clock", "staff")]


class ReturnedPart(Value):
    """`quantity` is in base units of the item."""

    line_id: Identifier
    quantity: Annotated[int, Field(gt=0)]


class ComplaintReturnAsked(CaseEvent, type="crossdock.ComplaintReturnAsked.v1", carries="change", stability="draft"):
    """The customer wants to return parts of an order. Whoever handles returns answers with this `case_id`."""

    order_id: UUID
    parts: Annotated[tuple[ReturnedPart, ...], Field(min_length=1)]
    reason: Annotated[Code, OpenEnum("damaged", "wrong_item", "defective", "not_needed", "late", "other")]
    wish: Annotated[Code, OpenEnum("refund", "replacement", "repair", "credit")]


class ComplaintMerged(CaseEvent, type="crossdock.ComplaintMerged.v1", carries="change", stability="draft"):
    """The complaint goes on in another case, which has its replies and what it concerns."""

    into: UUID


class ComplaintResolved(CaseEvent, type="crossdock.ComplaintResolved.v1", carries="change", stability="draft"):
    """The complaint was answered for good. It can be reopened."""


class ComplaintReopened(CaseEvent, type="crossdock.ComplaintReopened.v1", carries="change", stability="draft"):
    """The complaint was not resolved after all."""

    reason: Annotated[Code, OpenEnum("reply", "staff")]


class ComplaintClosed(CaseEvent, type="crossdock.ComplaintClosed.v1", carries="change", stability="draft"):
    """The complaint is over. A later reply begins another case, which `follows` this one."""

    root_cause: Code


class SlaAtRisk(CaseEvent, type="crossdock.SlaAtRisk.v1", carries="change", stability="draft"):
    """Most of the time of a clock has passed. Sent once a clock. `noticed_at` is when this was seen."""

    clock: Annotated[Code, OpenEnum("first_answer", "resolution", "next_answer")]
    due_at: AwareDatetime
    noticed_at: AwareDatetime


class SlaBreached(CaseEvent, type="crossdock.SlaBreached.v1", carries="change", stability="draft"):
    """A clock has run out. Sent once a clock. `noticed_at` is when this was seen."""

    clock: Annotated[Code, OpenEnum("first_answer", "resolution", "next_answer")]
    due_at: AwareDatetime
    noticed_at: AwareDatetime
