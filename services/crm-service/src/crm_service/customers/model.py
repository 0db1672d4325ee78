"""Who is who: namespaces of customer ids, profiles, and the form in which mail addresses are compared. Pure."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from uuid import UUID


class CustomerError(Exception):
    """A request about a customer that is refused."""


class NoSuchCustomer(CustomerError):
    pass


class CustomerErased(CustomerError):
    """The customer was erased, or is to be erased and so cannot be merged."""


class AddressTaken(CustomerError):
    """Another customer has this mail address."""

    def __init__(self) -> None:
        detail = "another customer has this mail address"
        super().__init__(detail)
        self.errors = [{"pointer": "/email", "detail": detail, "code": "taken"}]


class WrongValue(CustomerError):
    """A value that breaks a rule which the form of the request cannot show."""

    def __init__(self, pointer: str, detail: str, code: str = "wrong_value") -> None:
        super().__init__(detail)
        self.pointer, self.detail, self.code = pointer, detail, code
        self.errors = [{"pointer": pointer, "detail": detail, "code": code}]

    def inside(self, pointer: str) -> "WrongValue":
        """Return the error with the pointer of the member that has the value."""
        return WrongValue(pointer + self.pointer, self.detail, self.code)


class AlreadyMerged(CustomerError):
    """The customer was merged, so that only the customer that took it in can change."""

    def __init__(self, id: UUID, root: UUID) -> None:
        super().__init__(f"the customer {id} was merged into {root}; send the request to that customer")
        self.root, self.extra = root, {"merged_into": str(root)}


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a customer beside its channels and addresses. `region` is that of its phone numbers."""

    name: str | None = None
    born_on: date | None = None
    zone: str | None = None
    locale: str | None = None
    region: str | None = None
    owner: str | None = None
    parent_id: UUID | None = None
    tags: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


class Customer(NamedTuple):
    """A locked customer."""

    id: UUID
    kind: str
    version: int
    profile: Profile


class Change(NamedTuple):
    """A value of a customer that changed. `part` is a code of `CustomerUpdated`."""

    part: str
    name: str
    before: Any
    after: Any


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
