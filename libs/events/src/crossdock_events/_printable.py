"""Identifiers as other systems write them: SKUs with slashes, order numbers with a hash, names in any script."""

from dataclasses import dataclass
from typing import Any, Final
from unicodedata import is_normalized

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, slots=True)
class Printable:
    """Printable text in NFC, without blanks at its ends: `Annotated[str, Printable(64)]`.

    Printable is as Unicode defines it: no control or format characters, no separators but the space. Text in another
    normal form than NFC is refused, because two texts that look the same would be two identifiers.
    """

    most: int

    @property
    def rule(self) -> str:
        return f"1 to {self.most} printable characters in Unicode's normal form NFC, without blanks at the ends"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.union_schema(
            [
                core_schema.str_schema(strict=True, pattern=_pattern("!-~", " -~", self.most)),  # runs no Python
                core_schema.no_info_after_validator_function(
                    _printable, core_schema.str_schema(strict=True, min_length=1, max_length=self.most)
                ),
            ],
            mode="left_to_right",
            custom_error_type="not_printable",
            custom_error_message=f"must be {self.rule}",
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        controls = r"\x00-\x1f\x7f-\x9f"
        pattern = _pattern(rf"^\s{controls}", f"^{controls}", self.most)
        others = {
            name: value for name, value in handler(core).items() if name != "anyOf"
        }  # of a Field, such as examples
        return {"type": "string", "minLength": 1, "maxLength": self.most, "pattern": pattern, **others}


IDENTIFIER: Final = Printable(64)
"""The rule of every identifier that another system chooses."""


def _pattern(outer: str, inner: str, most: int) -> str:
    return f"^[{outer}](?:[{inner}]{{0,{most - 2}}}[{outer}])?$"


def _printable(text: str) -> str:
    if not (text.isprintable() and text == text.strip() and is_normalized("NFC", text)):
        raise PydanticCustomError("not_printable", "must be printable")
    return text
