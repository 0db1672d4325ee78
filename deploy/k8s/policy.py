"""Rules for rendered manifests. A rule yields a sentence for each manifest that breaks it."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from deploy.k8s.facts import APPLICATION, NAMESPACE, facts
from deploy.k8s.network import DNS, HTTPS, KAFKA, POSTGRES
from deploy.k8s.workloads import END_SECONDS, PRE_STOP_SECONDS, USER, Manifest

Manifests = Sequence[Manifest]
Rule = Callable[[Manifests], Iterator[str]]

RULES: list[Rule] = []
VOLUMES = {"configMap", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
COMPONENT, NAME, PART_OF = (f"app.kubernetes.io/{each}" for each in ("component", "name", "part-of"))
PASSWORD = r"://[^/@\s]*:(?!\$\()[^/@\s]+@"
"""An address with a password in it, except the reference to a variable."""
ANYWHERE = {"issuer", "strimzi", "cloudnative-pg"}
"""Policies without a destination: the addresses of the issuer and of the API of Kubernetes are not known."""


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def of_kind(manifests: Manifests, *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def workloads(manifests: Manifests) -> Iterator[tuple[str, dict[str, str], Manifest]]:
    """Yield name, labels and spec of the pods of each workload."""
    for each in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        template = each["spec"]["template"]
        yield f"{each['kind']} {each['metadata']['name']}", template["metadata"]["labels"], template["spec"]


def ours(manifests: Manifests) -> Iterator[tuple[str, dict[str, str], Manifest]]:
    """Yield the workloads that run the image of Crossdock."""
    for name, labels, pod in workloads(manifests):
        if labels[PART_OF] == APPLICATION:
            yield name, labels, pod


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


@rule
def each_service_is_whole(manifests: Manifests) -> Iterator[str]:
    """Require of each installed service a Deployment for each role, a Service, and a Job that migrates its database."""
    found = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    topics = {("KafkaTopic", topic.name) for each in facts() for topic in each.written}
    wanted = {("Namespace", NAMESPACE)} | (topics if found & topics else {("Job", "crossdock-topics")})
    for each in facts():
        wanted |= {("Deployment", f"{each.name}-{role}") for role in each.roles}
        wanted |= {("Service", each.name), ("Job", f"{each.name}-migrate")}
    yield from (f"{kind} {name} is missing" for kind, name in sorted(wanted - found))


@rule
def services_reach_the_api(manifests: Manifests) -> Iterator[str]:
    """Require that each Service selects exactly one workload, and one of its ports, but never the ops port."""
    for each in of_kind(manifests, "Service"):
        name, spec = each["metadata"]["name"], each["spec"]
        chosen = [pod for _, labels, pod in workloads(manifests) if spec["selector"].items() <= labels.items()]
        ports = {port["name"] for pod in chosen for one in containers(pod) for port in one.get("ports", ())}
        if len(chosen) != 1 or not {port["targetPort"] for port in spec["ports"]} <= ports - {"ops"}:
            yield f"Service {name} selects {len(chosen)} workloads with the ports {sorted(ports)}"


@rule
def pods_are_restricted(manifests: Manifests) -> Iterator[str]:
    """Require the Pod Security standard `restricted` of all pods."""
    for name, _, pod in workloads(manifests):
        context = pod.get("securityContext", {})
        if any(pod.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name} uses a namespace of its node"
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} runs without the default seccomp profile"
        if any(not VOLUMES & set(each) for each in pod.get("volumes", ())):
            yield f"{name} has a volume of a forbidden type"
        for each in containers(pod):
            own = each.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{name} may gain privileges"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name} keeps capabilities"
            if own.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile"}:
                yield f"{name} changes the user or the seccomp profile of its pod"
            if any("hostPort" in port for port in each.get("ports", ())):
                yield f"{name} takes a port of its node"


@rule
def the_namespace_enforces_it(manifests: Manifests) -> Iterator[str]:
    """Require that the namespace refuses pods that are not `restricted`, and that everything is in it."""
    for each in of_kind(manifests, "Namespace"):
        if each["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"namespace {each['metadata']['name']} takes pods that are not restricted"
    for each in manifests:
        if each["kind"] != "Namespace" and each["metadata"].get("namespace") != NAMESPACE:
            yield f"{each['kind']} {each['metadata']['name']} is not in the namespace"


@rule
def roots_are_read_only(manifests: Manifests) -> Iterator[str]:
    """Require read-only root file systems, and a bounded `/tmp`."""
    for name, _, pod in workloads(manifests):
        bounded = {each["name"] for each in pod.get("volumes", ()) if each.get("emptyDir", {}).get("sizeLimit")}
        for each in containers(pod):
            if each.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"{name} can write its root"
            if not bounded & {one["name"] for one in each.get("volumeMounts", ()) if one["mountPath"] == "/tmp"}:
                yield f"{name} has no bounded /tmp"


@rule
def we_run_as_the_user_of_the_image(manifests: Manifests) -> Iterator[str]:
    """Require the user of the Dockerfile."""
    for name, _, pod in ours(manifests):
        if (pod["securityContext"].get("runAsUser"), pod["securityContext"].get("runAsGroup")) != (USER, USER):
            yield f"{name} does not run as {USER}"


@rule
def pods_get_no_token(manifests: Manifests) -> Iterator[str]:
    """Forbid tokens of service accounts."""
    for name, _, pod in workloads(manifests):
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name} gets a token for the API of Kubernetes"


@rule
def resources_are_bounded(manifests: Manifests) -> Iterator[str]:
    """Require requests and limits of processor and memory for each container."""
    for name, _, pod in workloads(manifests):
        for each in containers(pod):
            for bound in ("requests", "limits"):
                if each.get("resources", {}).get(bound, {}).keys() != {"cpu", "memory"}:
                    yield f"{name} has no {bound} of processor and memory"


@rule
def processes_are_probed(manifests: Manifests) -> Iterator[str]:
    """Require three probes on the ops port of each process, with more time than the check itself takes."""
    pages = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for name, _, pod in ours(of_kind(manifests, "Deployment")):
        (container,) = pod["containers"]
        for probe, path in pages.items():
            found = container.get(probe) or {}
            if found.get("httpGet") != {"path": path, "port": "ops"} or found.get("timeoutSeconds", 1) < 3:
                yield f"{name} has no {probe} of {path} on the ops port"
        if "ops" not in {port["name"] for port in container["ports"]}:
            yield f"{name} has no ops port"


@rule
def an_api_pauses_before_it_stops(manifests: Manifests) -> Iterator[str]:
    """Require that an api stops only after load balancers have had time to leave it."""
    for name, labels, pod in ours(of_kind(manifests, "Deployment")):
        wanted = {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}
        if labels[COMPONENT] == "api" and pod["containers"][0].get("lifecycle") != wanted:
            yield f"{name} does not pause before it stops"


@rule
def processes_may_drain(manifests: Manifests) -> Iterator[str]:
    """Require that Kubernetes waits longer for the end of a process than the process takes at most."""
    drains = {each.name: each.service.settings.drain_seconds for each in facts()}
    for name, labels, pod in ours(of_kind(manifests, "Deployment")):
        pause = PRE_STOP_SECONDS if labels[COMPONENT] == "api" else 0
        if pod.get("terminationGracePeriodSeconds", 30) < pause + drains[labels[NAME]] + END_SECONDS:
            yield f"{name} may be killed while it drains"


@rule
def processes_are_spread(manifests: Manifests) -> Iterator[str]:
    """Require that the pods of a Deployment are spread over zones and nodes."""
    for name, labels, pod in ours(of_kind(manifests, "Deployment")):
        spread = pod.get("topologySpreadConstraints", ())
        keys = {each["topologyKey"] for each in spread if each["labelSelector"]["matchLabels"] == labels}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{name} is not spread over zones and nodes"


@rule
def rolling_keeps_all_pods(manifests: Manifests) -> Iterator[str]:
    """Require that an update starts a new pod before it stops an old one, and that a node is drained pod by pod."""
    budgets = [each["spec"] for each in of_kind(manifests, "PodDisruptionBudget")]
    for each in of_kind(manifests, "Deployment"):
        name, spec = each["metadata"]["name"], each["spec"]
        if spec.get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"an update of {name} stops a pod first"
        own = [one for one in budgets if one["selector"]["matchLabels"] == spec["selector"]["matchLabels"]]
        if [one.get("maxUnavailable") for one in own] != [1]:
            yield f"{name} has no budget that lets one pod go at a time"


@rule
def apis_scale(manifests: Manifests) -> Iterator[str]:
    """Require an autoscaler with at least two pods for each api, and that no Deployment states a number of pods."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["minReplicas"]
        for each in of_kind(manifests, "HorizontalPodAutoscaler")
    }
    for each in of_kind(manifests, "Deployment"):
        name = each["metadata"]["name"]
        if each["metadata"]["labels"][COMPONENT] == "api" and scaled.get(name, 0) < 2:
            yield f"{name} is not scaled, or may have one pod only"
        if "replicas" in each["spec"]:
            yield f"applying {name} again would undo its autoscaler"


