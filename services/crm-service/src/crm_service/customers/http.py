"""Customers over HTTP: parse, call, render."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from crm_service.conventions import CRM, Id, Reader, Staff
from crm_service.customers import change, past, views
from crm_service.customers.bodies import (
    AddressId,
    AddressIn,
    ChannelIn,
    ChannelState,
    ConsentIn,
    CustomerDraft,
    FieldSchema,
    OtherCustomer,
    ProfileIn,
    Region,
)
from crm_service.customers.change import Apply, ChangeCustomer, Changed
from crm_service.customers.consent import RecordConsent
from crm_service.customers.create import CreateCustomer, Created
from crm_service.customers.listing import Wanted
from crm_service.customers.merge import Did, MergeCustomers
from crm_service.customers.model import (
    AddressTaken,
    AlreadyMerged,
    CustomerErased,
    NoSuchCustomer,
    WrongValue,
    match_of,
)
from crm_service.customers.past import ChangeView, SaidView
from crm_service.customers.personal import eyes_of, note_read
from crm_service.customers.problems import ADDRESS_TAKEN, ALREADY_MERGED, CUSTOMER_ERASED, NO_SUCH_CUSTOMER
from crm_service.customers.reach import EMAIL, phone_of
from crm_service.customers.schema import SchemaView, SetSchema, current
from crm_service.customers.views import CustomerSummary, CustomerView, MergePreview, SuspectPair
from crossdock_chassis import (
    INVALID,
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    IfMatch,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    Refusal,
    cause,
    errors,
    etag,
    json_response,
    provided,
)
from crossdock_chassis import IdempotencyKey as Key
from crossdock_chassis import IfMatch as Match
from crossdock_events import Cause

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchCustomer: NO_SUCH_CUSTOMER,
    AddressTaken: ADDRESS_TAKEN,
    AlreadyMerged: ALREADY_MERGED,
    CustomerErased: CUSTOMER_ERASED,
    WrongValue: INVALID,
}


@dataclass(frozen=True, slots=True)
class Customers:
    """The dependencies of the routes."""

    database: Database
    create: Coalescer[CreateCustomer, Created]
    change: Coalescer[ChangeCustomer, Changed]
    consent: Coalescer[RecordConsent, Changed]
    schema: Coalescer[SetSchema, SchemaView]
    merge: Coalescer[MergeCustomers, Changed]
    digest: views.Digest

    async def join(self, did: Did, asked: "Asked", body: OtherCustomer) -> Response:
        """Decide about two customers, and render the one of the path."""
        command = MergeCustomers(did, asked.id, body.customer_id, asked.caller.actor, asked.match, asked.why)
        done = await self.merge(command, asked.key.of(body))
        return await self.show(asked.caller, asked.id, replayed=done.replayed)

    async def do(self, did: str, apply: Apply, asked: "Asked", body: BaseModel) -> Response:
        """Change a customer and render it."""
        command = ChangeCustomer(asked.id, did, apply, asked.caller.actor, asked.match, asked.why)
        done = await self.change(command, asked.key.of(body))
        return await self.show(asked.caller, asked.id, replayed=done.replayed)

    async def show(self, caller: Caller, id: UUID, status: int = 200, **headers: Any) -> Response:
        eyes = eyes_of(caller)
        async with self.database.unit() as unit:
            view = await views.get(unit.sql, caller.partner or None, id, eyes, self.digest)
            await note_read(unit, caller, eyes, f"/v1/customers/{view.id}")
        return json_response(view, status, etag=etag(view.version), **headers)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the routes that change a customer share."""

    id: UUID
    caller: Caller
    why: Cause
    key: Key
    match: Match


async def _asked(
    customer_id: UUID, caller: Staff, why: Annotated[Cause, cause], key: IdempotencyKey, match: IfMatch
) -> Asked:
    return Asked(customer_id, caller, why, key, match)


AskedDep = Annotated[Asked, Depends(_asked)]
CustomersDep = Annotated[Customers, provided(Customers)]
router = APIRouter(prefix="/v1/customers", tags=["customers"])
_ETAG: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": {"description": "Its version", "schema": {"type": "string"}}}}
}
CHANGING: Final[dict[str, Any]] = {
    "dependencies": CRM,
    "response_model": CustomerView,
    "responses": {**_ETAG, **errors(NO_SUCH_CUSTOMER, ADDRESS_TAKEN, ALREADY_MERGED, CUSTOMER_ERASED, INVALID)},
}


