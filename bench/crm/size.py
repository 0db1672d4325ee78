from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """What each part measures. `orders_each` are orders of a customer; `open_cases` exist when timers are looked at."""

    orders: int = 20_000
    mails: int = 1_000
    complaints: int = 3_000
    connections: int = 32
    customers: int = 1_000_000
    orders_each: int = 4
    shown: int = 1_000
    registered: int = 130
    open_cases: int = 1_000_000
    looks: int = 200
    due: int = 100_000


FULL: Final = Size()
TINY: Final = Size(20, 3, 5, 2, 10, 2, 5, 3, 20, 3, 10)
"""Enough to check that every row can be measured. Its numbers mean nothing."""
