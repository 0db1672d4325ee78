"""Send the load from a process of its own: `python -m bench.loader`, one job per line.

Requests are rendered before the clock starts. Each has a token, an idempotency key and a trace context, like a
partner's request. If a job has several tokens, the requests use them in turn.
"""

import json
import time
from collections import Counter
from random import Random
from typing import Any

import uvloop

from bench import client, goods
from bench.helper import serve

CREATED = 201
LATER = 500
"""A request that is sent again is repeated at once or after so many others, when the first answer has arrived."""


def handle(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job. `batch`: lines a request, 0 for single orders. `rate`: orders a second, null for a closed load.

    `twice`: send each request a second time.
    """
    assortment = goods.Assortment(job["items"])
    lines = goods.bodies(job["count"], job["prefix"], job["seed"], assortment, goods.Shape(**job["shape"]))
    requests = render(job, goods.batches(lines, job["batch"]) if job["batch"] else lines)
    if job["twice"]:
        requests = repeated(requests)
    cpu, started = time.process_time(), time.monotonic()
    answers = uvloop.run(
        client.post_all(
            job["host"],
            job["port"],
            requests,
            connections=job["connections"],
            rate=job["rate"],
            seconds=job["seconds"],
        )
    )
    cpu = time.process_time() - cpu
    accepted = batched(answers) if job["batch"] else single(answers)
    if len(accepted) != job["count"]:
        raise client.LoadFailed(f"{job['count']} orders were sent, and {len(accepted)} were accepted")
    return {
        "started": min(answer.due for answer in answers) if answers else started,
        "finished": max(answer.answered for answer in answers),
        "cpu": cpu,
        "posted_to_answered": [answer.answered - answer.due for answer in answers],
        "accepted": accepted,
    }


def render(job: dict[str, Any], bodies: list[bytes]) -> list[bytes]:
    chance = Random(job["seed"])
    kind = "application/x-ndjson" if job["batch"] else "application/json"
    headers = {"content-type": kind}
    host = f"{job['host']}:{job['port']}"
    requests = []
    for number, body in enumerate(bodies):
        own = {
            "authorization": f"Bearer {job['tokens'][number % len(job['tokens'])]}",
            "traceparent": f"00-{chance.getrandbits(128) | 1:032x}-{chance.getrandbits(64) | 1:016x}-00",
        }
        if not job["batch"]:  # the references identify the lines of a batch
            own["idempotency-key"] = f"{job['prefix']}-{number}"
        requests.append(client.request(job["path"], host, headers | own, body))
    return requests


def repeated(requests: list[bytes]) -> list[bytes]:
    """Return each request twice: every second one at once, the others `LATER`."""
    again = [(number + (0.5 if number % 2 else LATER + 0.5), each) for number, each in enumerate(requests)]
    return [each for _, each in sorted([*enumerate(requests), *again], key=lambda each: each[0])]


def single(answers: list[client.Answer]) -> dict[str, float]:
    """Return the acceptance time of each order by its id. Raise LoadFailed for the first order not accepted."""
    for answer in answers:
        if answer.status != CREATED:
            raise client.LoadFailed(f"{answer.status} {answer.body[:400]!r}")
    return {json.loads(answer.body)["id"]: answer.answered for answer in answers}


def batched(answers: list[client.Answer]) -> dict[str, float]:
    accepted: dict[str, float] = {}
    for answer in answers:
        if answer.status != 200:
            raise client.LoadFailed(f"{answer.status} {answer.body[:400]!r}")
        lines = [json.loads(line) for line in answer.body.splitlines()]
        outcomes = Counter(line["outcome"] for line in lines)
        if outcomes.keys() != {"created"}:
            raise client.LoadFailed(f"{dict(outcomes)}: {next(x for x in lines if x['outcome'] != 'created')}")
        accepted |= {line["id"]: answer.answered for line in lines}
    return accepted


if __name__ == "__main__":
    serve(handle)
