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
PROBE = "crossdock-probe"
CLUSTER = "kubernetes.default:443"
POSTGRES, KAFKA, ISSUER, POST_OFFICE = "postgres:5432", "kafka:9092", "issuer:8400", "post-office:8480"
SERVERS = {POSTGRES, KAFKA, ISSUER, POST_OFFICE, CLUSTER}
APIS = {f"{each.name}-api": f"{each.name}:{each.http_port}" for each in facts()}
BY_KIND = {"api": {POSTGRES, KAFKA, ISSUER}, "worker": {POSTGRES, KAFKA}, "runner": {POSTGRES}}
ROLES = {f"{each.name}-{kind}": BY_KIND[kind] for each in facts() for kind in each.roles}
"""What the processes of each Deployment reach, and nothing else."""
ROLES["analytics-service-api"] = BY_KIND["api"] | {*APIS.values()}
ROLES["crm-service-worker"] = BY_KIND["worker"] | {POST_OFFICE}


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


def reached(namespace: str, pod: str, *addresses: str) -> set[str]:
    script = Path(__file__).with_name("reach.py").read_text()
    found: list[str] = json.loads(run("-n", namespace, "exec", pod, "--", "python", "-c", script, *addresses))
    return set(found)


@pytest.fixture(scope="module")
def ops() -> dict[str, str]:
    """Return the address of the ops port of one pod of each Deployment."""
    found = {}
    for each in listed("pods"):
        ports = {port["name"]: port["containerPort"] for port in each["spec"]["containers"][0].get("ports", ())}
        if "ops" in ports and true(each, "Ready"):
            labels = each["metadata"]["labels"]
            role = f"{labels['app.kubernetes.io/name']}-{labels['app.kubernetes.io/component']}"
            found[role] = f"{each['status']['podIP']}:{ports['ops']}"
    assert found.keys() == ROLES.keys()
    return found


@pytest.mark.parametrize("role", ROLES)
def test_pods_reach_only_what_the_policies_allow(role: str, ops: dict[str, str]) -> None:
    addresses = {*SERVERS, *APIS.values(), *ops.values()} - {ops[role], APIS.get(role)}
    assert reached(NAMESPACE, f"deployment/{role}", *sorted(addresses)) == ROLES[role] & addresses


@pytest.fixture(params=["ingress-nginx", "monitoring", "stranger"])
def outsider(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the container that waits for commands in another namespace, and return its name."""
    namespace: str = request.param
    there = run("get", "namespace", namespace, "--ignore-not-found")
    if not there:
        run("create", "namespace", namespace)
    try:
        (waiting,) = [each for each in listed("statefulsets") if each["metadata"]["name"] == "development"]
        container = waiting["spec"]["template"]["spec"]["containers"][0]
        options = ("--image", container["image"], "--image-pull-policy", "IfNotPresent", "--restart", "Never")
        run("-n", namespace, "run", PROBE, *options, "--command", "--", *container["command"])
        run("-n", namespace, "wait", f"pod/{PROBE}", "--for=condition=Ready", "--timeout=60s")
        yield namespace
    finally:
        run("-n", namespace, "delete", "pod", PROBE, "--ignore-not-found", seconds=20)  # a killed one takes 30 s
        if not there:
            run("delete", "namespace", namespace)


def test_other_namespaces_reach_only_what_is_theirs(outsider: str, ops: dict[str, str]) -> None:
    def named(address: str) -> str:
        host, _, port = address.rpartition(":")
        return f"{host}.{NAMESPACE}:{port}"

    apis = {named(each) for each in APIS.values()}
    addresses = {*apis, *ops.values(), *map(named, SERVERS - {CLUSTER}), CLUSTER}
    theirs = {"ingress-nginx": apis, "monitoring": {*ops.values()}, "stranger": set[str]()}
    # No policy of ours is about the API of Kubernetes, so it shows that the pod has a network.
    assert reached(outsider, PROBE, *sorted(addresses)) == theirs[outsider] | {CLUSTER}


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
