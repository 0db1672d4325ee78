"""Files of customers that staff upload."""

from typing import Any

import httpx

from crossdock_chassis import Service
from crossdock_chassis.testing import RunJobs

HEADER = "partner,external_id,name,phone,region,email,born_on,street,city,postcode,country,tags"
ADA = "acme,C-1,Ada Example,020 7183 8750,GB,ada@example.com,1980-02-29,1 High Street,Leeds,LS1 4AP,GB,vip loud"
BEN = "acme,C-2,Ben Sample,,,,,,,,,"


async def imported(
    service: Service, staff: httpx.AsyncClient, run_jobs: RunJobs, *rows: str, dry_run: bool = False
) -> dict[str, Any]:
    answer = await staff.post(
        "/v1/customers:import",
        params={"dry_run": dry_run},
        content="\n".join((HEADER, *rows)).encode(),
        headers={"content-type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    await run_jobs(service)
    found: dict[str, Any] = (await staff.get(f"/v1/imports/{answer.json()['id']}")).json()
    return found


def counts(found: dict[str, Any]) -> tuple[object, ...]:
    return tuple(found[name] for name in ("state", "created", "changed", "unchanged", "wrong"))
