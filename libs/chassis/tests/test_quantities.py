"""Numbers in JSON bodies, where the value counts and not its spelling, and quantities in the units of an item."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from crossdock_chassis import Number, WrongQuantity, exactly, in_base_units


class Line(BaseModel):
    quantity: Annotated[int, Number(1, 1_000_000)]


class Measured(BaseModel):
    quantity: Annotated[float, Number(0.000001, 1_000_000, places=6)]


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


quantities = st.decimals(min_value="0.000001", max_value=1_000_000, places=6)


@given(quantities)
def test_decimal_quantity_keeps_its_exact_value(value: Decimal) -> None:
    for spelling in (f"{value:f}", f"{value:e}"):
        read = Measured.model_validate_json(f'{{"quantity": {spelling}}}')
        assert exactly(read.quantity) == value
        assert type(read.quantity) is (int if value == int(value) else float)
        assert Measured.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize(
    "spelling", ["0", "0.0000001", "1.0000001", "-1", "1000000.5", '"2.5"', "true", "NaN", "1e400"]
)
def test_quantity_out_of_bounds_is_one_clear_error(spelling: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Measured.model_validate_json(f'{{"quantity": {spelling}}}')
    [error] = caught.value.errors()
    if error["type"] != "json_invalid":
        assert error["msg"] == "must be a number from 0.000001 to 1000000 with at most 6 decimal places"


@given(quantities, st.integers(1, 1_000_000))
def test_quantity_is_converted_exactly_or_refused(value: Decimal, factor: int) -> None:
    true = Fraction(value) * factor
    if true.denominator == 1 and true <= 10**9:
        assert in_base_units(float(value), "kg", "g", {"kg": factor}) == true
    else:
        with pytest.raises(WrongQuantity) as caught:
            in_base_units(float(value), "kg", "g", {"kg": factor})
        assert (caught.value.field, caught.value.code) == (
            "quantity",
            "not_whole" if true.denominator > 1 else "too_much",
        )


def test_wrong_quantity_names_the_units() -> None:
    assert in_base_units(2.5, "kg", "g", {"kg": 1000}) == 2500
    assert in_base_units(7, "g", "g", {"kg": 1000}) == in_base_units(7, None, None, {}) == 7
    for quantity, unit, detail in (
        (2.5, "lb", "the item has no unit lb; its units are g, kg"),
        (0.0005, "kg", "0.0005 kg is 0.5 g, and a quantity in base units is whole"),
        (1.5, None, "1.5 has no unit, and a quantity in base units is whole"),
    ):
        with pytest.raises(WrongQuantity, match=detail):
            in_base_units(quantity, unit, "g", {"kg": 1000})
