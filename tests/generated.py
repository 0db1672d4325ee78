"""Send generated requests to a service over HTTP: valid and invalid ones, derived from its OpenAPI by schemathesis."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
from served import Operation, caller_of, operations_of

from crossdock_chassis import Service
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.server import listening
from crossdock_chassis.testing.signing import Signer
from crossdock_events import Message
from crossdock_events.examples import EXAMPLES

HERE = Path(__file__).parent / "boundary"
NOTHING_ACCEPTED: dict[str, Any] = {"format_version": 1, "entries": []}
DEAD_LETTER = {"/v1/dead-letters/": "1"}


async def send_generated(
    service: Service,
    folder: Path,
    *,
    examples: int,
    phases: str = "examples,coverage,fuzzing",
    seed: int = 1,
    without: Iterable[str] = (),
) -> str | None:
    """Return the report of schemathesis if a request has an unaccepted failure, or an accepted failure is gone.

    `without` are the paths that get no request. `accepted/SERVICE.json` lists the accepted failures. The file only
    shrinks: an entry that no longer fails must go.
    """
    await _seed(service)
    signer = Signer.generate()
    api = service.api(signer.verifier())
    operations = list(operations_of(api.openapi()))
    scopes = {scope for each in operations for scope in each.scopes}
    headers = {"Authorization": f"Bearer {signer.token(caller_of(scopes), scopes)}"}
    own = HERE / "accepted" / f"{service.name}.json"
    before = json.loads(own.read_text()) if own.exists() else NOTHING_ACCEPTED
    accepted = folder / "accepted.json"
    accepted.write_text(json.dumps(before))
    async with listening(api, service.settings, 0, "CROSSDOCK_HTTP_PORT") as port:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            files = [text async for text in _templates(client, operations)]
        seeds = {"ids": DEAD_LETTER, "documents": list(_documents(api.openapi())) or [{}], "files": files or ["a\nb\n"]}
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            *("--config-file", str(HERE / "schemathesis.toml"), "--no-color", "run", f"{url}/openapi.json"),
            *("--header", f"Authorization: {headers['Authorization']}", "--phases", phases),
            *("--seed", str(seed), "--max-examples", str(examples), "--workers", "1"),
            *("--baseline", str(accepted), "--baseline-prune"),
            *(f"--exclude-path={path}" for path in without),
            cwd=folder,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"), "CROSSDOCK_SEEDS": json.dumps(seeds)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    report = output.decode()
    if process.returncode != 0:
        return report
    after = {each["id"] for each in json.loads(accepted.read_text())["entries"]}
    gone = [each for each in before["entries"] if each["id"] not in after]
    return f"{own} accepts failures that do not occur: delete {gone}" if gone else None


async def _seed(service: Service) -> None:
    """Deliver an example of each event that the service reads, then a record that is no event: a dead letter."""
    for subscription in await service.live():
        records = [
            Record(message, 0, offset, each.envelope.time.timestamp())
            for offset, each in enumerate(EXAMPLES)
            if (message := each.envelope.encode()).topic in subscription.topics
        ]
        if subscription.kind == "reaction":
            poison = Message(min(subscription.topics), b"poison", b"no event", {})
            records.insert(0, Record(poison, 0, len(EXAMPLES), 0.0))
        async with service.database.unit() as unit:
            await Inbox(subscription).take(unit, records, careful=True)


async def _templates(client: httpx.AsyncClient, operations: list[Operation]) -> AsyncIterator[str]:
    for each in operations:
        if each.method == "GET" and each.path.endswith(":template"):
            yield (await client.get(each.url())).text


def _documents(openapi: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the examples of the schemas: valid lines of a batch."""
    for schema in openapi["components"]["schemas"].values():
        yield from (each for each in schema.get("examples", ()) if isinstance(each, dict))
