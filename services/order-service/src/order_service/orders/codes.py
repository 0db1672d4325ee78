"""The known currencies and countries. The tables come from the packages `iso4217` and `iso3166`."""

from typing import Final

from iso3166 import countries_by_alpha2
from iso4217 import Currency

EXPONENTS: Final[dict[str, int]] = {each.code: each.exponent for each in Currency if each.exponent is not None}
"""ISO 4217: the decimal places of each currency. Metals, test codes and units of account have none, so an order cannot
use them."""

COUNTRIES: Final[frozenset[str]] = frozenset(countries_by_alpha2)
"""ISO 3166-1 alpha-2, and XK (Kosovo)."""
