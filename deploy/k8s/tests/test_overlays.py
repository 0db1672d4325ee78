"""Each overlay renders and keeps all rules. Each rule refuses a manifest that breaks it."""

import os
import shutil
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.k8s import __main__, operator_policy, policy
from deploy.k8s.files import FOLDER, generated
from deploy.k8s.policy import RULES, Rule, of_kind
from deploy.k8s.rendering import overlays, render
from deploy.k8s.validation import errors
from deploy.k8s.workloads import Manifest

Tamper = Callable[[list[Manifest]], object]


@cache
def rendered(overlay: str) -> list[Manifest]:
    if shutil.which("go") is None and "CI" not in os.environ:
        pytest.skip("Go is not installed: it builds kustomize")
    return render(overlay)


def the(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(manifests: list[Manifest], name: str = "order-service-api", kind: str = "Deployment") -> Manifest:
    spec: Manifest = the(manifests, kind, name)["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest], name: str = "order-service-api") -> Manifest:
    found: Manifest = pod(manifests, name)["containers"][0]
    return found


def without(kind: str, name: str) -> Tamper:
    return lambda manifests: manifests.remove(the(manifests, kind, name))


def in_pod(key: str, value: object) -> Tamper:
    return lambda manifests: pod(manifests).update({key: value})


def in_container(key: str, value: object) -> Tamper:
    return lambda manifests: container(manifests).update({key: value})


def in_context(key: str, value: object) -> Tamper:
    return lambda manifests: container(manifests)["securityContext"].update({key: value})


def in_spec(kind: str, name: str, key: str, value: object) -> Tamper:
    return lambda manifests: the(manifests, kind, name)["spec"].update({key: value})


def of_pod(key: str, value: object) -> Tamper:
    return lambda manifests: pod(manifests)["securityContext"].update({key: value})


def secret(value: str) -> Tamper:
    metadata = {"name": "crm-service", "namespace": "crossdock"}
    return lambda manifests: manifests.append({"kind": "Secret", "metadata": metadata, "stringData": {"x": value}})


def path_of(manifests: list[Manifest]) -> Manifest:
    found: Manifest = the(manifests, "Ingress", "crm-service")["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    return found


def broker(manifests: list[Manifest]) -> Manifest:
    found: Manifest = the(manifests, "Kafka", "crossdock")["spec"]["kafka"]
    return found


def may(kind: str, name: str, operation: str) -> Tamper:
    acl = {"resource": {"type": kind, "name": name, "patternType": "literal"}, "operations": [operation]}
    return lambda manifests: the(manifests, "KafkaUser", "crm-service")["spec"]["authorization"]["acls"].append(acl)


CASES: list[tuple[Rule, Tamper]] = [
    (policy.each_service_is_whole, without("Deployment", "forecast-service-runner")),
    (policy.each_service_is_whole, without("Job", "crm-service-migrate")),
    (policy.each_service_is_whole, lambda all: all.remove(*of_kind(all, "Namespace"))),
    (policy.services_reach_the_api, in_spec("Service", "order-service", "selector", {policy.NAME: "order-service"})),
    (policy.services_reach_the_api, in_spec("Service", "order-service", "ports", [{"targetPort": "ops"}])),
    (policy.pods_are_restricted, in_pod("hostNetwork", True)),
    (policy.pods_are_restricted, of_pod("runAsNonRoot", None)),
    (policy.pods_are_restricted, of_pod("seccompProfile", {"type": "Unconfined"})),
    (policy.pods_are_restricted, in_pod("volumes", [{"name": "node", "hostPath": {"path": "/"}}])),
    (policy.pods_are_restricted, in_context("allowPrivilegeEscalation", None)),
    (policy.pods_are_restricted, in_context("capabilities", {"drop": ["ALL"], "add": ["NET_RAW"]})),
    (policy.pods_are_restricted, in_context("runAsUser", 0)),
    (policy.pods_are_restricted, in_container("ports", [{"name": "ops", "containerPort": 1, "hostPort": 1}])),
    (policy.the_namespace_enforces_it, lambda all: the(all, "Namespace", "crossdock")["metadata"].pop("labels")),
    (policy.the_namespace_enforces_it, lambda all: the(all, "Service", "crm-service")["metadata"].pop("namespace")),
    (policy.roots_are_read_only, in_context("readOnlyRootFilesystem", False)),
    (policy.roots_are_read_only, in_pod("volumes", [{"name": "tmp", "emptyDir": {}}])),
    (policy.we_run_as_the_user_of_the_image, of_pod("runAsUser", 1000)),
    (policy.pods_get_no_token, in_pod("automountServiceAccountToken", None)),
    (policy.resources_are_bounded, in_container("resources", {"requests": {"cpu": "1", "memory": "1Gi"}})),
    (policy.processes_are_probed, in_container("readinessProbe", None)),
    (policy.processes_are_probed, in_container("livenessProbe", {"httpGet": {"path": "/readyz", "port": "ops"}})),
    (policy.an_api_pauses_before_it_stops, in_container("lifecycle", None)),
    (policy.processes_may_drain, in_pod("terminationGracePeriodSeconds", 15)),
    (policy.processes_are_spread, in_pod("topologySpreadConstraints", [])),
    (policy.rolling_keeps_all_pods, in_spec("Deployment", "order-service-api", "strategy", {"type": "Recreate"})),
    (policy.rolling_keeps_all_pods, without("PodDisruptionBudget", "crm-service-worker")),
    (policy.apis_scale, without("HorizontalPodAutoscaler", "crm-service-api")),
    (policy.apis_scale, in_spec("HorizontalPodAutoscaler", "crm-service-api", "minReplicas", 1)),
    (policy.apis_scale, in_spec("Deployment", "order-service-worker", "replicas", 3)),
    (policy.everything_else_is_denied, without("NetworkPolicy", "default-deny")),
    (policy.only_needed_connections_are_allowed, without("NetworkPolicy", "kafka")),
    (policy.only_needed_connections_are_allowed, in_spec("NetworkPolicy", "dns", "egress", [{}])),
    (policy.only_needed_connections_are_allowed, in_spec("NetworkPolicy", "http", "podSelector", {})),
    (
        policy.only_needed_connections_are_allowed,
        lambda all: the(all, "NetworkPolicy", "postgres")["spec"]["egress"][0].pop("to"),
    ),
    (policy.secrets_are_named_only, secret("postgresql://crm_service:hunter2@db:5432/crm_service")),
    (
        policy.secrets_are_named_only,
        in_container("env", [{"name": "CROSSDOCK_SMTP_PASSWORD", "value": "hunter2"}]),
    ),
    (policy.settings_come_from_outside, in_container("envFrom", [{"secretRef": {"name": "crm-service"}}])),
    (policy.settings_come_from_outside, in_container("env", [])),
    (
        policy.settings_come_from_outside,
        lambda all: pod(all)["volumes"].append({"name": "other", "secret": {"secretName": "crm-service"}}),
    ),
    (policy.jobs_end_and_go, in_spec("Job", "crm-service-migrate", "ttlSecondsAfterFinished", None)),
    (policy.jobs_end_and_go, lambda all: pod(all, "crm-service-migrate", "Job").update(restartPolicy="OnFailure")),
    (
        policy.migrations_can_go_first,
        lambda all: the(all, "Job", "crm-service-migrate")["metadata"]["labels"].update({policy.COMPONENT: "worker"}),
    ),
    (policy.all_run_one_image, in_container("image", "crossdock:other")),
    (policy.all_run_one_image, in_container("imagePullPolicy", "Always")),
    (operator_policy.workers_scale_by_lag, without("ScaledObject", "crm-service-worker")),
    (operator_policy.workers_scale_by_lag, in_spec("ScaledObject", "crm-service-worker", "maxReplicaCount", 13)),
    (operator_policy.processes_are_scraped, in_spec("PodMonitor", "crossdock", "jobLabel", None)),
    (operator_policy.processes_are_scraped, in_spec("PodMonitor", "crossdock", "podMetricsEndpoints", [])),
    (operator_policy.hosts_lead_to_apis, without("Ingress", "crm-service")),
    (operator_policy.hosts_lead_to_apis, in_spec("Ingress", "crm-service", "tls", [])),
    (operator_policy.hosts_lead_to_apis, lambda all: path_of(all)["service"].update(port={"name": "ops"})),
    (
        operator_policy.streams_pass_the_proxy,
        lambda all: the(all, "Ingress", "forecast-service")["metadata"].pop("annotations"),
    ),
    (operator_policy.users_of_kafka_do_what_is_declared, without("KafkaUser", "crm-service")),
    (operator_policy.users_of_kafka_do_what_is_declared, may("topic", "crossdock.orders.v1", "Write")),
    (operator_policy.users_of_kafka_do_what_is_declared, may("topic", "crossdock.stock.v1", "Read")),
    (operator_policy.users_of_kafka_do_what_is_declared, may("topic", "crossdock.cases.v1", "Alter")),
    (operator_policy.users_of_kafka_do_what_is_declared, may("group", "order-service", "Read")),
    (operator_policy.topics_are_kept, without("KafkaTopic", "crossdock.orders.v1.crm-service.dlq")),
    (operator_policy.topics_are_kept, in_spec("KafkaTopic", "crossdock.orders.v1", "partitions", 1)),
    (operator_policy.topics_are_kept, lambda all: broker(all)["config"].update({"min.insync.replicas": 1})),
    (operator_policy.topics_are_kept, lambda all: broker(all).pop("authorization")),
    (operator_policy.topics_are_kept, lambda all: broker(all)["listeners"][0].update(tls=False)),
    (
        operator_policy.processes_log_in_to_kafka,
        in_container("env", [{"name": "CROSSDOCK_KAFKA_USER", "value": "crm-service"}]),
    ),
    (operator_policy.processes_log_in_to_kafka, in_pod("volumes", [])),
    (operator_policy.databases_belong_to_their_service, without("Database", "crm-service")),
    (operator_policy.databases_belong_to_their_service, in_container("env", [])),
    (
        operator_policy.databases_belong_to_their_service,
        lambda all: [
            each.update(value=each["value"].partition("?")[0]) for each in container(all)["env"] if "?" in str(each)
        ],
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("overlay", overlays())
def test_overlay_keeps_the_rule(overlay: str, rule: Rule) -> None:
    assert list(rule(rendered(overlay))) == []


@pytest.mark.parametrize(("rule", "tamper"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_rule_refuses_a_manifest_that_breaks_it(rule: Rule, tamper: Tamper) -> None:
    manifests = deepcopy(rendered("operators"))
    tamper(manifests)
    assert list(rule(manifests))


def test_each_rule_was_seen_to_refuse() -> None:
    assert {rule for rule, _ in CASES} == set(RULES)


@pytest.mark.parametrize("overlay", overlays())
def test_manifests_fit_their_schemas(overlay: str) -> None:
    assert [error for each in rendered(overlay) for error in errors(each)] == []


def test_each_kind_refuses_a_field_that_it_has_not() -> None:
    kinds = {each["kind"]: each for overlay in overlays() for each in rendered(overlay)}
    assert {"Deployment", "Ingress", "PrometheusRule", "ScaledObject", "Kafka", "KafkaUser", "Cluster"} <= kinds.keys()
    for kind, each in kinds.items():
        changed = deepcopy(each)
        changed.get("spec", changed)["misspelled"] = "x"
        assert list(errors(changed)), kind
        if "spec" in each:
            assert list(errors(each | {"spec": "text"})), kind


def test_a_kind_without_a_schema_is_an_error() -> None:
    (error,) = errors({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
    assert "has no schema" in error


def test_the_alerts_are_those_of_the_repository() -> None:
    (found,) = of_kind(rendered("production"), "PrometheusRule")
    assert found["spec"] == yaml.safe_load((FOLDER.parent / "alerts" / "crossdock.rules.yml").read_text())


def test_a_changed_or_needless_manifest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[Path, Any] = {tmp_path / file.relative_to(FOLDER): text for file, text in generated().items()}
    monkeypatch.setattr(__main__, "generated", lambda: made)
    monkeypatch.setattr(__main__, "FOLDER", tmp_path)
    assert __main__.main(["write"]) == 0 and __main__.main([]) == 0
    order = tmp_path / "base" / "order-service.yaml"
    order.write_text(order.read_text().replace("8410", "8411"))
    (tmp_path / "base" / "shop-service.yaml").write_text(order.read_text())
    assert __main__.main([]) == 1
    said = capsys.readouterr().out
    assert "8411" in said and "shop-service.yaml belongs to no installed service" in said
