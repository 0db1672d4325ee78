"""Who is who: the namespace of a partner's customer ids, and the form in which mail addresses are compared. Pure."""

import unicodedata
from collections.abc import Mapping
from fnmatch import fnmatchcase


class CustomerError(Exception):
    """A request about a customer that is refused."""


class NoSuchCustomer(CustomerError):
    pass


class AddressTaken(CustomerError):
    """Another customer has this mail address."""

    def __init__(self) -> None:
        detail = "another customer has this mail address"
        super().__init__(detail)
        self.errors = [{"pointer": "/email", "detail": detail, "code": "taken"}]


def namespace_of(partner: str, shared: Mapping[str, str]) -> str:
    """Return the namespace in which a partner's customer ids are unique. The first pattern that matches counts.

    The prefixes keep a shared namespace apart from a partner with the same name.
    """
    for pattern, name in shared.items():
        if fnmatchcase(partner, pattern):
            return f"shared/{name}"
    return f"partner/{partner}"


def match_of(address: str) -> str:
    """Return the form in which a mail address is compared: NFKC, in lower case.

    The part before the @ may differ by case (RFC 5321, 2.4). No mail provider makes use of it.
    """
    return unicodedata.normalize("NFKC", address).casefold()
