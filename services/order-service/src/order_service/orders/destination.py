"""The destination of an order: exact enough for sourcing and planning, too coarse to identify a person. Pure."""

from crossdock_events.orders import Destination
from order_service.orders.draft import Address


def destination_of(address: Address) -> Destination:
    """Return country, region and outward postcode of an address."""
    postcode = None if address.postcode is None else outward(address.country, address.postcode)
    return Destination(country=address.country, region=address.region, postcode_outward=postcode)


def outward(country: str, postcode: str) -> str | None:
    """Return the district of a postcode.

    In GB that is the outward code: all but the last three characters, which are the inward code with or without a space
    before them. Elsewhere it is the first three characters.
    """
    text = postcode.strip().upper()
    if country == "GB":
        before, space, _ = text.partition(" ")
        text = before if space else text[:-3]
        return text[:4] or None
    return text[:3].rstrip() or None
