"""Runs: requested, computed by runners, shown, cancelled and resumed."""

from crossdock_chassis import Coalescer, Database, Feature, each, every, every_in_units
from forecast_service.runs import http
from forecast_service.runs.cancel import cancel_run
from forecast_service.runs.compute import Compute
from forecast_service.runs.dask_engine import DaskEngine
from forecast_service.runs.engine import ChildEngine, Engine
from forecast_service.runs.forget import forget_runs
from forecast_service.runs.loop import Loop
from forecast_service.runs.nightly import Nightly
from forecast_service.runs.reconcile import reconcile_run
from forecast_service.runs.request import Request, Requested
from forecast_service.runs.resume import resume_run
from forecast_service.runs.views import RunView
from forecast_service.settings import Settings

NIGHTLY_SECONDS = 60.0
FORGET_SECONDS = 3600.0


def feature(database: Database, settings: Settings) -> Feature:
    engine = _engine(settings)
    compute = Compute(database, settings.series_seconds, engine, settings.zones)
    request = Request(settings.zones, settings.chunk_series)
    runs = http.Runs(
        database=database,
        request=Coalescer(database, each(request.request_run), Requested, limit=1, name="request_run"),
        cancel=Coalescer(database, each(cancel_run), RunView, limit=1),
        resume=Coalescer(database, each(resume_run), RunView, limit=1),
        reconcile=Coalescer(database, each(reconcile_run), RunView, limit=1),
    )
    return Feature(
        routers=[http.router],
        provides=[runs],
        jobs=[
            every(NIGHTLY_SECONDS, Nightly(request, settings.nightly_levels).request_nightly_run),
            every_in_units(FORGET_SECONDS, forget_runs),
        ],
        problems=http.PROBLEMS,
        computing={"runs": Loop("runs", database, engine, compute.turn)},
    )


def _engine(settings: Settings) -> Engine:
    return ChildEngine() if settings.forecast_engine == "child" else DaskEngine(settings.forecast_engine)
