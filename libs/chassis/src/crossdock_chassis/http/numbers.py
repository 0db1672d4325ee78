"""Numbers in JSON bodies."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds: `Annotated[int, Whole(1, 1_000_000)]`. `2` and `2.0` are both 2.

    JSON has one type of number, and many writers send `2.0` for 2. A string, a flag and `2.5` are refused.
    """

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.union_schema(
            [
                core_schema.int_schema(strict=True, ge=self.least, le=self.most),  # the usual case runs no Python
                core_schema.no_info_after_validator_function(
                    _whole, core_schema.float_schema(strict=True, ge=self.least, le=self.most, allow_inf_nan=False)
                ),
            ],
            mode="left_to_right",
            custom_error_type="whole_number",
            custom_error_message=f"must be a whole number from {self.least} to {self.most}",
            serialization=core_schema.simple_ser_schema("int"),
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


def _whole(value: float) -> int:
    if not value.is_integer():
        raise PydanticCustomError("whole_number", "must be whole")
    return int(value)
