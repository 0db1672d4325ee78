"""What-ifs: forecasts with changes, which runners compute and nobody stores."""

from crossdock_chassis import Coalescer, Database, Feature, each, every
from forecast_service.runs.engine import ChildEngine
from forecast_service.runs.loop import Loop
from forecast_service.runs.request import Request
from forecast_service.settings import Settings
from forecast_service.what_if import http
from forecast_service.what_if.ask import Asker, Asking
from forecast_service.what_if.compute import Answer
from forecast_service.what_if.forget import forget_what_ifs

FORGET_SECONDS = 300.0


def feature(database: Database, settings: Settings) -> Feature:
    ask = Asker(Request(settings.zones, settings.chunk_series)).ask
    engine = ChildEngine()
    return Feature(
        routers=[http.router],
        provides=[http.WhatIfs(database, Coalescer(database, each(ask), Asking, limit=1, name="ask_what_if"))],
        jobs=[every(FORGET_SECONDS, forget_what_ifs)],
        problems=http.PROBLEMS,
        computing={"what-ifs": Loop("what-ifs", database, engine, Answer(database, engine, settings.zones).turn)},
    )
