"""Rows as the arrays of `unnest`."""

from collections.abc import Iterable, Sequence
from typing import Any


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return the columns of rows that have the same length. There must be a row."""
    return [list(column) for column in zip(*rows, strict=True)]
