"""What needs attention, over HTTP, for operators."""

from typing import Annotated, Final

from fastapi import APIRouter, Request

from analytics_service.asking import token_of
from analytics_service.attention.gather import Gatherer
from analytics_service.attention.model import Attention
from crossdock_chassis import OpsReader, limited, provided

AT_ONCE: Final = 8
"""Requests of one person: each tab that shows the page sends one at a time."""

GathererDep = Annotated[Gatherer, provided(Gatherer)]
router = APIRouter(prefix="/v1/attention", tags=["operations"])


@router.get("", dependencies=[limited("attention", at_once=AT_ONCE)], summary="List what needs attention, by cause")
async def get_attention(request: Request, caller: OpsReader, gatherer: GathererDep) -> Attention:
    """Return a row for each cause, the gravest first, with the page that explains it and the call that fixes it.

    The services are asked with the caller's token, each for at most two seconds. A service that does not answer has a
    row of its own, because nothing is known of it. `checked` lists all that was looked at, also without a row.
    """
    return await gatherer.attention(token_of(request))
