"""The channels by which a customer is reached: mail addresses and phone numbers, checked without a look-up. Pure."""

from typing import Final, Literal, NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat

from crm_service.customers.model import WrongValue, match_of

ChannelKind = Literal["email", "phone"]
EMAIL: Final = r"^[^\s@<>,;:\"\\\x00-\x1f\x7f]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,187}[A-Za-z0-9])?$"


class Channel(NamedTuple):
    """`match` is the form that is compared: E.164 of a number. `region` is that of a number without +."""

    kind: ChannelKind
    match: str
    address: str
    region: str | None = None


def email_of(address: str, pointer: str = "/email") -> Channel:
    """Return the channel of a mail address. Raise WrongValue. Domains of tests are accepted, and no DNS is asked."""
    try:
        validate_email(address, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise WrongValue(pointer, str(error)) from None
    return Channel("email", match_of(address), address)


def phone_of(number: str, region: str | None, pointer: str = "/value") -> Channel:
    """Return the channel of a phone number in the notation of its region (ISO 3166-1 alpha-2). Raise WrongValue.

    A number without + means another subscriber in each region, so it needs one. Its length is checked, and not whether
    it is assigned: plans of numbers change faster than any list of them.
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException as error:
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE and region is None and "+" not in number:
            raise WrongValue("/region", "a number without + needs the region in which it is dialled") from None
        raise WrongValue(pointer, "is no phone number such as +44 20 7183 8750") from None
    if not phonenumbers.is_possible_number(parsed):
        raise WrongValue(pointer, "is too long or too short for a phone number of its region")
    match = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    if parsed.extension:
        match += f";ext={parsed.extension}"
    return Channel("phone", match, number, None if number.lstrip().startswith("+") else region)


def is_region(code: str) -> bool:
    return code in phonenumbers.SUPPORTED_REGIONS


def channel_of(kind: ChannelKind, value: str, region: str | None) -> Channel:
    """Return the channel. Raise WrongValue with the pointer `/value` or `/region`."""
    return email_of(value, "/value") if kind == "email" else phone_of(value, region)
