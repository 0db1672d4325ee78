"""Which currencies and countries there are. The tables are the maintainers' of `iso4217` and `iso3166`, not ours."""

from typing import Final

from iso3166 import countries_by_alpha2
from iso4217 import Currency

EXPONENTS: Final[dict[str, int]] = {each.code: each.exponent for each in Currency if each.exponent is not None}
"""ISO 4217: how many places an amount of the currency has. Metals, test codes and units of account have none, and so
are no currency an order can be in."""

COUNTRIES: Final[frozenset[str]] = frozenset(countries_by_alpha2)
"""ISO 3166-1 alpha-2, and XK."""
