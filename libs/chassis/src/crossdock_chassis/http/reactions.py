"""Which events a service reads, in every service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter

from crossdock_chassis.feature import Feature
from crossdock_chassis.http.auth import OpsReader
from crossdock_chassis.http.conventions import Page
from crossdock_chassis.http.dependencies import provided
from crossdock_chassis.projections.reads import DeclaredReaction


@dataclass(frozen=True, slots=True)
class Reactions:
    declared: Sequence[DeclaredReaction]


ReactionsDep = Annotated[Reactions, provided(Reactions)]
router = APIRouter(prefix="/v1/reactions", tags=["operations"])


def feature(declared: Sequence[DeclaredReaction]) -> Feature:
    return Feature(routers=[router], provides=[Reactions(declared)])


@router.get("", summary="List the events that the service reads, and its handlers")
async def get_reactions(caller: OpsReader, of: ReactionsDep) -> Page[DeclaredReaction]:
    """Return what this version of the service declares. `/v1/operations` shows how far its consumer groups are."""
    return Page(items=[*of.declared])