@rule
def everything_else_is_denied(manifests: Manifests) -> Iterator[str]:
    """Require a policy that denies each connection that no other policy allows."""
    denied = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(each["spec"] == denied for each in of_kind(manifests, "NetworkPolicy")):
        yield "pods may connect to everything"


@rule
def only_needed_connections_are_allowed(manifests: Manifests) -> Iterator[str]:
    """Require exactly the connections of its role for each pod, with a destination if the overlay can know one."""
    policies = of_kind(manifests, "NetworkPolicy")
    for name, labels, _ in ours(manifests):
        chosen = [each for each in policies if _selects(each["spec"]["podSelector"], labels)]
        for direction, wanted in _connections(manifests, labels).items():
            edges = [edge for each in chosen for edge in each["spec"].get(direction, ())]
            found = {port["port"] for edge in edges for port in edge.get("ports", [{"port": "any"}])}
            if found != wanted:
                yield f"{name}: {direction} {sorted(map(str, found))} instead of {sorted(map(str, wanted))}"
    for each in policies:
        name = each["metadata"]["name"]
        if any(not edge.get("from") for edge in each["spec"].get("ingress", ())):
            yield f"policy {name} has no source"
        open_to_all = any(not edge.get("to") for edge in each["spec"].get("egress", ()))
        if open_to_all and name not in ANYWHERE and not name.endswith("-mail"):
            yield f"policy {name} has no destination"


