"""What `make check` asks of generated and deployed files, and that its questions can be failed."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import documents
from tests import generated_stubs, manifests
from tests.manifests import Document


@pytest.mark.parametrize("module", ["tests.generated_stubs", "tests.manifests"])
def test_the_repository_passes(module: str) -> None:
    """As a process: the schema library leaves files open, which is an error in ours."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=manifests.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_stubs_that_differ_are_named(tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(generated_stubs.PROTOS, protos)
    stubs = protos / "panglot" / "v1"
    (stubs / "asr_pb2.py").write_text("# patched\n")
    (stubs / "lid_pb2.pyi").unlink()
    (stubs / "gone_pb2.py").touch()
    assert generated_stubs.differences(protos) == [
        "protos/panglot/v1/asr_pb2.py is not what its proto gives",
        "protos/panglot/v1/gone_pb2.py has no proto: delete it",
        "protos/panglot/v1/lid_pb2.pyi is missing",
    ]


def worker() -> Document:
    """A Deployment that keeps every rule."""
    (found,) = (
        one
        for one in manifests.read((manifests.K8S / "base/worker.yaml").read_text())
        if one["kind"] == "Deployment"
    )
    return copy.deepcopy(found)


def pod(deployment: Document) -> Document:
    """Its pod."""
    spec: Document = deployment["spec"]["template"]["spec"]
    return spec


def container(deployment: Document) -> Document:
    """Its container."""
    first: Document = pod(deployment)["containers"][0]
    return first


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        (lambda d: container(d).pop("livenessProbe"), "worker: has a livenessProbe"),
        (lambda d: container(d)["resources"].pop("limits"), "worker: limits cpu and memory"),
        (
            lambda d: container(d)["securityContext"].pop("readOnlyRootFilesystem"),
            "worker: root file system is read-only",
        ),
        (lambda d: pod(d)["securityContext"].update(runAsUser=0), "runAsNonRoot"),
        (
            lambda d: pod(d).pop("automountServiceAccountToken"),
            "automountServiceAccountToken is false",
        ),
        (lambda d: pod(d).pop("enableServiceLinks"), "enableServiceLinks is false"),
        (lambda d: pod(d)["volumes"][0].update(emptyDir={}), "volumes have a sizeLimit"),
    ],
)
def test_a_pod_that_breaks_a_rule_is_named(
    spoil: Callable[[Document], object], broken: str
) -> None:
    deployment = worker()
    assert list(manifests.pod_problems(deployment)) == []
    spoil(deployment)
    assert list(manifests.pod_problems(deployment)) == [f"rule broken: {broken}"]


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PANGLOT_WORKER_SLOT", "20", "PANGLOT_WORKER_SLOT is not a setting of WorkerSettings"),
        (
            "PANGLOT_GATEWAY_MAX_STREAMS",
            "20",
            "PANGLOT_GATEWAY_MAX_STREAMS is not a setting of WorkerSettings",
        ),
        (
            "PANGLOT_WORKER_SLOTS",
            "0",
            "PANGLOT_WORKER_SLOTS is 0: give 1 to 4096 (adapters held at once)",
        ),
        (
            "PANGLOT_DRAIN_SECONDS",
            "60",
            "terminationGracePeriodSeconds is less than preStop, drain and end: 65",
        ),
    ],
)
def test_an_environment_the_process_would_refuse_is_named(
    variable: str, value: str, problem: str
) -> None:
    deployment = worker()
    settings: Document = {
        "kind": "ConfigMap",
        "metadata": {"name": "worker"},
        "data": {"PANGLOT_DRAIN_SECONDS": "30"},
    }
    assert list(manifests.settings_problems(deployment, [settings])) == []
    settings["data"][variable] = value
    assert list(manifests.settings_problems(deployment, [settings])) == [problem]


@pytest.mark.parametrize("path", documents.DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_of_a_document_are_what_the_results_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert documents.rendered(text) == text
