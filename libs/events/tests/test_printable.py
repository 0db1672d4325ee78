"""Identifiers as other systems write them."""

from typing import Annotated
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from crossdock_events import IDENTIFIER

identifiers = TypeAdapter(Annotated[str, IDENTIFIER])
REAL = ["SKU-1", "a/b", "PO 4711", "#1001", "a|b", "a&b", "商品-7", "%2F", "..", ".", "é", "'\"", "🙂"]
NOT_PRINTABLE = ["a\nb", "a\tb", "a\0", "a\x7f", "\x85a", "a\u00a0b", "\u200b"]


@pytest.mark.parametrize("text", [*REAL, "x" * 64, "商" * 64])
def test_identifier_of_a_real_system_is_accepted(text: str) -> None:
    assert identifiers.validate_python(text) == text


@pytest.mark.parametrize("text", ["", " a", "a ", "\u3000a", *NOT_PRINTABLE, "e\u0301", "x" * 65])
def test_text_that_looks_like_another_is_no_identifier(text: str) -> None:
    with pytest.raises(ValidationError, match="must be 1 to 64 printable characters"):
        identifiers.validate_python(text)


@given(st.text(max_size=70))
def test_rule_is_the_one_of_unicode(text: str) -> None:
    expected = 0 < len(text) <= 64 and text.isprintable() and text.strip() == text and normalize("NFC", text) == text
    try:
        accepted = identifiers.validate_python(text) == text
    except ValidationError:
        accepted = False
    assert accepted == expected
