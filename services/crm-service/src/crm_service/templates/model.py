"""Templates of mails: which there are, what each may name, and the shipped ones. Pure."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

LOCALES: Final = ("en", "zh")
"""The locales that are shipped. The first one is used for a locale that has no template."""
VARIABLES: Final[Mapping[str, frozenset[str]]] = {
    "acknowledgement": frozenset({"number", "subject"}),
    "answer": frozenset({"number", "subject", "text"}),
    "notice": frozenset({"number", "subject", "text"}),
    "order_backordered": frozenset({"number", "reference"}),
}
"""What each template may name. Callers of `render` give all of it."""
MAX_SOURCE: Final = 10_000
MAX_SUBJECT: Final = 200


class NoSuchTemplate(Exception):
    pass


class BadTemplate(Exception):
    """A template that cannot be read, names what it is not given, or exceeds a limit."""

    def __init__(self, pointer: str, detail: str, code: str) -> None:
        super().__init__(detail)
        self.errors = [{"pointer": pointer, "detail": detail, "code": code}]


class Template(NamedTuple):
    subject: str
    text: str


class Rendered(NamedTuple):
    """A subject of one line, and a plain text."""

    subject: str
    text: str


@cache
def shipped(name: str, locale: str) -> Template:
    """Return a template as it is shipped. Raise NoSuchTemplate."""
    file = files(__package__) / "shipped" / f"{name}.{locale}.liquid"
    if name not in VARIABLES or not file.is_file():
        raise NoSuchTemplate(f"There is no template {name} in {locale}")
    subject, _, text = file.read_text(encoding="utf-8").partition("\n\n")
    return Template(subject, text.rstrip("\n"))
