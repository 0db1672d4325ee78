"""The service's own tables, one class per table. Hand-written SQL writes them; the ORM only reads, in views."""

from forecast_service.tables import demand, forecasts, planning, runs
from forecast_service.tables.base import Base
from forecast_service.tables.demand import DemandProjected

__all__ = ["Base", "DemandProjected", "demand", "forecasts", "planning", "runs"]
