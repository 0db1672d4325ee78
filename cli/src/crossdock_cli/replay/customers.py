"""Count the customers that crm-service has met in the replayed orders."""

import time

from rich.console import Console

from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation
from crossdock_cli.progress import runnable

MET_SECONDS = 30.0
POLL_SECONDS = 0.3


def show_customers(there: Installation, out: Console) -> None:
    """Wait until the number of customers rests, and print it."""
    met: dict[str, int] = {}
    deadline = time.monotonic() + MET_SECONDS
    with client(there, None, SCOPES) as opened:
        url = f"{there.url(SERVICE)}/v1/customers"
        while time.monotonic() < deadline:
            before, met = met, asked(opened.get(f"{url}/summary"))
            if before == met and met["people"]:
                break
            time.sleep(POLL_SECONDS)
        newest = asked(opened.get(url, params={"limit": 1}))["items"]
    several = met["of_several_partners"]
    out.print(f"crm-service has met {met['people']:,} customers, {several} of them at two or more stores.")
    if newest:
        known = (newest[0]["external_ids"] or [newest[0]["id"]])[0]
        out.print(f"  {runnable('crossdock customer')} {known} shows one of them.", markup=False)
    out.print()
