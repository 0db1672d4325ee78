"""The bodies of requests about customers, with the rules of their values."""

import re
from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from crm_service.customers.consents import ConsentChannel, State
from crm_service.customers.reach import EMAIL, ChannelKind, is_region
from crossdock_chassis import Number

DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
EARLIEST: Final = date(1850, 1, 1)
MOST_FIELDS: Final = 50
_CLEAN: Final = r"^[^\x00-\x1f\x7f]+$"


def _day(value: object) -> object:
    """Read a day. Refuse numbers and times, which pydantic's own type accepts."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise ValueError("must be a day such as 1980-02-29")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a day of the calendar") from None


def _birthday(value: date) -> date:
    if value < EARLIEST:
        raise ValueError(f"must not be before {EARLIEST}")
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no time zone such as Europe/Berlin")
    return value


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value!r} is no region that has phone numbers, such as GB")
    return value


def _value(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """Report one error of the value, and not one for each type that it could have."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError("must be a text of at most 500 characters, a number, true or false") from None


def _boolean(value: object) -> object:
    """Refuse 0, which is equal to False."""
    if not isinstance(value, bool):
        raise ValueError("must be false")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200, pattern=_CLEAN)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=_CLEAN)]
Code = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")]
Tag = Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f,]{1,64}$")]
Tags = Annotated[list[Tag], Field(max_length=50), AfterValidator(lambda tags: sorted(set(tags)))]
Birthday = Annotated[date, BeforeValidator(_day), AfterValidator(_birthday)]
Zone = Annotated[str, Field(max_length=64), AfterValidator(_zone)]
Locale = Annotated[str, Field(pattern="^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$", examples=["zh-Hans-CN"])]
Region = Annotated[str, Field(pattern="^[A-Z]{2}$"), AfterValidator(_region)]
Email = Annotated[str, Field(max_length=254, pattern=EMAIL)]
Id = Annotated[UUID, Field(strict=False)]
FieldName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Real = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Choice = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Value = Annotated[
    Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] | bool | Whole | Real, WrapValidator(_value)
]


class Body(BaseModel):
    """Unknown members are refused, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ProfileIn(Body):
    """What to change. A member that is left out stays, and null clears it. A mail address is added."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada Example", "email": "ada@example.com"}]})

    name: Name | None = None
    email: Email | None = None
    born_on: Birthday | None = None
    zone: Zone | None = None
    locale: Locale | None = None
    region: Annotated[Region | None, Field(description="The region of its phone numbers")] = None
    owner: Annotated[Name | None, Field(description="The person of the company who looks after it")] = None
    parent_id: Annotated[Id | None, Field(description="The account that it belongs to")] = None
    tags: Tags | None = None
    fields: Annotated[
        dict[FieldName, Value | None] | None,
        Field(max_length=MOST_FIELDS, description="As `/v1/customers/schema` allows. Null removes a field"),
    ] = None


class ChannelIn(Body):
    kind: ChannelKind
    value: Annotated[str, Field(min_length=1, max_length=254, pattern=_CLEAN)]
    region: Annotated[Region | None, Field(description="Of a number without +; else the customer's region")] = None


class ChannelState(ChannelIn):
    """Whether a channel works. A member that is left out stays. Null as `undeliverable`: it works again."""

    verified: bool | None = None
    undeliverable: Annotated[Code | None, Field(examples=["mailbox_full"])] = None


class AddressIn(Body):
    purpose: Code = "home"
    street: Line
    extra: Line | None = None
    city: Line
    region: Line | None = None
    postcode: Annotated[str, Field(min_length=1, max_length=20, pattern=_CLEAN)] | None = None
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]


class OtherCustomer(Body):
    customer_id: Id


class AddressId(Body):
    address_id: Id


class CustomerDraft(ProfileIn):
    """A new customer. It is compared with the known ones, and nothing is merged."""

    kind: Literal["person", "account"] = "person"
    channels: Annotated[list[ChannelIn], Field(max_length=20)] = []
    addresses: Annotated[list[AddressIn], Field(max_length=20)] = []

    @model_validator(mode="after")
    def _is_known_by_something(self) -> "CustomerDraft":
        if self.name is None and self.email is None and not self.channels:
            raise ValueError("give a name, a mail address or a phone number")
        return self


class ConsentIn(Body):
    """A consent that the customer gave or withdrew, and where it did so."""

    purpose: Annotated[Code, Field(examples=["marketing"])]
    channel: ConsentChannel
    state: State
    source: Annotated[Code, Field(examples=["phone_call"])]


class FieldRule(Body):
    """The rule of one field, in keywords of JSON Schema. Patterns and references are left out: they have no bound."""

    type: Literal["string", "integer", "number", "boolean"]
    title: Line | None = None
    enum: Annotated[list[Choice], Field(min_length=1, max_length=100)] | None = None
    maxLength: Annotated[int, Number(0, 500)] | None = None
    minimum: Real | None = None
    maximum: Real | None = None
    format: Literal["date", "email"] | None = None


class FieldSchema(Body):
    """A JSON Schema (2020-12) of the fields that staff add to customers."""

    type: Literal["object"] = "object"
    properties: Annotated[dict[FieldName, FieldRule], Field(max_length=MOST_FIELDS)]
    required: Annotated[list[FieldName], Field(max_length=MOST_FIELDS)] = []
    additionalProperties: Annotated[Literal[False], BeforeValidator(_boolean)] = False

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)
