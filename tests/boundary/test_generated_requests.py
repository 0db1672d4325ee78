"""Send a few generated requests to each route of each service. `make test-long` sends many."""

import json
from functools import reduce
from pathlib import Path

from generated import send_generated
from served import Served, installed

GENERATED = Path(__file__).parents[2] / "docs" / "generated"
NAMES = [each.name for each in installed()]
WHOLE = "order-service"
"""The service whose shared paths get requests, too. It reacts to events, so it has a dead letter to show."""


def shared() -> set[str]:
    """Return the paths that all services have from the chassis."""
    documents = (json.loads((GENERATED / f"{name}.openapi.json").read_text()) for name in NAMES)
    return reduce(set.__and__, (set(each["paths"]) for each in documents))


async def test_generated_requests_are_answered_as_the_openapi_shows(
    served: Served, tmp_path: Path, without_kafka: None
) -> None:
    without = shared() if served.service.name != WHOLE else set()
    report = await send_generated(served.service, tmp_path, examples=3, without=without)
    assert report is None, report
