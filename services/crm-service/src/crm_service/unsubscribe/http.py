"""The link that ends notices (RFC 8058). Mail scanners follow links, so GET changes nothing and POST acts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response

from crm_service.post.address import Addresses, Link
from crm_service.post.compose import UNSUBSCRIBE
from crm_service.unsubscribe.act import Unsubscribe, Unsubscribed
from crossdock_chassis import COMMAND_PROBLEMS, Coalescer, Problem, errors, provided

NO_SUCH_LINK: Final = Problem(404, "no-such-link", "The link is not one of ours; copy it whole from the mail")
EXPIRED: Final = Problem(410, "link-expired", "The link has expired; use the one in a newer mail, or write to us")


class NoSuchLink(Exception):
    pass


class LinkExpired(Exception):
    pass


PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchLink: NO_SUCH_LINK, LinkExpired: EXPIRED}
PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Unsubscribe</title>
<p>Get no more notices by mail? We still answer what you write to us.<br>
如不再接收通知邮件, 请点击退订。我们仍会回复您的来信。</p>
<form method="post"><button>Unsubscribe 退订</button></form></html>
"""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}
AS_PAGE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
Token = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{30,80}$", description="From the link of a notice")]


@dataclass(frozen=True, slots=True)
class Unsubscribing:
    """The dependencies of the routes."""

    addresses: Addresses
    act: Coalescer[Unsubscribe, Unsubscribed]

    def opened(self, token: str) -> Link:
        """Return what the link is for. Raise NoSuchLink, LinkExpired."""
        link = self.addresses.opened(UNSUBSCRIBE, token)
        if link is None:
            raise NoSuchLink("The link is altered, or has another purpose")
        if link.expires < datetime.now(UTC):
            raise LinkExpired(f"It expired on {link.expires.date()}")
        return link


UnsubscribingDep = Annotated[Unsubscribing, provided(Unsubscribing)]
router = APIRouter(prefix="/v1/unsubscribe", tags=["unsubscribe"])


@router.get(
    "/{token}",
    response_class=Response,
    responses={**AS_PAGE, **errors(NO_SUCH_LINK, EXPIRED)},
    summary="Show the page of a link, which changes nothing",
)
async def get_unsubscribe(token: Token, unsubscribing: UnsubscribingDep) -> Response:
    unsubscribing.opened(token)
    return Response(PAGE, headers=HEADERS, media_type="text/html")


@router.post(
    "/{token}",
    responses=errors(NO_SUCH_LINK, EXPIRED, *COMMAND_PROBLEMS),
    summary="Get no more notices by mail",
)
async def post_unsubscribe(token: Token, unsubscribing: UnsubscribingDep) -> Unsubscribed:
    """Act on the link of a mail, as mail programs do by themselves. A repeated call changes nothing."""
    return (await unsubscribing.act(Unsubscribe(unsubscribing.opened(token).address))).result