def _connections(manifests: Manifests, labels: dict[str, str]) -> dict[str, set[Any]]:
    component = labels[COMPONENT]
    service = next((each for each in facts() if each.name == labels[NAME]), None)
    outward: dict[str, set[Any]] = {
        "api": {POSTGRES, KAFKA, _issuer_port(manifests)},
        "worker": {POSTGRES, KAFKA},
        "runner": {POSTGRES},
        "migrate": {POSTGRES},
        "topics": {KAFKA},
    }
    inward: dict[str, set[Any]] = {"api": {"http", "ops"}, "worker": {"ops"}, "runner": {"ops"}}
    out = outward[component] | {DNS}
    if service is not None and component == "api" and service.asks_services:
        out |= {"http"}
    if service is not None and component == "worker":
        out |= {int(_setting(manifests, name) or port) for name, port in service.mail_ports.items()}
    return {"egress": out, "ingress": inward.get(component, set())}


def _issuer_port(manifests: Manifests) -> int:
    issuer = urlsplit(_setting(manifests, "CROSSDOCK_ISSUER") or "https:")
    return issuer.port or {"http": 80, "https": HTTPS}[issuer.scheme]


def _setting(manifests: Manifests, name: str) -> str | None:
    """Return the value of a setting that the overlay itself has in a ConfigMap or a Secret."""
    found = [each["data"][name] for each in of_kind(manifests, "ConfigMap") if name in each.get("data", {})]
    encoded = [each["data"][name] for each in of_kind(manifests, "Secret") if name in each.get("data", {})]
    return next(iter([*found, *(base64.b64decode(each).decode() for each in encoded)]), None)


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


