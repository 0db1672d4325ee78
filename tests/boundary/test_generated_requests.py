"""Send a few generated requests to each route of each service. `make test-long` sends many."""

from pathlib import Path

from generated import send_generated
from served import Served


async def test_generated_requests_are_answered_as_the_openapi_shows(
    served: Served, tmp_path: Path, without_kafka: None
) -> None:
    report = await send_generated(served.service, tmp_path, examples=3)
    assert report is None, report
