"""Rebuild the projections of a service, and clear its retired consumer groups."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import httpx
import typer
from rich.progress import BarColumn, Progress, TextColumn

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.output import AsJson, console, print_json, print_page
from crossdock_cli.progress import runnable

LOOK_SECONDS = 0.5

Service = Annotated[str, typer.Argument(help="The service, such as order-service.")]


def rebuild(
    service: Service,
    projection: Annotated[str | None, typer.Argument(help="One projection. Without it, all of the service.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Show the generations and start nothing.")] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the rebuild; readers keep the present generation.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild projections from the first event, beside those that readers see, and switch when they have caught up.

    The workers do it. Interrupt this command, and the rebuild goes on; repeat the command to watch it again.
    """
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        url = there.url(service)
        found = _projections(opened, url)
        names = [each["name"] for each in found if projection in (None, each["name"])]
        if not names:
            have = ", ".join(each["name"] for each in found) or "no projections"
            raise CommandError(f"{service} has {have}" + (f", and not {projection}." if projection else "."))
        if status:
            _show([each for each in found if each["name"] in names], as_json=as_json)
            return
        if stop:
            for generation in _building(found, names).values():
                asked(opened.post(f"{url}/v1/jobs/{generation['job_id']}:stop"))
                console().print(f"{generation['group']} is stopped and will be dropped.")
            return
        jobs = {name: asked(opened.post(f"{url}/v1/projections/{name}:rebuild"))["id"] for name in names}
        try:
            ended = _watch(opened, url, jobs)
        except KeyboardInterrupt:
            again = runnable(f"crossdock rebuild {service}")
            console().print(f"The rebuild goes on. Watch it: {again}. Stop it: {again} --stop", markup=False)
            raise typer.Exit(130) from None
    if as_json:
        print_json(ended)
    if failed := [f"{name}: {job['error'] or job['status']}" for name, job in ended.items() if job["status"] != "done"]:
        raise CommandError(f"Not rebuilt. {'; '.join(failed)}. Readers keep the present generation.")


def retired(
    service: Service,
    group: Annotated[str | None, typer.Argument(help="The group to clear. Without it, list all.")] = None,
    reason: Annotated[str, typer.Option(help="Why it is cleared; the job keeps it.")] = "retired",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the consumer groups that a service no longer has, or delete the positions, heads and letters of one."""
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        url = f"{there.url(service)}/v1/retired-groups"
        if group is None:
            page = asked(opened.get(url))
            names = ("group", "positions", "heads", "letters", "open_letters", "parked_keys")
            columns = {name.replace("_", " "): (lambda row, name=name: row[name]) for name in names}
            none = f"{service} has no retired groups."
            print_page(page, columns, as_json=as_json, none=none, more=f"retired {service}")
            return
        query = {"dry_run": "true"} if dry_run else {}
        answer = asked(opened.post(f"{url}/{group}:clear", params=query, json={"reason": reason}))
    if as_json:
        print_json(answer)
        return
    counts = ", ".join(
        f"{value} {name.replace('_', ' ')}" for name, value in answer["cleared"].items() if name != "group"
    )
    done = "would be cleared" if dry_run else f"is cleared by the job {answer['job_id']}"
    console().print(f"{group} {done}: {counts}", markup=False)


def _projections(opened: httpx.Client, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(opened.get(f"{url}/v1/projections"))["items"]
    return found


def _building(found: list[dict[str, Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    return {
        each["name"]: generation
        for each in found
        for generation in each["generations"]
        if each["name"] in names and generation["state"] == "building"
    }


def _watch(opened: httpx.Client, url: str, jobs: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Show the progress until all jobs have ended. Return the jobs by projection."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    ended: dict[str, dict[str, Any]] = {}
    with Progress(*columns, console=console()) as progress:
        tasks = {name: progress.add_task(name, total=None, text="starts") for name in jobs}
        while len(ended) < len(jobs):
            building = _building(_projections(opened, url), [*jobs])
            for name, id in jobs.items():
                job = asked(opened.get(f"{url}/v1/jobs/{id}"))
                if job["status"] in ("done", "failed", "stopped"):
                    ended[name] = job
                    text = "readers see it" if job["status"] == "done" else job["status"]
                    progress.update(tasks[name], total=1, completed=1, text=text)
                elif name in building:
                    own = building[name]
                    progress.update(tasks[name], total=own["total"], completed=own["done"] or 0, text=_text(own))
            time.sleep(LOOK_SECONDS)
    return ended


def _text(generation: Mapping[str, Any]) -> str:
    """Describe the progress of a generation: its records, the time left, and why it waits."""
    if generation["total"] is None:
        return "starts"
    left = generation["seconds_left"]
    time_left = "" if left is None else f", {timedelta(seconds=round(left))} left"
    waits = f", waits: {generation['waits']}" if generation["waits"] else ""
    return f"{generation['done']:,} of {generation['total']:,} records{time_left}{waits}"


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    rows = [{"name": each["name"], **generation} for each in found for generation in each["generations"]]
    print_page(
        {"items": found if as_json else rows},
        {
            "projection": lambda row: row["name"],
            "generation": lambda row: row["generation"],
            "version": lambda row: row["version"],
            "state": lambda row: row["state"],
            "progress": lambda row: _text(row) if row["state"] == "building" else "",
        },
        as_json=as_json,
        none="No generation exists.",
        more="rebuild",
    )
