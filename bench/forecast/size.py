from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """Series of each group, rows that are imported, and orders that are counted.

    A night has `night` series and a full choice `chosen`. They are copies of `night_chosen` items. `origins` are those
    from which the quantiles of a model alone are calibrated.
    """

    busiest: int = 200
    slow: int = 300
    categories: int = 1_000
    two_years: int = 50
    refitted: int = 100
    chosen: int = 1_000
    night: int = 10_000
    night_chosen: int = 250
    origins: int = 2
    all_models: bool = True
    imported: int = 1_000_000
    orders: int = 30_000


FULL: Final = Size()
TINY: Final = Size(
    busiest=4,
    slow=4,
    categories=3,
    two_years=3,
    refitted=3,
    chosen=9,
    night=9,
    night_chosen=3,
    origins=2,
    all_models=False,
    imported=500,
    orders=50,
)
"""Enough to check that every row can be measured. Its numbers mean nothing."""
