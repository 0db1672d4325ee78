"""Whole numbers in JSON bodies: the value counts, not its spelling."""

import json
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from crossdock_chassis import Whole


class Line(BaseModel):
    quantity: Annotated[int, Whole(1, 1_000_000)]


@given(st.integers(-10, 1_000_010))
def test_whole_number_has_the_same_value_in_each_spelling(value: int) -> None:
    for spelling in (str(value), f"{value}.0", f"{value}.000", f"{value}e0", f"{value * 10}e-1"):
        body = f'{{"quantity": {spelling}}}'
        if 1 <= value <= 1_000_000:
            quantity = Line.model_validate_json(body).quantity
            assert (quantity, type(quantity)) == (value, int)
        else:
            with pytest.raises(ValidationError):
                Line.model_validate_json(body)


@given(st.one_of(st.booleans(), st.text(), st.none(), st.floats(0.5, 9e5).filter(lambda each: not each.is_integer())))
def test_anything_but_a_whole_number_is_one_clear_error(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Line.model_validate_json(json.dumps({"quantity": value}))
    [error] = caught.value.errors()
    assert (error["loc"], error["msg"]) == (("quantity",), "must be a whole number from 1 to 1000000")


def test_whole_number_is_an_integer_in_the_openapi() -> None:
    assert Line.model_json_schema()["properties"]["quantity"] == {
        "title": "Quantity",
        "type": "integer",
        "minimum": 1,
        "maximum": 1000000,
    }
