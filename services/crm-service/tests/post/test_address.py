"""Signed addresses and links: each for one purpose, none can be altered."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from crm_service.post.address import LINK_DAYS, Addresses

NOW = datetime(2026, 11, 28, tzinfo=UTC)
OURS, OTHERS = Addresses("crm.test", b"k"), Addresses("crm.test", b"other")


@given(st.integers(min_value=1, max_value=10**18 - 1))
def test_address_of_a_case_leads_to_it_alone(number: int) -> None:
    address = OURS.of_case(number)
    assert OURS.case_of(address.upper()) == number
    assert OTHERS.case_of(address) is None
    assert OURS.case_of(address.replace(f"+{number}-", f"+{number + 1}-")) is None
    assert OURS.bounced(address) is None


def test_address_of_a_mail_has_a_legal_length() -> None:
    id = uuid4()
    address = OURS.bounce_of(id)
    assert OURS.bounced(address) == id and OTHERS.bounced(address) is None
    assert len(address.partition("@")[0]) <= 64
    assert OURS.case_of(address) is None


@given(st.integers(min_value=0, max_value=47), st.sampled_from("ABCabc019-_"))
def test_altered_link_opens_nothing(place: int, sign: str) -> None:
    token = OURS.link("unsubscribe", "ada@example.com", NOW)
    link = OURS.opened("unsubscribe", token)
    assert link is not None and link.address == OURS.digest("ADA@example.com")
    assert link.expires == NOW + timedelta(days=LINK_DAYS)
    altered = token[:place] + sign + token[place + 1 :]
    assert altered == token or OURS.opened("unsubscribe", altered) is None
    assert OURS.opened("survey", token) is None and OTHERS.opened("unsubscribe", token) is None
    assert b"ada" not in base64.urlsafe_b64decode(token)


@given(st.text(max_size=60))
def test_any_text_is_no_link_and_no_address(text: str) -> None:
    assert OURS.opened("unsubscribe", text) is None
    assert OURS.case_of(text) is None and OURS.bounced(text) is None
