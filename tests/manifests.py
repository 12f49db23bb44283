"""Are the Kubernetes manifests valid, and do they keep our rules? `python -m tests.manifests`.

With `kubectl` on the PATH both overlays are rendered and checked whole. Without it their resources
are checked file by file, and patches and what only a rendered overlay can show are left out.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from asr_service.settings import WorkerSettings
from common.errors import SettingsError
from common.settings import load_settings
from gateway.settings import GatewaySettings
from lid_service.settings import LidSettings

Document = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
K8S = ROOT / "k8s"
OVERLAYS = ("cpu", "gpu", "shared-adapters")
KUSTOMIZATION = "kustomization.yaml"
KUBERNETES = ("1.30", "1.37")
"""The oldest version with all we use (`preStop.sleep`), and the newest with known schemas."""

SETTINGS: Mapping[str, type[Any]] = {
    "gateway": GatewaySettings,
    "lid_service": LidSettings,
    "asr_service": WorkerSettings,
}
"""By the module a container runs: its first argument."""

OTHER_VARIABLES = {
    "PANGLOT_CACHE": "where converted models are kept; read by speech.base_model",
}

END_S = 5
"""What a process may need, beyond preStop and drain, before it is killed."""


# Documents


def read(text: str) -> list[Document]:
    """The documents of one YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def render(overlay: Path) -> list[Document]:
    """The documents that `kubectl apply -k` would send."""
    command = ["kubectl", "kustomize", str(overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{overlay.relative_to(ROOT)} does not render: {done.stderr.strip()}")
    return read(done.stdout)


def unrendered() -> list[Document]:
    """The documents in the files that kustomizations list as resources; patches are not whole."""
    kustomizations = [(path.parent, read(path.read_text())) for path in K8S.rglob(KUSTOMIZATION)]
    paths = {
        folder / resource
        for folder, (kustomization,) in kustomizations
        for resource in kustomization.get("resources", [])
        if (folder / resource).is_file()
    }
    return [one for path in sorted(paths) for one in read(path.read_text(encoding="utf-8"))]


# Rules: each gives one line for every breach.


def schema_problems(document: Document) -> Iterator[str]:
    """Unknown fields, missing fields and wrong types."""
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = ".".join(str(part) for part in error.path)
            yield f"not valid in Kubernetes {version}: {place}: {error.message}"


def pod_problems(deployment: Document) -> Iterator[str]:
    """Pod and containers run without rights, within bounds, and answer probes."""
    pod = deployment["spec"]["template"]["spec"]
    security = pod.get("securityContext", {})
    wanted = {
        "automountServiceAccountToken is false": pod.get("automountServiceAccountToken") is False,
        # Links would set variables such as GATEWAY_PORT in every pod.
        "enableServiceLinks is false": pod.get("enableServiceLinks") is False,
        "serviceAccountName is set": bool(pod.get("serviceAccountName")),
        "runAsNonRoot": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0,
        "seccompProfile is RuntimeDefault": security.get("seccompProfile")
        == {"type": "RuntimeDefault"},
        "volumes have a sizeLimit": all(
            "sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume
        ),
    }
    for container in pod["containers"]:
        wanted |= {f"{container['name']}: {rule}": ok for rule, ok in _container_rules(container)}
    yield from (f"rule broken: {rule}" for rule, kept in wanted.items() if not kept)


def _container_rules(container: Document) -> Iterator[tuple[str, bool]]:
    security = container.get("securityContext", {})
    resources = container.get("resources", {})
    for probe in ("readinessProbe", "livenessProbe"):
        yield f"has a {probe}", probe in container
    for side in ("requests", "limits"):
        yield f"{side} cpu and memory", {"cpu", "memory"} <= resources.get(side, {}).keys()
    yield "root file system is read-only", security.get("readOnlyRootFilesystem") is True
    yield "no privilege escalation", security.get("allowPrivilegeEscalation") is False
    yield "drops all capabilities", security.get("capabilities") == {"drop": ["ALL"]}


def rendered_problems(documents: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """What shows only where all documents are together: (document, problem)."""
    names = {(one["kind"], one["metadata"]["name"]) for one in documents}
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in documents
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    for deployment in (one for one in documents if one["kind"] == "Deployment"):
        name = deployment["metadata"]["name"]
        pod = deployment["spec"]["template"]["spec"]
        problems = [
            *(
                f"refers to {kind} {ref}"
                for kind, ref in references(pod)
                if (kind, ref) not in names
            ),
            *(
                f"image {container['image']} has no fixed tag"
                for container in pod["containers"]
                if not re.search(r":(?!latest$)[^:/]+$", container["image"])
            ),
            *settings_problems(deployment, documents),
        ]
        if (name in scaled) == ("replicas" in deployment["spec"]):
            problems.append("give either replicas or a HorizontalPodAutoscaler")
        yield from ((name, problem) for problem in problems)


def references(pod: Document) -> Iterator[tuple[str, str]]:
    """(kind, name) of what a pod needs beside it."""
    yield "ServiceAccount", pod["serviceAccountName"]
    for volume in pod.get("volumes", []):
        if claim := volume.get("persistentVolumeClaim"):
            yield "PersistentVolumeClaim", claim["claimName"]
    for container in pod["containers"]:
        for source in container.get("envFrom", []):
            yield "ConfigMap", source["configMapRef"]["name"]
        for variable in container.get("env", []):
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield "Secret", secret["name"]


def settings_problems(deployment: Document, documents: Sequence[Document]) -> Iterator[str]:
    """The environment is one that the process accepts, and there is time to drain."""
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    kind = SETTINGS.get(str(container.get("args", [""])[0]))
    if kind is None:  # none of ours
        return
    environment = container_environment(container, documents)
    known = {field.metadata["variable"] for field in fields(kind)} | OTHER_VARIABLES.keys()
    for variable in environment:
        if variable.startswith("PANGLOT_") and variable not in known:
            yield f"{variable} is not a setting of {kind.__name__}"
    try:
        settings = load_settings(kind, environment)
    except SettingsError as error:
        yield str(error)
        return
    before_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    needed_s = before_s + settings.drain_s + END_S
    if pod["terminationGracePeriodSeconds"] < needed_s:
        yield f"terminationGracePeriodSeconds is less than preStop, drain and end: {needed_s:.0f}"


def container_environment(container: Document, documents: Sequence[Document]) -> dict[str, str]:
    """A container's variables as the node would set them; what only a node knows is `?`."""
    maps = {one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "ConfigMap"}
    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environment |= maps.get(source["configMapRef"]["name"], {})
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        value = str(variable.get("value", "?"))
        if resource := source.get("resourceFieldRef", {}).get("resource"):
            side, what = resource.split(".")
            value = str(math.ceil(_cores(container["resources"][side][what])))
        environment[variable["name"]] = value
    return environment


def _cores(quantity: str | int) -> float:
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def variable_problems(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every PANGLOT_ variable that a file mentions is one that some process reads."""
    known = {field.metadata["variable"] for kind in SETTINGS.values() for field in fields(kind)}
    for name, text in texts.items():
        for variable in sorted(set(re.findall(r"PANGLOT_[A-Z0-9_]+", text))):
            if variable not in known | OTHER_VARIABLES.keys():
                yield name, f"{variable} is not a setting of any process"


# The whole check


def document_problems(documents: Iterable[Document]) -> Iterator[tuple[str, str]]:
    """What shows in each document by itself: (document, problem)."""
    for document in documents:
        problems = [*schema_problems(document)]
        if document["kind"] in ("Deployment", "StatefulSet") and not problems:
            problems += pod_problems(document)
        name = f"{document['kind']}/{document['metadata']['name']}"
        yield from ((name, problem) for problem in problems)


def main() -> int:
    """Print every problem; 1 if there are any."""
    files = [path for path in sorted(K8S.rglob("*")) if path.is_file()]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    lines = [f"{name}: {problem}" for name, problem in variable_problems(texts)]
    if shutil.which("kubectl"):
        checked = 0
        for overlay in OVERLAYS:
            documents = render(K8S / "overlays" / overlay)
            found = [*document_problems(documents), *rendered_problems(documents)]
            lines += [f"overlay {overlay}: {name}: {problem}" for name, problem in found]
            checked += len(documents)
        what = f"{checked} documents of {len(OVERLAYS)} rendered overlays"
    else:
        documents = unrendered()
        lines += [f"{name}: {problem}" for name, problem in document_problems(documents)]
        what = f"{len(documents)} documents; overlays not rendered, as there is no kubectl"
    for line in lines:
        print(line)
    print(f"{len(lines)} problems in {what}, for Kubernetes {' and '.join(KUBERNETES)}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
