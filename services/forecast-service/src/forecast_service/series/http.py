"""Series over HTTP: what competed for their forecasts, and their plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from crossdock_chassis import (
    Database,
    IfNoneMatch,
    Page,
    PageCursor,
    PageLimit,
    Problem,
    errors,
    etag,
    limited,
    provided,
)
from forecast_service.conventions import Id, Reader
from forecast_service.places import Zones
from forecast_service.series import views
from forecast_service.series.plots import Format, NotDrawn, Plots, key_of
from forecast_service.series.views import NoForecastOfSeries, NoSuchSeries, SeriesSummary, SeriesView

NO_SUCH_SERIES: Final = Problem(404, "no-such-series", "No series has this id")
NO_FORECAST_OF_SERIES: Final = Problem(404, "no-forecast-of-series", "No run has made a forecast of this series")
NOT_DRAWN: Final = Problem(
    503, "plot-not-drawn", "The plot could not be drawn; try again in a minute", headers={"Retry-After": "60"}
)
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    NoSuchSeries: NO_SUCH_SERIES,
    NoForecastOfSeries: NO_FORECAST_OF_SERIES,
    NotDrawn: NOT_DRAWN,
}
PLOTS_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class AllSeries:
    """The dependencies of the routes."""

    database: Database
    zones: Zones
    plots: Plots


AllSeriesDep = Annotated[AllSeries, provided(AllSeries)]
router = APIRouter(prefix="/v1/series", tags=["series"])


@router.get("", summary="List the series that runs have forecast")
async def get_all_series(
    caller: Reader,
    series: AllSeriesDep,
    item_id: Annotated[Id | None, Query(description="Only those of this item")] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[SeriesSummary]:
    """Return one page in the order of their ids."""
    after = views.SERIES.decode(cursor)
    async with series.database.unit() as unit:
        return await views.page(unit.sql, item_id, after, limit)


@router.get(
    "/{series_id}",
    summary="Show a series, and which models competed for its forecast",
    responses=errors(NO_SUCH_SERIES),
)
async def get_series(series_id: UUID, caller: Reader, series: AllSeriesDep) -> SeriesView:
    async with series.database.unit() as unit:
        return await views.get(unit.sql, series_id)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of the past is drawn, and how large. FastAPI reads the fields from the query."""

    days: Annotated[int, Query(ge=7, le=1100, description="Days of demand before the forecast")] = 120
    width: Annotated[int, Query(ge=320, le=2000, description="Pixels")] = 960
    height: Annotated[int, Query(ge=200, le=1200, description="Pixels")] = 420


SizeDep = Annotated[Size, Depends()]


def _shows(media_type: str) -> dict[int | str, dict[str, Any]]:
    tag = {"ETag": {"description": "Changes if the plot does", "schema": {"type": "string"}}}
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": "The plot", "headers": tag, "content": content},
        304: {"description": "Your copy is current", "headers": tag},
        **errors(NO_SUCH_SERIES, NO_FORECAST_OF_SERIES, NOT_DRAWN),
    }


SVG, PNG = "image/svg+xml", "image/png"


@router.get(
    "/{series_id}/plot.svg",
    dependencies=[limited("plots", at_once=PLOTS_AT_ONCE)],
    summary="Plot the demand of a series and its forecast",
    response_class=Response,
    responses=_shows(SVG),
)
async def get_svg(series_id: UUID, caller: Reader, series: AllSeriesDep, size: SizeDep, copy: IfNoneMatch) -> Response:
    """Return past demand, the mean and its quantiles, past forecasts and marked days. A text describes the plot."""
    return await _plot(series, series_id, size, copy, "svg", SVG)


@router.get(
    "/{series_id}/plot.png",
    dependencies=[limited("plots", at_once=PLOTS_AT_ONCE)],
    summary="Plot the demand of a series and its forecast as pixels",
    response_class=Response,
    responses=_shows(PNG),
)
async def get_png(series_id: UUID, caller: Reader, series: AllSeriesDep, size: SizeDep, copy: IfNoneMatch) -> Response:
    """Return the same as a PNG, with the text in its metadata."""
    return await _plot(series, series_id, size, copy, "png", PNG)


async def _plot(
    series: AllSeries, id: UUID, size: Size, copy: IfNoneMatch, format: Format, media_type: str
) -> Response:
    async with series.database.unit() as unit:
        plot = await views.plot(unit.sql, series.zones, id, size.days, size.width, size.height)
    key = key_of(plot, format)
    current = bool(copy.tags & {etag(key), "*"})
    content = b"" if current else await series.plots.draw(key, plot, format)
    return copy.answer(etag(key), content, media_type)
