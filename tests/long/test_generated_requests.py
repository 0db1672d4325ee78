"""Send many generated requests to each route of each service, also in sequences that use the ids of earlier answers."""

from pathlib import Path

import pytest
from generated import send_generated
from served import Served, installed, serve

from crossdock_chassis.testing import Clients, Fresh


@pytest.fixture(params=installed(), ids=lambda each: each.name)
async def served(request: pytest.FixtureRequest, fresh: Fresh, clients: Clients) -> Served:
    return await serve(request.param, fresh, clients)


@pytest.mark.parametrize("seed", range(1, 4))
async def test_many_generated_requests_find_nothing(
    served: Served, tmp_path: Path, without_kafka: None, seed: int
) -> None:
    phases = "examples,coverage,fuzzing,stateful"
    report = await send_generated(served.service, tmp_path, examples=100, phases=phases, seed=seed)
    assert report is None, report
