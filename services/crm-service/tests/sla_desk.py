"""Let time pass for cases: move their history back, and run the job that notices timers."""

from crm_service.cases.timing import Timers
from crossdock_chassis import JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed


async def pass_time(service: Service, hours: float) -> None:
    """Move the history of all cases, and their timers, back by so many hours."""
    async with service.database.unit() as unit:
        for statement in (
            "UPDATE case_entries SET at = at - $1 * interval '1 hour'",
            "UPDATE cases SET changed_at = changed_at - $1 * interval '1 hour'",
            "UPDATE case_timers SET due_at = due_at - $1 * interval '1 hour'",
        ):
            await unit.sql.execute(statement, hours)


async def look(service: Service, timers: Timers | None = None) -> int:
    """Run the job once, and return how many moments it noticed."""
    run = JobRun(service.database, Claimed(new_id(), None, "test", {}))
    result = await (timers or Timers()).notice_timers(run)
    return int(str(result["noticed"]))
