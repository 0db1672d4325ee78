"""Who may be the same customer: keys by which candidates are found, and a score with its reasons. Pure.

The score adds the evidence of each value that both have, as Fellegi and Sunter (1969) do. It is positive if the values
agree, and negative if they differ. A value that one of them lacks adds nothing. The score stands for the base-2
logarithm of a likelihood ratio. The weights are set by hand. `python -m bench.duplicates` measures what they find.
"""

import re
import unicodedata
from datetime import date
from functools import cache
from itertools import combinations
from typing import Final, NamedTuple

from opencc import OpenCC
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

THRESHOLD: Final = 7.0
MOST: Final = 50
HOUSEHOLD: Final = 10.0
_NO_WORD: Final = re.compile(r"[\W_]+")
_DIGITS: Final = re.compile(r"\d+")


class Place(NamedTuple):
    street: str
    city: str
    postcode: str = ""


class Traits(NamedTuple):
    """What is compared of a customer. `channels` are in the form that is compared."""

    name: str | None = None
    born_on: date | None = None
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    places: tuple[Place, ...] = ()


class Score(NamedTuple):
    value: float
    reasons: tuple[str, ...]


@cache
def _converter() -> OpenCC:
    return OpenCC("t2s")


@cache
def _simplified(character: str) -> str:
    """Convert each character alone, because phrases would make the form of a name depend on its neighbours."""
    return str(_converter().convert(character))


def fold(text: str) -> str:
    """Return a text as it is compared: NFKC, lower case, simplified Chinese, without accents."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(_simplified(each) if each >= "\u2e80" else each for each in text)
    bare = "".join(each for each in unicodedata.normalize("NFD", text) if not "\u0300" <= each <= "\u036f")
    return _NO_WORD.sub(" ", unicodedata.normalize("NFKC", bare).casefold()).strip()


def sound(word: str) -> str:
    """Return the first letter and the consonants of a part of a name, at most four: what survives most misspellings."""
    rest = "".join(each for each in word[1:] if each not in "aeiouyhw")
    squeezed = re.sub(r"(.)\1+", r"\1", word[:1] + rest)
    return squeezed[:4]


def keys(traits: Traits) -> set[str]:
    """Return the keys of which two records of the same person most probably share one."""
    found = {f"e {each}" for each in traits.emails} | {f"p {each}" for each in traits.phones}
    words = fold(traits.name or "").split()
    if words:
        found.add("n " + " ".join(sorted(words)))
        found |= {f"s {' '.join(sorted(pair))}" for pair in combinations({sound(each) for each in words}, 2)}
    if traits.born_on is not None:
        born = traits.born_on
        found.add(f"b {born.isoformat()}")
        found |= {
            f"c {sound(each)} {part}" for each in words for part in (f"{born:%Y-%m}", f"{born:%m-%d}", f"{born:%Y--%d}")
        }
    for place in traits.places:
        street, city, postcode = (fold(each) for each in place)
        number = "".join(_DIGITS.findall(street)[:1])
        names = [each for each in _DIGITS.sub(" ", street).split() if len(each) > (3 if each.isascii() else 1)]
        for area in (postcode, city):
            if area:
                found |= {f"h {area} {number} {sound(each)}" for each in names[:2] if number}
                found |= {f"w {area} {sound(each)}" for each in words}
        found |= {f"t {number} {names[0]}" for _ in range(1) if names and number}
    return found


def name_keys(name: str | None) -> set[str]:
    """Return the keys by which a person finds a customer: one for each part of its name."""
    return {f"q {word}" for word in fold(name or "").split()}


def compare(one: Traits, other: Traits) -> Score:
    """Return the evidence that both are the same person, and what it is.

    Phone and address show a household, so together they count for at most 10.
    """
    home = []
    if one.phones and other.phones:
        home.append((8.0, "same_phone") if one.phones & other.phones else (-1.0, ""))
    if one.places and other.places:
        home.append(max(_places(a, b) for a in one.places for b in other.places))
    found = []
    if one.emails and other.emails:
        found.append((14.0, "same_email") if one.emails & other.emails else (-1.0, ""))
    if one.name and other.name:
        found.append(_names(fold(one.name), fold(other.name)))
    if one.born_on and other.born_on:
        found.append(_days(one.born_on, other.born_on))
    value = min(HOUSEHOLD, sum(weight for weight, _ in home)) + sum(weight for weight, _ in found)
    return Score(value, tuple(reason for weight, reason in (*home, *found) if weight > 0))


def _names(one: str, other: str) -> tuple[float, str]:
    if sorted(one.split()) == sorted(other.split()):
        return 6.5, "same_name"
    likeness = max(fuzz.token_sort_ratio(one, other), fuzz.ratio(one.replace(" ", ""), other.replace(" ", ""))) / 100
    if likeness >= 0.7:
        return 6.5 * (likeness - 0.55) / 0.45, "similar_name"
    if fuzz.token_set_ratio(one, other) >= 90:
        return 3.0, "shared_name"
    return -6.0 * (0.7 - likeness) / 0.7 - 1.0, ""


def _days(one: date, other: date) -> tuple[float, str]:
    if one == other:
        return 9.0, "same_birthday"
    if OSA.distance(one.isoformat(), other.isoformat()) == 1 or (one.year, one.month, one.day) == (
        other.year,
        other.day,
        other.month,
    ):
        return 5.0, "similar_birthday"
    return -5.5, ""


def _places(one: Place, other: Place) -> tuple[float, str]:
    a, b = (tuple(fold(each) for each in place) for place in (one, other))
    street = fuzz.token_sort_ratio(a[0], b[0]) / 100
    city = fuzz.ratio(a[1], b[1]) / 100
    area = (2.0 if city >= 0.8 else -1.0) + (2.0 if a[2] and a[2] == b[2] else 0.0)
    if street >= 0.75:
        return 6.0 * (street - 0.5) / 0.5 + area, "same_address" if street == 1 else "similar_address"
    return -1.5 + area, "same_area"
