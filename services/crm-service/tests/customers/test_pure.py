"""Rules of customers without a database: channels, and consents of merged customers."""

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_service.customers.consents import Said, in_force
from crm_service.customers.model import WrongValue
from crm_service.customers.reach import ChannelKind, channel_of, email_of, phone_of

ROOT, OTHER = UUID(int=1), UUID(int=2)
START = datetime(2026, 1, 1, tzinfo=UTC)


@given(text=st.text(max_size=60), region=st.sampled_from([None, "GB", "CN", "US"]))
def test_any_text_is_a_channel_or_a_wrong_value(text: str, region: str | None) -> None:
    kinds: list[ChannelKind] = ["email", "phone"]
    for kind in kinds:
        try:
            assert channel_of(kind, text, region).address == text
        except WrongValue as error:
            assert error.pointer


@given(number=st.integers(13_000_000_000, 13_999_999_999))
def test_number_is_the_same_in_both_notations(number: int) -> None:
    spaced = f"+86 {str(number)[:3]}-{str(number)[3:]}"
    assert phone_of(str(number), "CN").match == phone_of(spaced, None).match == f"+86{number}"
    assert (phone_of(str(number), "CN").region, phone_of(spaced, "GB").region) == ("CN", None)


@pytest.mark.parametrize("address", ["a..b@example.com", "a@b", "a" * 65 + "@example.com", "a@ex_ample.com"])
def test_malformed_mail_address_is_refused(address: str) -> None:
    with pytest.raises(WrongValue):
        email_of(address)


States = st.lists(st.tuples(st.sampled_from([ROOT, OTHER]), st.sampled_from(["given", "withdrawn"])), max_size=8)


def said(states: list[tuple[UUID, Literal["given", "withdrawn"]]]) -> list[Said]:
    return [
        Said(id, number, "marketing", "email", state, "form", START + timedelta(hours=number))
        for number, (id, state) in enumerate(states)
    ]


@given(states=States, merged=st.integers(0, 8))
def test_merge_never_makes_a_consent_less_strict(
    states: list[tuple[UUID, Literal["given", "withdrawn"]]], merged: int
) -> None:
    before = said(states)[:merged]
    each = [in_force([one for one in before if one.customer_id == id], id) for id in (ROOT, OTHER)]
    joined = in_force(before, ROOT, START + timedelta(hours=merged) - timedelta(minutes=1))
    assert joined.keys() == each[0].keys() | each[1].keys()
    withdrawn = any(one.state == "withdrawn" for own in each for one in own.values())
    assert all((one.state == "withdrawn") == withdrawn for one in joined.values())


def test_what_is_said_after_the_merge_counts_alone() -> None:
    both = said([(ROOT, "given"), (OTHER, "withdrawn"), (ROOT, "given")])
    merged_at = START + timedelta(minutes=90)
    assert in_force(both[:2], ROOT, merged_at)["marketing", "email"].state == "withdrawn"
    assert in_force(both, ROOT, merged_at)["marketing", "email"].state == "given"
