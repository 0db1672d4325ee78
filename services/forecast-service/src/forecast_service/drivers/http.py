"""Planned drivers over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from crossdock_chassis import (
    COMMAND_PROBLEMS,
    INVALID,
    Caller,
    Coalescer,
    Database,
    IdempotencyKey,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    Refusal,
    Timestamp,
    UploadDep,
    errors,
    json_response,
    provided,
    requires,
    uploads,
)
from forecast_service.conventions import FORECASTS, Day, Id, PlannedDay, Reader, Writer
from forecast_service.drivers import views
from forecast_service.drivers.kinds import DRIVERS, MOST, Name, driver_of
from forecast_service.drivers.model import NoSuchDriver, TooManyDrivers, faults
from forecast_service.drivers.plan import PlanDriver, Planned, WithdrawDriver
from forecast_service.drivers.views import DriverView
from forecast_service.fitting.series import Elsewhere

CSV: Final = "text/csv"
NO_SUCH_DRIVER: Final = Problem(404, "no-such-driver", "No planned driver has this id")
TOO_MANY_DRIVERS: Final = Problem(422, "too-many-drivers", "More drivers would have plans than there may be")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchDriver: NO_SUCH_DRIVER,
    TooManyDrivers: TOO_MANY_DRIVERS,
}
CHANGES: Final = (
    "Each row is a plan. For the same days, a plan of an item replaces one of its category, and both replace one of "
    "all items; of equal ones the newest counts. A row equal to the newest plan changes nothing."
)
TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}


@dataclass(frozen=True, slots=True)
class Drivers:
    """The dependencies of the routes."""

    database: Database
    plan: Coalescer[PlanDriver, Planned]
    withdraw: Coalescer[WithdrawDriver, DriverView]


DriversDep = Annotated[Drivers, provided(Drivers)]
Importer = Annotated[Caller, requires("forecasts:write")]
router = APIRouter(prefix="/v1", tags=["drivers"])


class DriverIn(BaseModel):
    """Without item and category the plan is for all items, and without a location it is for all locations.

    A plan for a location counts for forecasts of that location, and not for those of whole items.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name
    first_day: PlannedDay
    last_day: Annotated[PlannedDay | None, Field(description="Without it, the plan has no end")] = None
    value: Annotated[float, Field(strict=True, ge=-MOST, le=MOST, allow_inf_nan=False)]
    item_id: Id | None = None
    category: Id | None = None
    location_id: Id | None = None
    elsewhere: Annotated[
        Elsewhere | None,
        Field(description="What the driver is on days without a plan: zero, but a price is unknown"),
    ] = None
    known_from: Annotated[
        Timestamp | None,
        Field(description="When it became known: forecasts of earlier origins do not know it. Without it, now"),
    ] = None


@router.post(
    "/drivers",
    dependencies=FORECASTS,
    status_code=201,
    response_model=DriverView,
    summary="Plan a value of a driver, such as a price or a promotion",
    responses=errors(TOO_MANY_DRIVERS),
)
async def post_driver(body: DriverIn, caller: Writer, key: IdempotencyKey, drivers: DriversDep) -> Response:
    """Return the plan. It cannot be changed: plan another value for the same days, or withdraw it.

    Forecasts use it from the next run on. A price counts by its ratio to the usual one. Any other driver counts by its
    value, such as 1 for a promotion and 0 for none.
    """
    driver = driver_of(body.model_dump())
    if wrong := faults(driver):
        raise Refusal(
            INVALID, errors=[{"pointer": f"/{name}", "detail": each, "code": "conflict"} for name, each in wrong]
        )
    done = await drivers.plan(PlanDriver(driver, caller.actor), key.of(body))
    return json_response(done.result.driver, 201, replayed=done.replayed, location=done.result.driver.path)


@router.get("/drivers", summary="List planned drivers, the newest first")
async def get_drivers(
    caller: Reader,
    drivers: DriversDep,
    name: Annotated[Name | None, Query(description="Only of this driver")] = None,
    item_id: Annotated[Id | None, Query(description="Only those that are for this item alone")] = None,
    category: Annotated[Id | None, Query(description="Only those that are for this category")] = None,
    location_id: Annotated[Id | None, Query(description="Only those that are for this location")] = None,
    day: Annotated[Day | None, Query(description="Only those that are planned for this day")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[DriverView]:
    """Return a page of the plans that are not withdrawn."""
    before = views.DRIVERS.decode(cursor)
    async with drivers.database.unit() as unit:
        return await views.page(unit.sql, name, (item_id, category, location_id), day, before, limit)


@router.get("/drivers/{id}", summary="Show a planned driver", responses=errors(NO_SUCH_DRIVER))
async def get_driver(id: UUID, caller: Reader, drivers: DriversDep) -> DriverView:
    async with drivers.database.unit() as unit:
        return await views.get(unit.sql, id)


@router.delete(
    "/drivers/{id}",
    dependencies=FORECASTS,
    summary="Withdraw a planned driver",
    responses=errors(NO_SUCH_DRIVER, *COMMAND_PROBLEMS),
)
async def delete_driver(id: UUID, caller: Writer, drivers: DriversDep) -> DriverView:
    """Return the plan. Origins from now on do not know it. It stays stored, because earlier ones did."""
    return (await drivers.withdraw(WithdrawDriver(id, caller.actor))).result


@router.post("/drivers:import", summary="Import a CSV file of planned drivers", **uploads(DRIVERS, CHANGES))
async def import_drivers(caller: Importer, upload: UploadDep) -> Response:
    return await upload(caller, DRIVERS)


@router.get(
    "/drivers:template",
    summary="Download a CSV template of planned drivers: the columns and one example row",
    response_class=Response,
    responses=TEMPLATE,
)
async def get_drivers_template(caller: Reader) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{DRIVERS.name}.csv"'}
    return Response(DRIVERS.sheet().template, headers=headers, media_type=CSV)
