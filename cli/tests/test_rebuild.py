from typing import Any

import pytest

from crossdock_cli.commands.rebuild import _text

BUILDING: dict[str, Any] = {"done": 1500, "total": 6000, "seconds_left": 90.4, "waits": None}


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, "1,500 of 6,000 records, 0:01:30 left"),
        ({"total": None, "done": None}, "starts"),
        ({"seconds_left": None}, "1,500 of 6,000 records"),
        ({"done": 6000, "seconds_left": 0.0, "waits": "why"}, "6,000 of 6,000 records, 0:00:00 left, waits: why"),
    ],
)
def test_progress_of_a_rebuild_has_the_time_left(change: dict[str, Any], shown: str) -> None:
    assert _text({**BUILDING, **change}) == shown
