"""The examples name options, paths, users and codes that the application has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import application_manifest
from results import RESULT
from settings import PREFIX, load_settings

import petlesion
from petlesion.cli import run
from petlesion.errors import ExitCode
from petlesion.networks.registry import Registry

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IMAGE = f"localhost/petlesion-map:{petlesion.__version__}"
MODULE_FIELDS = {  # of mercure's class Module
    *("docker_tag", "additional_volumes", "environment", "docker_arguments", "settings", "contact", "comment"),
    *("constraints", "resources", "requires_root"),
}


def accept(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """The application must take these environment variables, and choose the method itself."""
    for name, value in variables.items():
        assert name.startswith(PREFIX)
        monkeypatch.setenv(name, value)
    assert load_settings().method is None


def folders() -> dict[str, str]:
    environment: dict[str, str] = application_manifest()["environment"]
    return environment


def test_every_example_has_a_readme_and_names_the_image_of_this_version() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {"orthanc", "podman", "mercure", "argo", "compose"}
    for folder in EXAMPLES.iterdir():
        assert (folder / "README.md").is_file(), folder
        text = "".join(path.read_text() for path in folder.iterdir() if path.is_file())
        assert set(re.findall(r"localhost/petlesion-map:[\w.]+\w", text)) == {IMAGE}, folder


def test_mercure_module(monkeypatch: pytest.MonkeyPatch) -> None:
    (module,) = json.loads((EXAMPLES / "mercure" / "module.json").read_text())["modules"].values()
    assert set(module) == MODULE_FIELDS
    accept(monkeypatch, json.loads(module["environment"]))
    assert json.loads(module["docker_arguments"])["read_only"] is True
    assert module["requires_root"] is False


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_podman_without_root_keeps_the_user(tmp_path: Path, engine: str) -> None:
    """Otherwise the container's user is one who may not write the results."""
    if subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    (tmp_path / engine).write_text("#!/bin/sh\necho $*\n")
    (tmp_path / engine).chmod(0o755)
    command = ["bash", EXAMPLES / "podman" / "process-study", tmp_path, tmp_path / "results"]

    def given(*prefix: str) -> bool:
        done = subprocess.run(
            [*prefix, *command],
            env={**os.environ, "ENGINE": str(tmp_path / engine)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "run --rm" in done.stdout
        return "--userns=keep-id" in done.stdout

    assert given("unshare", "--user") is (engine == "podman")
    assert given() is (engine == "podman" and os.getuid() != 0)


def argo() -> Any:
    document = yaml.safe_load((EXAMPLES / "argo" / "workflow-template.yaml").read_text())
    (template,) = document["spec"]["templates"]
    assert document["spec"]["entrypoint"] == template["name"]
    return document["spec"], template


def test_argo_template_mounts_and_runs_what_the_image_has(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, template = argo()
    mounts = {mount["name"]: mount["mountPath"] for mount in template["container"]["volumeMounts"]}
    environment = folders()
    assert mounts == {
        "studies": environment["HOLOSCAN_INPUT_PATH"],
        "results": environment["HOLOSCAN_OUTPUT_PATH"],
        "tmp": "/tmp",
    }
    assert {volume["name"] for volume in spec["volumes"]} == set(mounts)
    given = {parameter["name"]: parameter.get("value") for parameter in spec["arguments"]["parameters"]}
    assert {parameter["name"] for parameter in template["inputs"]["parameters"]} == set(given)
    variables = {each["name"]: each["value"] for each in template["container"]["env"]}
    assert variables == {"PETLESION_METHOD": "{{inputs.parameters.method}}"}
    accept(monkeypatch, {"PETLESION_METHOD": given["method"]})
    dockerfile = (EXAMPLES.parent / "deploy_app" / "Dockerfile").read_text()
    (entry_point,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    assert template["container"]["command"] == json.loads(entry_point)
    assert json.loads(template["podSpecPatch"]) == {"enableServiceLinks": False}
    security = template["container"]["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert template["securityContext"]["runAsNonRoot"] is True
    (output,) = template["outputs"]["parameters"]
    assert output["valueFrom"]["path"] == f"{environment['HOLOSCAN_OUTPUT_PATH']}/{RESULT}"


def test_argo_tries_again_only_what_may_succeed() -> None:
    _, template = argo()
    codes = {int(code) for code in re.findall(r"\d+", template["retryStrategy"]["expression"].split(" in ")[1])}
    assert codes == {ExitCode.SEGMENTATION, ExitCode.OUTPUT, 137, 143}
    assert template["activeDeadlineSeconds"] > application_manifest()["timeout"]


def test_image_of_the_annotation_server_holds_files_of_the_repository_alone(tmp_path: Path) -> None:
    """And the folder of OHIF, where it is built."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed: make system-tools")
    repository = EXAMPLES.parent
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    image = tmp_path / "image.id"
    output = ("--file", tmp_path / "Dockerfile", "--output", f"type=local,dest={tmp_path / 'copied'}")
    subprocess.run(
        ["buildah", "bud", "--isolation", "chroot", "--quiet", "--iidfile", image, *output, repository],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    subprocess.run(["buildah", "rmi", image.read_text()], check=True, capture_output=True, timeout=60)
    list_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(list_files, cwd=repository, capture_output=True, text=True, check=True, timeout=60)
    tracked = {Path(line) for line in listed.stdout.splitlines() if (repository / line).is_file()}
    found = [path.relative_to(tmp_path / "copied") for path in (tmp_path / "copied").rglob("*") if path.is_file()]
    copied = {path for path in found if path.parts[:2] != ("build", "ohif")}
    names = {"LICENSE", "README.md", "apps", "compat", "petlesion", "pyproject.toml", "requirements.txt"}
    assert copied == {path for path in tracked if path.parts[0] in names}


def test_compose_volume_of_models_begins_with_the_network(tmp_path: Path) -> None:
    """By the command that the image runs; an empty volume takes over what is there in the image."""
    server = yaml.safe_load((EXAMPLES / "compose" / "compose.yaml").read_text())["services"]["annotation-server"]
    folder = dict(zip(server["command"][::2], server["command"][1::2], strict=True))["--models"]
    assert f"models:{folder}" in server["volumes"]
    dockerfile = EXAMPLES.parent / server["build"]["dockerfile"]
    (export,) = re.findall(r"^RUN petlesion (export [^\\\n]*)", dockerfile.read_text(), re.MULTILINE)
    arguments = [word.replace(folder, str(tmp_path / "models")) for word in export.split()]
    assert str(tmp_path / "models") in arguments
    assert run(arguments) == ExitCode.DONE
    assert Registry.of(tmp_path / "models", "unet").find_current() is not None


def test_compose_services_run_with_options_and_folders_that_exist() -> None:
    services = yaml.safe_load((EXAMPLES / "compose" / "compose.yaml").read_text())["services"]
    assert set(services) == {"orthanc", "annotation-server", "map"}
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", ()))
    server = services["annotation-server"]
    shown = subprocess.run(
        [Path(sys.executable).with_name("petlesion"), "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for option in [word for word in server["command"] if word.startswith("--")]:
        assert re.search(rf"{option}\b", shown), option
    assert (EXAMPLES / "compose" / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    recipe = (EXAMPLES.parent / server["build"]["dockerfile"]).read_text()
    (user,) = re.findall(r"^USER (\S+)$", recipe, re.MULTILINE)
    assert user not in ("0", "root")
    assert f"useradd --uid 10001 --home-dir /data --create-home {user} && chown -R {user}: /models" in recipe
    assert services["map"]["read_only"] is True
    assert services["map"]["network_mode"] == "none"
    assert services["map"]["volumes"] == [f"models:{folders()['HOLOSCAN_MODEL_PATH']}:ro"]
