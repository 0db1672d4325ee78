"""Which days are holidays or closed, and what a forecast knows of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["holiday", "closed", "ordinary"]

WINDOWS: Final = {"before holiday": (-3, -2, -1), "holiday": (0,), "after holiday": (1,)}
"""The drivers of a forecast, and the days around a holiday on which each is 1."""


class UnknownCountry(Exception):
    """A country or region whose holidays are not known."""

    def __init__(self, place: int, name: str) -> None:
        detail = f"the holidays of {name} are not known: name a country such as US, or a region such as US-CA"
        super().__init__(detail)
        self.errors = [{"pointer": f"/countries/{place}", "detail": detail, "code": "unknown"}]


@dataclass(frozen=True, slots=True)
class OwnDay:
    """A day of the company. `ordinary` is a public holiday that is none here."""

    day: date
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Calendar:
    """The public holidays of some countries, changed by the company's own days."""

    countries: tuple[str, ...] = ()
    own: tuple[OwnDay, ...] = ()

    def between(self, first: date, last: date) -> dict[date, OwnDay]:
        """Return the holidays and closed days from `first` to `last`, in their order."""
        found: dict[date, OwnDay] = {}
        for country in self.countries:
            years = range(first.year, last.year + 1)
            for day, name in _holidays(country, years).items():
                found.setdefault(day, OwnDay(day, name, "holiday"))
        found |= {each.day: each for each in self.own}
        return {day: found[day] for day in sorted(found) if first <= day <= last and found[day].kind != "ordinary"}

    def document(self) -> dict[str, Any]:
        """Return the calendar as JSON values."""
        own = [[each.day.isoformat(), each.name, each.kind] for each in self.own]
        return {"countries": list(self.countries), "own": own}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Calendar":
        own = (OwnDay(date.fromisoformat(day), name, kind) for day, name, kind in document["own"])
        return cls(tuple(document["countries"]), tuple(own))

    def closed(self) -> frozenset[date]:
        return frozenset(each.day for each in self.own if each.kind == "closed")

    def drivers(self, first: date, last: date) -> dict[str, list[float]]:
        """Return, for each day from `first` to `last`, 1 or 0 for each of WINDOWS. Empty if there is no holiday."""
        widest = timedelta(days=max(abs(day) for days in WINDOWS.values() for day in days))
        holidays = [each.day for each in self.between(first - widest, last + widest).values()]
        if not holidays:
            return {}
        count = (last - first).days + 1
        found = {name: [0.0] * count for name in WINDOWS}
        for day in holidays:
            for name, around in WINDOWS.items():
                for each in around:
                    place = (day - first).days + each
                    if 0 <= place < count:
                        found[name][place] = 1.0
        return found


def check(countries: Iterable[str], today: date) -> None:
    """Raise UnknownCountry for the first one whose holidays of the next two years are not known.

    The package returns no holidays, and no error, for years that it does not have.
    """
    for place, name in enumerate(countries):
        try:
            known = _holidays(name, range(today.year, today.year + 3))
        except NotImplementedError:  # the package raises it for a country or region that it does not have
            raise UnknownCountry(place, name) from None
        if {day.year for day in known} != set(range(today.year, today.year + 3)):
            raise UnknownCountry(place, name)


def _holidays(country: str, years: Iterable[int]) -> Mapping[date, str]:
    import holidays  # noqa: PLC0415  (0.2 s, which most processes never need)

    code, _, region = country.partition("-")
    found: Any = holidays.country_holidays(code, subdiv=region or None, years=years, observed=False)
    return {day: str(name) for day, name in found.items()}
