"""Series: what competed for their forecasts, and their plots."""

from crossdock_chassis import Database, Feature
from forecast_service.series import http
from forecast_service.series.plots import DRAWING, Plots
from forecast_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    plots = Plots(DRAWING)
    return Feature(
        routers=[http.router],
        provides=[http.AllSeries(database, settings.zones, plots)],
        problems=http.PROBLEMS,
        parts={"plots": plots},
    )
