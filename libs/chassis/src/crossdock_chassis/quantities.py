"""Numbers in request bodies, and quantities in the units of an item.

Stock is counted in whole base units of an item, such as g. Each other unit of the item has a factor: the factor of kg
is 1000. A quantity in another unit is accepted if it is a whole number of base units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

PLACES: Final = 6
"""The decimal places of a quantity. With at most nine digits before the point, a JSON number stays exact."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds, whole if it has no `places`: `Annotated[int, Number(1, 1_000_000)]`.

    JSON has one type of number, and many writers send `2.0` for 2. Both are the int 2. Strings and flags are refused.
    """

    least: float
    most: int
    places: int = 0

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        places = f" with at most {self.places} decimal places" if self.places else ""
        return core_schema.union_schema(
            [
                core_schema.int_schema(strict=True, ge=ceil(self.least), le=self.most),  # the usual case runs no Python
                core_schema.no_info_after_validator_function(
                    self._whole_or_exact,
                    core_schema.float_schema(strict=True, ge=self.least, le=self.most, allow_inf_nan=False),
                ),
            ],
            mode="left_to_right",
            custom_error_type="number" if self.places else "whole_number",
            custom_error_message=f"must be a {self._kind} from {_plain(self.least)} to {self.most}{places}",
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "number" if self.places else "integer", "minimum": self.least, "maximum": self.most}

    @property
    def _kind(self) -> str:
        return "number" if self.places else "whole number"

    def _whole_or_exact(self, value: float) -> float:
        if value.is_integer():
            return int(value)
        if -int(exactly(value).as_tuple().exponent) > self.places:
            raise PydanticCustomError("places", "has too many decimal places")
        return value


def _plain(value: float) -> str:
    return f"{exactly(value):f}"


def exactly(value: float | Decimal) -> Decimal:
    """Return the decimal that the number was written as. A binary float of at most 15 digits has one."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


class WrongQuantity(ValueError):
    """The item has no such unit, or the quantity is no whole number of base units. `field` is `unit` or `quantity`."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.code, self.detail = field, code, detail


def in_base_units(
    quantity: float | Decimal, unit: str | None, base: str | None, factors: Mapping[str, int], most: int = 1_000_000_000
) -> int:
    """Return the quantity in base units; a quantity without a unit is in base units. Raise WrongQuantity.

    `base` is the base unit of the item, and `factors` has the other units.
    """
    factor = 1 if unit is None or unit == base else factors.get(unit)
    if factor is None:
        known = ", ".join([*([base] if base else ()), *sorted(factors)])
        raise WrongQuantity("unit", "unknown_unit", f"the item has no unit {unit}; its units are {known}")
    found = exactly(quantity) * factor
    shown = f"{quantity} {unit} is {found.normalize():f} {base}" if unit else f"{quantity} has no unit"
    if found != int(found):
        raise WrongQuantity("quantity", "not_whole", f"{shown}, and a quantity in base units is whole")
    if abs(found) > most:
        raise WrongQuantity("quantity", "too_much", f"{shown}, and the most is {most}")
    return int(found)
