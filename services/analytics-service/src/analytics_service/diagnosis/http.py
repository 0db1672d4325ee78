"""The diagnosis of an order over HTTP, for operators."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request

from analytics_service.asking import token_of
from analytics_service.diagnosis.gather import Gatherer, Refused
from analytics_service.diagnosis.model import Diagnosis, diagnose
from crossdock_chassis import Operations, OpsReader, Problem, Refusal, errors, limited, provided

UNKNOWN: Final = Problem(404, "no-such-order", "No service knows this order; the log keeps 30 days")
ORDERS_AWAY: Final = Problem(
    503,
    "order-service-away",
    "order-service does not answer, and the log has no event of this order; wait Retry-After seconds, then retry",
    headers={"Retry-After": "5"},
)

GathererDep = Annotated[Gatherer, provided(Gatherer)]
OperationsDep = Annotated[Operations, provided(Operations)]
router = APIRouter(prefix="/v1/orders", tags=["orders"])


@router.get(
    "/{order_id}/diagnosis",
    dependencies=[limited("events")],
    responses=errors(UNKNOWN, ORDERS_AWAY),
    summary="Explain what an order waits for, and what to do",
)
async def get_diagnosis(
    order_id: UUID, request: Request, caller: OpsReader, gatherer: GathererDep, operations: OperationsDep
) -> Diagnosis:
    """Return what the order waits for and why, its place in the queue, what happens next, and what a person can do.

    order-service and inventory-service are asked with your token, at most 2 seconds. If one does not answer, the rest
    still comes, and `notes` lists what is missing.
    """
    try:
        facts = await gatherer.facts(order_id, token_of(request), operations)
    except Refused as refused:
        if refused.reason is None:
            raise Refusal(UNKNOWN, f"No order {order_id}") from refused
        raise Refusal(ORDERS_AWAY, f"order-service: {refused.reason}") from refused
    return diagnose(facts)
