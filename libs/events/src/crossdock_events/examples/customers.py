"""The customer of the first order, and its complaint."""

from uuid import UUID

from crossdock_events.cases import (
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
    ReturnedPart,
    ServiceRequested,
    SlaAtRisk,
    SlaBreached,
)
from crossdock_events.customers import (
    ConsentChanged,
    CustomerErased,
    CustomerRegistered,
    CustomersMerged,
    CustomersUnmerged,
    CustomerUpdated,
    OrderedAs,
)
from crossdock_events.examples.orders import PLACED
from crossdock_events.examples.story import BEGIN, Example, fact, order_id, uuid7
from crossdock_events.orders import OrderRedacted

_met = fact(
    54,
    1,
    CustomerRegistered(
        customer_id=uuid7(BEGIN, 54), kind="person", origin="order", partner="acme", external_id="C-7731"
    ),
    PLACED,
)
_account = fact(
    55,
    1,
    CustomerRegistered(customer_id=uuid7(BEGIN, 55), kind="account", origin="order", partner="acme"),
    PLACED,
)
_wrote = fact(56, 1, CustomerRegistered(customer_id=uuid7(BEGIN, 56), kind="person", origin="mail"))
_described = fact(57, 2, CustomerUpdated(customer_id=uuid7(BEGIN, 54), parts=("profile", "channels")))
_imported = fact(
    175,
    1,
    CustomerRegistered(
        customer_id=uuid7(BEGIN, 175), kind="person", origin="import", partner="acme", external_id="C-7732"
    ),
)
_moved = fact(171, 3, CustomerUpdated(customer_id=uuid7(BEGIN, 54), parts=("addresses", "merged")))
_merged = fact(173, 2, CustomersMerged(customer_id=uuid7(BEGIN, 56), into=uuid7(BEGIN, 54)))
_parted = fact(174, 3, CustomersUnmerged(customer_id=uuid7(BEGIN, 56), out_of=uuid7(BEGIN, 54)), _merged)
_opted_out = fact(
    172,
    4,
    ConsentChanged(
        customer_id=uuid7(BEGIN, 54), purpose="marketing", channel="email", state="withdrawn", source="phone_call"
    ),
)

_erased = fact(
    180,
    5,
    CustomerErased(
        customer_id=uuid7(BEGIN, 54),
        ordered_as=(
            OrderedAs(partner="acme", external_id="C-7731"),
            OrderedAs(partner="globex", external_id="C-7731"),
        ),
    ),
)
_never_ordered = fact(181, 4, CustomerErased(customer_id=uuid7(BEGIN, 56)))
_redacted = fact(
    182,
    4,
    OrderRedacted(order_id=order_id(9), partner="acme", reference="PO-4714", parts=("ship_to", "notes", "cancel_note")),
    _erased,
)

_case = {"case_id": uuid7(BEGIN, 58), "customer_id": UUID(_met.event.key), "partner": "acme"}
_complained = fact(
    58,
    1,
    ComplaintOpened(**_case, channel="mail", severity="high", category="late_delivery"),
)
_tied = fact(59, 2, ComplaintTied(**_case, order_id=UUID(PLACED.event.key), line_id="1", quantity=2), _complained)
_assigned = fact(60, 3, ComplaintAssigned(**_case))
_at_risk = fact(61, 4, SlaAtRisk(**_case, clock="first_answer", due_at=BEGIN, noticed_at=BEGIN))
_breached = fact(62, 5, SlaBreached(**_case, clock="first_answer", due_at=BEGIN, noticed_at=BEGIN))
_resolved = fact(63, 6, ComplaintResolved(**_case))
_reopened = fact(64, 7, ComplaintReopened(**_case, reason="reply"))
_closed = fact(65, 8, ComplaintClosed(**_case, root_cause="lost_in_transit"))
_escalated = fact(80, 9, ComplaintEscalated(**_case, level=1, reason="clock"))
_return_asked = fact(
    81,
    10,
    ComplaintReturnAsked(
        **_case,
        order_id=UUID(PLACED.event.key),
        parts=(ReturnedPart(line_id="1", quantity=2),),
        reason="damaged",
        wish="replacement",
    ),
)
_merged_into = fact(82, 11, ComplaintMerged(**_case, into=uuid7(BEGIN, 66)))
_asked = fact(
    66,
    1,
    EnquiryReceived(case_id=uuid7(BEGIN, 66), customer_id=UUID(_wrote.event.key), channel="mail", severity="normal"),
)
_service = fact(
    67,
    1,
    ServiceRequested(case_id=uuid7(BEGIN, 67), customer_id=UUID(_wrote.event.key), channel="phone", severity="normal"),
)

EXAMPLES = (
    Example("by-an-order", _met),
    Example("of-a-partner", _account),
    Example("by-mail", _wrote),
    Example("described", _described),
    Example("imported", _imported),
    Example("moved", _moved),
    Example("opted-out", _opted_out),
    Example("merged", _merged),
    Example("parted", _parted),
    Example("ordered-at-two", _erased),
    Example("never-ordered", _never_ordered),
    Example("cancelled", _redacted),
    Example("by-mail", _complained),
    Example("a-line", _tied),
    Example("to-a-person", _assigned),
    Example("first-answer", _at_risk),
    Example("first-answer", _breached),
    Example("answered", _resolved),
    Example("by-a-reply", _reopened),
    Example("with-cause", _closed),
    Example("by-a-clock", _escalated),
    Example("a-line", _return_asked),
    Example("into-another", _merged_into),
    Example("by-mail", _asked),
    Example("by-phone", _service),
)
