"""Cleaning: what runs learn instead of the demand of some days, and how people judge it."""

from crossdock_chassis import Coalescer, Database, Feature, each
from forecast_service.cleaning import http
from forecast_service.cleaning.judge import judge_decision
from forecast_service.cleaning.views import DecisionView


def feature(database: Database) -> Feature:
    judge = Coalescer(database, each(judge_decision), DecisionView, limit=1)
    return Feature(routers=[http.router], provides=[http.Cleaning(database, judge)], problems=http.PROBLEMS)