@router.get("", summary="List customers, newest first")
async def get_customers(
    caller: Reader,
    customers: CustomersDep,
    external_id: Annotated[Id | None, Query(description="Only with this id of a partner")] = None,
    order_id: Annotated[UUID | None, Query(description="Only the customer of this order")] = None,
    email: Annotated[str | None, Query(max_length=254, pattern=EMAIL, description="Only with this address")] = None,
    phone: Annotated[str | None, Query(min_length=1, max_length=50, description="Only with this number")] = None,
    region: Annotated[Region | None, Query(description="Where a number without + is dialled")] = None,
    name: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Only with these parts of the name")
    ] = None,
    parent_id: Annotated[UUID | None, Query(description="Only those that belong to this account; for staff")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[CustomerView]:
    """Return one page. A partner sees the customers that it has ordered for, and its own account."""
    eyes = eyes_of(caller)
    matches: tuple[str, ...] = () if email is None else (match_of(email),)
    if phone is not None:
        matches += (_number(phone, region),)
    if parent_id is not None and caller.partner:
        return Page(items=[])
    wanted = Wanted(external_id, order_id, matches, name, parent_id)
    async with customers.database.unit() as unit:
        page = await views.page(unit.sql, caller.partner or None, cursor, limit, eyes, wanted, customers.digest)
        if page.items:
            await note_read(unit, caller, eyes, "/v1/customers", ids=[each.id for each in page.items])
    return page


def _number(phone: str, region: str | None) -> str:
    """Return the form of a number that is compared. Raise Refusal 422."""
    try:
        return phone_of(phone, region).match
    except WrongValue as error:
        place = {"in": "query", "parameter": "phone", "detail": error.detail, "code": error.code}
        raise Refusal(INVALID, errors=[place]) from None


@router.post(
    "",
    status_code=201,
    dependencies=CRM,
    response_model=CustomerView,
    responses={
        201: {"headers": {"Location": {"description": "The customer", "schema": {"type": "string"}}}},
        **errors(ADDRESS_TAKEN, INVALID),
    },
    summary="Register a customer",
)
async def post_customer(
    body: CustomerDraft, caller: Staff, why: Annotated[Cause, cause], key: IdempotencyKey, customers: CustomersDep
) -> Response:
    done = await customers.create(CreateCustomer(body, caller.actor, why), key.of(body))
    id = done.result.customer_id
    return await customers.show(caller, id, 201, replayed=done.replayed, location=f"/v1/customers/{id}")


@router.get("/summary", summary="Count customers")
async def get_summary(caller: Staff, customers: CustomersDep) -> CustomerSummary:
    async with customers.database.unit() as unit:
        return await views.summary(unit.sql)


@router.get("/suspects", summary="List pairs of customers that may be the same, the likeliest first")
async def get_suspects(
    caller: Staff,
    customers: CustomersDep,
    import_id: Annotated[
        UUID | None, Query(description="Only with a customer that this import registered or changed")
    ] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[SuspectPair]:
    """Return pairs that no person has decided about: merge them, or dismiss the suspicion."""
    eyes = eyes_of(caller)
    async with customers.database.unit() as unit:
        page = await views.suspected(unit.sql, cursor, limit, eyes, import_id)
        if page.items:
            await note_read(unit, caller, eyes, "/v1/customers/suspects", pairs=len(page.items))
    return page


@router.get("/schema", summary="Show which fields staff added", response_model=SchemaView, responses=_ETAG)
async def get_schema(caller: Staff, customers: CustomersDep) -> Response:
    async with customers.database.unit() as unit:
        schema = await current(unit.sql)
    return json_response(schema, etag=etag(schema.version))


@router.put(
    "/schema",
    dependencies=CRM,
    response_model=SchemaView,
    responses=_ETAG,
    summary="Declare the fields that customers may have",
)
async def put_schema(body: FieldSchema, caller: Staff, match: IfMatch, customers: CustomersDep) -> Response:
    """Replace the schema. Fields that customers have stay, and are checked when they change."""
    schema = (await customers.schema(SetSchema(body, caller.actor, match))).result
    return json_response(schema, etag=etag(schema.version))


@router.get(
    "/{customer_id}",
    summary="Show a customer",
    response_model=CustomerView,
    responses={**_ETAG, **errors(NO_SUCH_CUSTOMER)},
)
async def get_customer(customer_id: UUID, caller: Reader, customers: CustomersDep) -> Response:
    """Show the customer. The id of one that was merged shows the customer that took it in."""
    return await customers.show(caller, customer_id)


@router.get("/{customer_id}/history", summary="List what changed", responses=errors(NO_SUCH_CUSTOMER))
async def get_history(
    customer_id: UUID, caller: Staff, customers: CustomersDep, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[ChangeView]:
    """Return each value that changed, from what to what, and who changed it; the newest first."""
    eyes = eyes_of(caller)
    async with customers.database.unit() as unit:
        page = await past.history(unit.sql, customer_id, cursor, limit, eyes)
        await note_read(unit, caller, eyes, f"/v1/customers/{customer_id}/history")
    return page


@router.get("/{customer_id}/consents", summary="List consents, given and withdrawn", responses=errors(NO_SUCH_CUSTOMER))
async def get_consents(
    customer_id: UUID, caller: Staff, customers: CustomersDep, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[SaidView]:
    """Return each consent that was given or withdrawn, the newest first, also of what was merged into the customer."""
    async with customers.database.unit() as unit:
        return await past.said(unit.sql, customer_id, cursor, limit)


@router.patch("/{customer_id}", **CHANGING, summary="Change the profile, or add a mail address")
async def patch_customer(body: ProfileIn, asked: AskedDep, customers: CustomersDep) -> Response:
    """Change what the body names; null clears it. Mails from an added address then belong to this customer."""
    return await customers.do("describe", change.describe(body), asked, body)


@router.post("/{customer_id}:add-channel", **CHANGING, summary="Add a mail address or a phone number")
async def post_channel(body: ChannelIn, asked: AskedDep, customers: CustomersDep) -> Response:
    return await customers.do("add-channel", change.add_channel(body), asked, body)


@router.post("/{customer_id}:set-channel", **CHANGING, summary="Set whether a channel works")
async def post_channel_state(body: ChannelState, asked: AskedDep, customers: CustomersDep) -> Response:
    return await customers.do("set-channel", change.set_channel(body), asked, body)


@router.post("/{customer_id}:remove-channel", **CHANGING, summary="Remove a mail address or a phone number")
async def post_channel_removal(body: ChannelIn, asked: AskedDep, customers: CustomersDep) -> Response:
    return await customers.do("remove-channel", change.remove_channel(body), asked, body)


@router.post("/{customer_id}:add-address", **CHANGING, summary="Add a postal address")
async def post_address(body: AddressIn, asked: AskedDep, customers: CustomersDep) -> Response:
    return await customers.do("add-address", change.add_address(body), asked, body)


@router.post("/{customer_id}:remove-address", **CHANGING, summary="Remove a postal address")
async def post_address_removal(body: AddressId, asked: AskedDep, customers: CustomersDep) -> Response:
    return await customers.do("remove-address", change.remove_address(body), asked, body)


@router.post("/{customer_id}:consent", **CHANGING, summary="Record that the customer gave or withdrew a consent")
async def post_consent(body: ConsentIn, asked: AskedDep, customers: CustomersDep) -> Response:
    """Record it. The last one for a purpose and channel counts, and all are kept."""
    command = RecordConsent(asked.id, body, asked.caller.actor, asked.match, asked.why)
    done = await customers.consent(command, asked.key.of(body))
    return await customers.show(asked.caller, asked.id, replayed=done.replayed)


@router.get(
    "/{customer_id}/merge-preview",
    summary="Show what a merge would give",
    responses=errors(NO_SUCH_CUSTOMER, INVALID),
)
async def get_merge_preview(
    customer_id: UUID,
    other_id: Annotated[UUID, Query(description="The customer that would be merged into this one")],
    caller: Staff,
    customers: CustomersDep,
) -> MergePreview:
    """Return both customers, why they may be the same, and the customer after the merge. Nothing changes."""
    eyes = eyes_of(caller)
    async with customers.database.unit() as unit:
        preview = await views.preview(unit.sql, customer_id, other_id, eyes, customers.digest)
        await note_read(unit, caller, eyes, f"/v1/customers/{preview.into.id}", ids=[preview.merged.id])
    return preview


@router.post("/{customer_id}:merge", **CHANGING, summary="Merge another customer into this one")
async def post_merge(body: OtherCustomer, asked: AskedDep, customers: CustomersDep) -> Response:
    """Keep every value and link of both, and the stricter consent. The other id then shows this customer."""
    return await customers.join("merge", asked, body)


@router.post("/{customer_id}:unmerge", **CHANGING, summary="Take a merge back")
async def post_unmerge(body: OtherCustomer, asked: AskedDep, customers: CustomersDep) -> Response:
    """Restore both customers. Changes since the merge stay with this one, and a withdrawn consent with both."""
    return await customers.join("unmerge", asked, body)


@router.post("/{customer_id}:dismiss", **CHANGING, summary="Dismiss the suspicion that another customer is the same")
async def post_dismissal(body: OtherCustomer, asked: AskedDep, customers: CustomersDep) -> Response:
    """Keep both apart. The pair is not suspected again."""
    return await customers.join("dismiss", asked, body)
