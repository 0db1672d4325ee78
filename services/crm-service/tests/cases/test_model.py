"""The state machine of a case, against a table written by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_service.cases.model import ACTIVE, Case, Did, Kind, NotPossible, Status
from crossdock_events.cases import CaseEvent

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LEADS: dict[tuple[str, str], str] = {
    ("new", "assigned"): "open",
    ("new", "answered"): "open",
    ("new", "replied"): "new",
    ("new", "waited"): "waiting",
    ("new", "resolved"): "resolved",
    ("open", "assigned"): "open",
    ("open", "answered"): "open",
    ("open", "replied"): "open",
    ("open", "waited"): "waiting",
    ("open", "resolved"): "resolved",
    ("waiting", "assigned"): "waiting",
    ("waiting", "answered"): "open",
    ("waiting", "replied"): "open",
    ("waiting", "waited"): "waiting",
    ("waiting", "resumed"): "open",
    ("waiting", "resolved"): "resolved",
    ("resolved", "replied"): "reopened",
    ("resolved", "reopened"): "reopened",
    ("resolved", "closed"): "closed",
    ("reopened", "assigned"): "open",
    ("reopened", "answered"): "open",
    ("reopened", "replied"): "reopened",
    ("reopened", "waited"): "waiting",
    ("reopened", "resolved"): "resolved",
    **{(each, did): each for each in ACTIVE for did in ("notified", "escalated", "return_asked", "released")},
    **{(each, did): each for each in (*ACTIVE, "resolved") for did in ("took_over", "split", "grouped")},
    **{(each, "merged"): "merged" for each in (*ACTIVE, "resolved")},
    **{(each, did): each for each in Status for did in ("noted", "undelivered")},
}


def case(status: str = "new", kind: Kind = Kind.COMPLAINT) -> Case:
    waits = "customer" if status == "waiting" else None
    return Case(UUID(int=1), kind, UUID(int=2), None, "normal", Status(status), waits)


def do(case: Case, did: Did) -> list[CaseEvent]:
    verbs: dict[Did, Callable[[], list[CaseEvent]]] = {
        Did.ASSIGNED: lambda: case.assign("ann"),
        Did.ANSWERED: case.answer,
        Did.NOTIFIED: case.notify,
        Did.REPLIED: case.reply,
        Did.NOTED: case.note,
        Did.WAITED: lambda: case.wait("customer"),
        Did.RESUMED: case.resume,
        Did.RESOLVED: lambda: case.resolve(NOW),
        Did.REOPENED: case.reopen,
        Did.CLOSED: lambda: case.close("lost"),
        Did.ESCALATED: lambda: case.escalate(by_clock=False),
        Did.MERGED: lambda: case.merge(replace(case, id=UUID(int=3), status=Status.OPEN), same_customer=True),
        Did.RETURN_ASKED: lambda: returned(case),
    }
    return verbs[did]() if did in verbs else case.keep(did)


def returned(case: Case) -> list[CaseEvent]:
    """Ask for a return. Only complaints can: of another kind it notes no more than the entry."""
    if case.kind is not Kind.COMPLAINT:
        return case.keep(Did.RETURN_ASKED)
    return case.ask_return(UUID(int=4), [{"line_id": "1", "quantity": 1}], "damaged", "refund")


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("did", [each for each in Did if each is not Did.OPENED])
def test_each_verb_leads_where_the_table_has_it(status: Status, did: Did) -> None:
    one = case(status)
    if (expected := LEADS.get((status, did))) is None:
        with pytest.raises(NotPossible):
            do(one, did)
        assert one.status == status
    else:
        do(one, did)
        assert one.status == expected
        assert (one.waiting_for is not None) == (one.status is Status.WAITING)


def test_reply_does_not_end_a_wait_for_the_partner() -> None:
    one = case("open")
    one.wait("partner")
    one.reply()
    assert (one.status, one.waiting_for) == (Status.WAITING, "partner")


@given(st.lists(st.sampled_from([each for each in Did if each is not Did.OPENED]), max_size=30))
def test_any_history_ends_and_only_complaints_have_events(history: list[Did]) -> None:
    both = case(kind=Kind.COMPLAINT), case(kind=Kind.ENQUIRY)
    for did in history:
        said = []
        for one in both:
            try:
                said.append(do(one, did))
            except NotPossible:
                said.append([])
        assert not said[1] and both[0].status == both[1].status
        if both[0].status is not Status.MERGED:
            assert (both[0].resolved_at is None) == (both[0].status in ACTIVE)


def test_late_reply_belongs_to_no_resolved_case() -> None:
    one = case("open")
    one.resolve(NOW)
    days = timedelta(days=7)
    assert one.takes_replies(NOW + days, days) and not one.takes_replies(NOW + days * 2, days)
    one.close("lost")
    assert not one.takes_replies(NOW, days)
