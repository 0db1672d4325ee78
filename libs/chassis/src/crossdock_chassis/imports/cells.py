"""The text of typed cells, as a CSV file has them. So the same rules hold for files of all formats."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

DIGITS: Final = 6
"""Floating-point numbers are rounded to so many places, which prices have at most."""


def as_cell(value: Any) -> str:
    """Return a value as a CSV file has it. A time that is no midnight is no day, and stays a time."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            text = f"{value:.{DIGITS}f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case Decimal():
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case date():
            return value.isoformat()
    return str(value)
