"""What a search looks for, by the text alone."""

from uuid import UUID

import pytest

from analytics_service.search.model import Wanted, link, wanted

ID = "0199f3a2-5b1e-7c44-9d3a-0d6f7a1b2c3d"


@pytest.mark.parametrize("text", [ID, ID.upper(), ID.replace("-", ""), f"00-{ID.replace('-', '')}-00f067aa0ba902b7-01"])
def test_whole_id_is_known_however_it_is_written(text: str) -> None:
    assert wanted(text).ids == (UUID(ID), UUID(ID))
    assert wanted(text).whole(ID)


@pytest.mark.parametrize("text", ["01", "0199f3a2", "0199f3a2-", "0199F3A2-5b1", "0199f3a25b1"])
def test_beginning_of_an_id_is_a_range(text: str) -> None:
    looked_for = wanted(text)
    assert looked_for.ids is not None
    first, last = looked_for.ids
    assert first < UUID(ID) < last
    assert not looked_for.whole(ID)


@pytest.mark.parametrize("text", ["PO-4711", "0199-f3a2", "20-17", "--", "a-", ID + "0", "0199f3a2 5b1e", "ü1", "١٢"])
def test_other_text_is_no_beginning_of_an_id(text: str) -> None:
    assert wanted(text).ids is None


def test_text_is_looked_for_in_three_cases() -> None:
    assert wanted("Po-1").texts == ["Po-1", "PO-1", "po-1"]
    assert wanted("47").texts == ["47"]
    assert wanted("ß" * 100).texts == ["ß" * 100]  # twice as long in upper case
    assert wanted("po-1").whole("PO-1")


def test_links_are_quoted() -> None:
    assert link("item", "a/b?ü") == "/stock/a%2Fb%3F%C3%BC"
    assert link("partner", "a&b") == "/orders?partner=a%26b"
    assert Wanted([], None).whole("x") is False
