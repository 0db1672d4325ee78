"""The dev overlay on the cluster of KUBECONFIG, whose nodes have the images: `make test-k8s`.

The namespace `crossdock` must not exist, and is deleted at the end. CROSSDOCK_KEEP=1 takes it as it is, and keeps it.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deploy.k8s.facts import NAMESPACE, facts

ROOT = Path(__file__).parents[2]
OVERLAY = "deploy/k8s/overlays/dev"
KILLS = 8
CLEAN = "0 lost · 0 oversold · 0 duplicated"
POD = "development-0"


def run(*words: str, seconds: float = 600) -> str:
    done = subprocess.run(["kubectl", *words], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


kubectl = partial(run, "-n", NAMESPACE)
crossdock = partial(kubectl, "exec", POD, "--", "crossdock")


def listed(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubectl("get", kind, "-o", "json"))["items"]
    return found


def true(each: dict[str, Any], condition: str) -> bool:
    conditions = each["status"].get("conditions", ())
    return any((one["type"], one["status"]) == (condition, "True") for one in conditions)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}\n{kubectl('get', 'pods')}"
        time.sleep(1)


def settled() -> bool:
    """Return whether each pod of each workload is of the newest version, and ready."""
    for each in listed("deployments,statefulsets"):
        status, wanted = each["status"], each["spec"]["replicas"]
        current = status.get("observedGeneration", 0) >= each["metadata"]["generation"]
        counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
        if not current or counts != {wanted}:
            return False
    return True


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    keep = bool(os.environ.get("CROSSDOCK_KEEP"))
    there = run("get", "namespace", NAMESPACE, "--ignore-not-found")
    assert keep or not there, f"the namespace {NAMESPACE} exists already"
    begun = time.monotonic()
    try:
        run("apply", "-k", OVERLAY)
        until(lambda: all(true(each, "Complete") for each in listed("jobs")), 300, "a Job is not complete")
        print(f"all Jobs are complete after {time.monotonic() - begun:.0f} s")
        apis = [f"{each.name}-api" for each in facts()]

        def scaled() -> bool:
            found = {each["metadata"]["name"]: each["spec"]["replicas"] for each in listed("deployments")}
            return all(found[name] >= 2 for name in apis)

        until(lambda: scaled() and settled(), 300, "a Deployment is not available")
        print(f"all Deployments are available after {time.monotonic() - begun:.0f} s")
        yield
    finally:
        if not keep:
            run("delete", "namespace", NAMESPACE)


@contextmanager
def load(tag: str) -> Iterator[dict[str, list[str]]]:
    """Post orders all the time, and fill the answer at the end."""
    script, token = Path(__file__).with_name("load.py").read_text(), crossdock("token", "acme").strip()
    words = ["kubectl", "-n", NAMESPACE, "exec", "-i", POD, "--", "python", "-c", script, token, tag]
    found: dict[str, list[str]] = {}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield found
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found.update(json.loads(output))
    print(f"{len(found['accepted'])} orders, {len(found['lost'])} requests without an answer: {found['lost'][:3]}")
    assert len(found["accepted"]) == len(set(found["accepted"]))


def test_the_demo_replays_the_day_and_verifies() -> None:
    shown = crossdock("replay", "--fast")
    assert CLEAN in shown and "558" in shown, shown


@pytest.mark.parametrize(
    ("role", "host", "port", "allowed"),
    [
        ("forecast-service-runner", "postgres", 5432, True),
        ("forecast-service-runner", "kafka", 9092, False),
        ("order-service-worker", "kafka", 9092, True),
        ("order-service-worker", "order-service", 8410, False),
        ("analytics-service-api", "order-service", 8410, True),
        ("order-service-api", "inventory-service", 8420, False),
        ("order-service-api", "issuer", 8400, True),
    ],
)
def test_pods_connect_only_as_the_policies_allow(role: str, host: str, port: int, allowed: bool) -> None:
    program = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
    words = ["kubectl", "-n", NAMESPACE, "exec", f"deployment/{role}", "--", "python", "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == allowed, done.stderr
    assert allowed or "TimeoutError" in done.stderr or "refused" in done.stderr, done.stderr


def test_orders_survive_killed_pods() -> None:
    chosen = random.Random(13)
    with load("killed") as found:
        for _ in range(KILLS):
            pods = [each["metadata"]["name"] for each in listed("pods") if each["status"]["phase"] == "Running"]
            victim = chosen.choice([each for each in pods if each != POD])
            kubectl("delete", "pod", victim, "--force", "--grace-period=0")
            print(f"killed {victim}")
            until(settled, 180, f"{victim} is not replaced")
        for each in ("postgres-0", "kafka-0"):
            kubectl("delete", "pod", each, "--force", "--grace-period=0")
            until(settled, 180, f"{each} is not back")
    assert len(found["accepted"]) > KILLS
    assert CLEAN in crossdock("verify")


def test_a_rolling_restart_loses_no_request() -> None:
    with load("rolling") as found:
        kubectl("rollout", "restart", *(f"deployment/{each.name}-api" for each in facts()))
        until(settled, 300, "the restart does not end")
    assert found["accepted"] and found["lost"] == []
    assert CLEAN in crossdock("verify")
