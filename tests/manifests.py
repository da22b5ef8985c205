"""The resources of deploy/kubernetes/example, read without kustomize: a name is as in its file, without a hash."""

from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[1]
FOLDER = CHECKOUT / "deploy/kubernetes"
EXAMPLE = FOLDER / "example"


def split(text: str) -> list[dict[str, Any]]:
    """Each resource of a file, those of a List, too."""
    return [each for document in yaml.safe_load_all(text) for each in document.get("items", [document])]


def load(folder: Path) -> list[dict[str, Any]]:
    """The resources that a kustomization lists, with those of the folders that it lists."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    paths = [folder / name for name in [*listed.get("resources", []), *listed.get("components", [])]]
    return [each for path in paths for each in (load(path) if path.is_dir() else split(path.read_text()))]


def variables(path: Path) -> dict[str, str]:
    """Of a file with a NAME=value a line."""
    return dict(line.split("=", 1) for line in path.read_text().split())


def kind(name: str) -> dict[str, dict[str, Any]]:
    """The resources of a kind by their names."""
    return {each["metadata"]["name"]: each for each in RESOURCES if each["kind"] == name}


RESOURCES = load(EXAMPLE)
SETTINGS = variables(FOLDER / "base/settings.env") | variables(EXAMPLE / "settings.env")
DEPLOYMENTS = kind("Deployment")
TEMPLATES = {name: each["spec"]["template"] for name, each in {**DEPLOYMENTS, **kind("Job")}.items()}
PODS = {name: template["spec"] for name, template in TEMPLATES.items()}
MAIN = {name: pod["containers"][0] for name, pod in PODS.items()}
LABELS = {name: template["metadata"]["labels"] for name, template in TEMPLATES.items()}
