"""What an answer needs that stays open: it is not counted in latencies, and it ends with its token."""

from fastapi import Request

from crossdock_chassis.http.request import state_of
from crossdock_chassis.problems import UNAUTHENTICATED, Refusal


def streamed(request: Request) -> bool:
    """Leave the request out of the latencies. Return whether the client wants the head alone."""
    state = state_of(request)
    state.streamed = True
    return state.without_body


async def still_valid(request: Request) -> bool:
    """Return whether the token of the request is valid now. It counts as valid while the issuer cannot be reached."""
    state = state_of(request)
    authorization = state.headers.get(b"authorization", b"")
    try:
        return bool(state.verifier.known(authorization) or await state.verifier.verify(authorization))
    except Refusal as refused:
        return refused.problem is not UNAUTHENTICATED
