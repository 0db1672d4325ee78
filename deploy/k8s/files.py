"""The generated files below `deploy/k8s`, each as text."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from deploy.k8s import network, operators, servers, workloads
from deploy.k8s.facts import APPLICATION, NAMESPACE, facts
from deploy.k8s.workloads import Manifest

from crossdock_cli.discovery import installed
from crossdock_local.compose import DEVELOPMENT_KEY, addresses
from crossdock_local.people.console import SERVICE as CONSOLE
from crossdock_local.posting import DOMAIN
from crossdock_local.posting import SERVICE as DESK

FOLDER = Path(__file__).parent
HEADER = "Generated from the installed services: `make generate`."
DEVELOPMENT: Final[Mapping[str, Mapping[str, str]]] = {
    CONSOLE: {
        "CROSSDOCK_CONSOLE_URL": "http://127.0.0.1:8440",
        "CROSSDOCK_SIGN_IN_SECRET": "development",
        "CROSSDOCK_SIGN_IN_KEY": DEVELOPMENT_KEY,
    },
    DESK: {
        "CROSSDOCK_SMTP_HOST": "post-office",
        "CROSSDOCK_SMTP_PORT": "8480",
        "CROSSDOCK_MAIL_DOMAIN": DOMAIN,
        "CROSSDOCK_MAIL_KEY": "development",
        "CROSSDOCK_PUBLIC_URL": "http://127.0.0.1:8460",
        "CROSSDOCK_SHARED_NAMESPACES": '{"store-*": "stores"}',
    },
}
"""Settings of the dev overlay, which everybody may know: `kubectl port-forward` publishes on loopback."""


def generated() -> dict[Path, str]:
    """Return the text of each generated file."""
    base = {
        "namespace.yaml": [_namespace()],
        "network.yaml": network.policies(),
        "topics.yaml": [workloads.job(APPLICATION, "topics", ["crossdock_cli", "topics", "create"])],
        **{f"{each.name}.yaml": workloads.of_service(each) for each in facts()},
    }
    made = {
        **_folder("base", "Kustomization", base, namespace=NAMESPACE),
        **_folder("components/ingress", "Component", {"hosts.yaml": operators.ingresses()}),
        **_folder("components/keda", "Component", {"workers.yaml": operators.scaled_workers()}),
        **_folder("components/monitoring", "Component", {"monitors.yaml": operators.monitors()}),
        **_databases("components/dev-databases"),
        **_folder(
            "components/strimzi",
            "Component",
            {"kafka.yaml": servers.kafka()},
            patches={"settings.yaml": servers.kafka_settings()},
            inline=[_to("kafka", servers.KAFKA_PODS), {"patch": _removed("Job", f"{APPLICATION}-topics")}],
        ),
        **_folder(
            "components/cloudnative-pg",
            "Component",
            {"postgres.yaml": servers.postgres()},
            patches={"settings.yaml": servers.postgres_settings()},
            inline=[_to("postgres", servers.POSTGRES_PODS)],
        ),
    }
    return {FOLDER / name: text for name, text in made.items()}


def _folder(
    folder: str,
    kind: str,
    resources: Mapping[str, Iterable[Manifest]],
    patches: Mapping[str, Iterable[Manifest]] | None = None,
    inline: Iterable[Manifest] = (),
    **rest: object,
) -> dict[str, str]:
    """Return the files of a folder, and the one for Kustomize that lists them."""
    listed = [*({"path": name} for name in patches or ()), *inline]
    own = _list(kind, **rest, resources=[*resources], **({"patches": listed} if listed else {}))
    made = {f"{folder}/{name}": documents(each) for name, each in {**resources, **(patches or {})}.items()}
    return {f"{folder}/kustomization.yaml": documents([own]), **made}


def _to(policy: str, pods: Manifest) -> Manifest:
    """Return the patch that names the destination of a policy."""
    operation = {"op": "add", "path": "/spec/egress/0/to", "value": [{"podSelector": pods}]}
    return {"target": {"kind": "NetworkPolicy", "name": policy}, "patch": yaml.safe_dump([operation])}


def _removed(kind: str, name: str) -> str:
    gone = {
        "$patch": "delete",
        "apiVersion": "batch/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
    }
    return yaml.safe_dump(gone)


def _list(kind: str, **rest: object) -> Manifest:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    return {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, **rest}


def _namespace() -> Manifest:
    own = {"app.kubernetes.io/part-of": APPLICATION}
    for mode in ("enforce", "audit", "warn"):
        own |= {f"pod-security.kubernetes.io/{mode}": "restricted"}
        own |= {f"pod-security.kubernetes.io/{mode}-version": "latest"}
    return workloads.manifest("v1", "Namespace", NAMESPACE, own)


def _databases(folder: str) -> dict[str, str]:
    """Return the databases, the Secrets that name them, and the addresses for commands.

    The server trusts each pod that may connect to it.
    """
    databases = [f"-- {HEADER}"]
    secrets = []
    for each in facts():
        databases += [
            f"CREATE ROLE {each.package} LOGIN;",
            f"CREATE DATABASE {each.package} OWNER {each.package};",
            f"REVOKE CONNECT, TEMPORARY ON DATABASE {each.package} FROM PUBLIC;",
        ]
        address = f"postgresql://{each.package}@postgres:{network.POSTGRES}/{each.package}"
        values = {"CROSSDOCK_POSTGRES": address, **DEVELOPMENT.get(each.name, {})}
        secrets.append({"name": each.name, "literals": [f"{name}={value}" for name, value in values.items()]})
    maps = [{"name": "databases", "files": ["databases.sql"]}, {"name": "addresses", "files": ["addresses.toml"]}]
    return {
        f"{folder}/databases.sql": "\n".join(databases) + "\n",
        f"{folder}/addresses.toml": f"# {HEADER}\n{addresses(installed())}",
        f"{folder}/kustomization.yaml": documents(
            [_list("Component", configMapGenerator=maps, secretGenerator=secrets)]
        ),
    }


class _Dumper(yaml.SafeDumper):
    """Indent lists, and write no aliases for mappings that occur twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def documents(manifests: Iterable[Mapping[str, Any]]) -> str:
    text = yaml.dump_all(list(manifests), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return f"# {HEADER}\n{text}"
