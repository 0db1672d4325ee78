"""Where and when demand is: regions, time zones, and the ids of series."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Final, Literal, TypeAlias
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from crossdock_events.orders import Destination

SERIES: Final = UUID("0d6d1c5e-6f0a-5f7e-9a54-3f2b8a0c7d11")
REGION_LENGTH: Final = 64
SeriesLevel: TypeAlias = Literal["item", "location", "region"]
"""A series is of a whole item, of an item at a location, or of an item in a region."""
LEVELS: Final[tuple[SeriesLevel, ...]] = ("item", "location", "region")


def series_id(item_id: str, location_id: str = "", region: str = "") -> UUID:
    """Return the id of a series. It depends on nothing else, so anybody can compute it."""
    return uuid5(SERIES, f"{item_id}\n{location_id}\n{region}")


def region_of(ship_to: Destination | None) -> str:
    """Return `US-OR`, `US` if the region is not known, or an empty text.

    A region whose name is too long for a contract counts for its country.
    """
    if ship_to is None:
        return ""
    full = f"{ship_to.country}-{ship_to.region}" if ship_to.region else ship_to.country
    return full if len(full) <= REGION_LENGTH else ship_to.country


@cache
def _first_zones() -> Mapping[str, str]:
    """Return the first zone of each country in the time zone database, which is that of its most people."""
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text()
    zones: dict[str, str] = {}
    for line in table.splitlines():
        if not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            zones.setdefault(country, zone)
    return zones


@dataclass(frozen=True, slots=True)
class Zones:
    """The time zone of each destination. `of` has zones by country or region, such as `US` or `US-CA`.

    A country that is not in `of` has its first zone in the time zone database. An order without a destination has
    `default`.
    """

    default: str = "UTC"
    of: Mapping[str, str] | None = None

    def zone(self, region: str) -> ZoneInfo:
        own, country = self.of or {}, region.partition("-")[0]
        return ZoneInfo(own.get(region) or own.get(country) or _first_zones().get(country) or self.default)

    def day(self, placed_at: datetime, requested: date | None, region: str) -> date:
        """Return the day on which an order counts: the requested one, else the day at its destination."""
        return requested or placed_at.astimezone(self.zone(region)).date()

    def in_last_zone(self, at: datetime) -> datetime:
        """Return the local time where a day ends last."""
        zones = {self.default, *(self.of or {}).values(), *_first_zones().values()} if self.of else {self.default}
        return min((at.astimezone(ZoneInfo(zone)) for zone in zones), key=lambda local: local.replace(tzinfo=None))

    def last_whole_day(self, settled_at: datetime) -> date:
        """Return the last day that had ended everywhere when all events were counted."""
        return self.in_last_zone(settled_at).date() - timedelta(days=1)