@rule
def secrets_are_named_only(manifests: Manifests) -> Iterator[str]:
    """Forbid passwords in manifests: in Secrets, in ConfigMaps and in variables."""
    for each in of_kind(manifests, "Secret"):
        values = [base64.b64decode(value).decode() for value in each.get("data", {}).values()]
        if any(re.search(PASSWORD, value) for value in [*values, *each.get("stringData", {}).values()]):
            yield f"Secret {each['metadata']['name']} has a password"
    for each in of_kind(manifests, "ConfigMap"):
        if re.search(rf"(?i)(password|secret|_key)=|{PASSWORD}", "\n".join(each.get("data", {}).values())):
            yield f"ConfigMap {each['metadata']['name']} has a password"
    for name, _, pod in workloads(manifests):
        for variable in [one for each in containers(pod) for one in each.get("env", ())]:
            value, named = variable.get("value", ""), re.search("(PASSWORD|SECRET|_KEY)$", variable["name"])
            if re.search(PASSWORD, value) or (value and named):
                yield f"{name} has the value of {variable['name']}"


@rule
def settings_come_from_outside(manifests: Manifests) -> Iterator[str]:
    """Require that each service reads the shared settings, and the files of its own Secret and of no other one."""
    shared = {each["metadata"]["name"] for each in of_kind(manifests, "ConfigMap")}
    for name, labels, pod in ours(manifests):
        (container,) = pod["containers"]
        sources = container.get("envFrom", ())
        maps = [each["configMapRef"]["name"] for each in sources if "configMapRef" in each]
        folders = {each["name"]: each["mountPath"] for each in container.get("volumeMounts", ())}
        secrets = {
            _unhashed(each["secret"]["secretName"]): folders.get(each["name"])
            for each in pod.get("volumes", ())
            if "secret" in each
        }
        named = [each["value"] for each in container.get("env", ()) if each["name"] == "CROSSDOCK_SECRETS"]
        if len(maps) != 1 or len(sources) != 1 or maps[0] not in shared or named != [*secrets.values()]:
            yield f"{name} does not read the shared settings and its Secret as files: {maps}, {secrets}"
        if [*secrets] != [labels[NAME]]:
            yield f"{name} reads the Secrets {[*secrets]} instead of its own"


def _unhashed(name: str) -> str:
    """Return the name without the hash that kustomize appends to what it generates."""
    return re.sub(r"-[0-9a-z]{10}$", "", name) if name not in {each.name for each in facts()} else name


@rule
def jobs_end_and_go(manifests: Manifests) -> Iterator[str]:
    """Require that a Job ends, keeps its pods for their logs, and is removed later: its template cannot change."""
    for each in of_kind(manifests, "Job"):
        spec = each["spec"]
        bounded = spec.get("backoffLimit", 6) <= 6 and spec.get("ttlSecondsAfterFinished")
        if not bounded or spec["template"]["spec"]["restartPolicy"] != "Never":
            yield f"Job {each['metadata']['name']} may run for ever, or stay"


@rule
def migrations_can_go_first(manifests: Manifests) -> Iterator[str]:
    """Require the labels by which an upgrade applies everything but the processes first, as the README explains."""
    for each in of_kind(
        manifests, "Deployment", "Job", "ConfigMap", "Secret", "Namespace", "NetworkPolicy", "StatefulSet"
    ):
        component = each["metadata"].get("labels", {}).get(COMPONENT)
        if (each["kind"] == "Deployment") != (component in ("api", "worker", "runner")):
            yield f"{each['kind']} {each['metadata']['name']} is applied at the wrong time of an upgrade"


@rule
def all_run_one_image(manifests: Manifests) -> Iterator[str]:
    """Require the same image for all processes of Crossdock, and a tag or a digest for each image."""
    images = {each["image"] for _, _, pod in ours(manifests) for each in containers(pod)}
    if len(images) != 1:
        yield f"there are several images: {sorted(images)}"
    for name, _, pod in workloads(manifests):
        if any(":" not in each["image"].rpartition("/")[2] for each in containers(pod)):
            yield f"{name} runs an image without a tag"
        if any(each.get("imagePullPolicy") != "IfNotPresent" for each in containers(pod)):
            yield f"{name} may pull an image that its node has"
