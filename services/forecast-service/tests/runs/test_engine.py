import asyncio

import pytest
from pydantic import ValidationError

from crossdock_chassis import ChildBroken, Service
from forecast_service.runs.compute import Compute
from forecast_service.runs.dask_engine import DaskEngine
from forecast_service.runs.loop import Loop
from forecast_service.settings import Settings


async def test_cluster_without_dask_ends_the_runner(service: Service) -> None:
    engine = DaskEngine("dask://127.0.0.1:1")
    runs = Loop("runs", service.database, engine, Compute(service.database, 30, engine).turn)
    with pytest.raises(ChildBroken, match="Dask is not installed"):
        await asyncio.wait_for(runs.run(asyncio.Event()), 10)


@pytest.mark.parametrize("engine", ["", "ray", "dask://", "dask://host", "dask://host:x", "tcp://host:8786"])
def test_unknown_engine_is_refused(engine: str) -> None:
    with pytest.raises(ValidationError, match="forecast_engine"):
        Settings(forecast_engine=engine)
