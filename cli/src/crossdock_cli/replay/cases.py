"""Let a rule open cases for the orders of the replayed day that wait for stock, and count the cases."""

import time
from typing import Any, Final

from rich.console import Console

from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation
from crossdock_cli.progress import runnable

NAME: Final = "backordered"
RULE: Final = {
    "trouble": "backordered",
    "after_days": 0,
    "category": "late_delivery",
    "subject": "Your order waits for stock",
    "notice": "Your order waits for stock. We write again as soon as it is complete.",
}
OPENED_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.3


def make_rule(there: Installation) -> None:
    """Make the rule before the first order, because a rule ignores what was before it."""
    with client(there, None, SCOPES) as opened:
        asked(opened.put(f"{there.url(SERVICE)}/v1/rules/{NAME}", json=RULE))


def show_cases(there: Installation, out: Console) -> None:
    """Wait until the rule watches no order, and print what it did."""
    rule: dict[str, Any] = {}
    deadline = time.monotonic() + OPENED_SECONDS
    with client(there, None, SCOPES) as opened:
        while time.monotonic() < deadline:
            items = asked(opened.get(f"{there.url(SERVICE)}/v1/rules"))["items"]
            before, rule = rule, next(each for each in items if each["name"] == NAME)
            if rule == before and not rule["watched"]:
                break
            time.sleep(POLL_SECONDS)
    kept = "".join(f", {count} not sent ({reason})" for reason, count in rule["suppressed"].items())
    out.print(
        f"{rule['opened']:,} cases that rules opened from that day's orders: {rule['told']} customers told{kept}."
    )
    out.print(f"  {runnable('crossdock cases')} lists them, and `crossdock cases rules` the rules.", markup=False)
    out.print()
