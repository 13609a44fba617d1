"""An image backbone that begins with weights of torchvision's, of students and teachers alike."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tinybev_training.train.first_weights import first_network
from tinybev_training.train.image_weights import DIGEST, image_weights_digest, load_image_weights
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.recipes import find_recipe
from torch import Tensor
from train_runs import MICRO

from tinybev import cli
from tinybev.errors import UserError
from tinybev.model.backbone import Backbone
from tinybev.model.config import VARIANTS
from tinybev.model.torchvision_import import torchvision
from tinybev.runtime.bundle import read_bundle

torch.set_num_threads(1)

WIDE = dataclasses.replace(MICRO, name="tinybev-wide", backbone_width=64)
"""With the width of torchvision's ResNet-18."""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, WIDE.name, WIDE)


@pytest.fixture(scope="module")
def resnet18() -> dict[str, Tensor]:
    """A state dict of torchvision's, classifier included, in which nothing is 0 or 1."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        weights = torchvision.models.resnet18(weights=None).state_dict()
        return {name: torch.rand_like(one) if one.is_floating_point() else one for name, one in weights.items()}


def recipe(network: str, path: Path) -> Recipe:
    return dataclasses.replace(find_recipe("alone"), network=network, image_weights=str(path))


@pytest.mark.parametrize("classifier", [True, False])
@pytest.mark.parametrize(
    ("network", "prefix"), [("wide", "student.backbone."), ("teacher-nano-cameras", "teacher.backbone.model.")]
)
def test_the_backbone_has_the_files_weights_and_the_rest_its_seeded_ones(
    network: str, prefix: str, classifier: bool, resnet18: dict[str, Tensor], tmp_path: Path
) -> None:
    kept = {name: one for name, one in resnet18.items() if classifier or not name.startswith("fc.")}
    if not classifier:  # a file of before batches were counted
        kept = {name: one for name, one in kept.items() if not name.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "resnet18.safetensors")
    found = first_network(recipe(network, tmp_path / "resnet18.safetensors")).state_dict()
    seeded = first_network(dataclasses.replace(recipe(network, tmp_path), image_weights="")).state_dict()
    assert found.keys() == seeded.keys()
    of_backbone = {name for name in found if name.startswith(prefix) and not name.endswith("num_batches_tracked")}
    assert len(of_backbone) == 100
    for name in found:
        wanted = resnet18[name.removeprefix(prefix)] if name in of_backbone else seeded[name]
        assert torch.equal(found[name], wanted), name
        assert name not in of_backbone or not torch.equal(found[name], seeded[name])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda weights: weights.pop("layer3.0.bn1.running_var"),
            r"1 tensors, layer3.0.bn1.running_var: none in place",
        ),
        (lambda weights: weights.update(extra=torch.ones(2)), r"1 tensors, extra: \(2,\) in place of none"),
        (lambda weights: weights.update({"conv1.weight": torch.ones(8, 3, 7, 7)}), r"\(8, 3, 7, 7\) in place of \(64"),
    ],
)
def test_weights_of_another_backbone_are_refused(
    change: object, complaint: str, resnet18: dict[str, Tensor], tmp_path: Path
) -> None:
    weights = dict(resnet18)
    change(weights)  # type: ignore[operator]
    save_file(weights, tmp_path / "odd.safetensors")
    with pytest.raises(UserError, match=f"image_weights: expected the weights of wide's image backbone .*{complaint}"):
        load_image_weights(Backbone(64), tmp_path / "odd.safetensors", "wide")


def test_files_that_are_no_weights_are_refused(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(resnet18, tmp_path / "resnet18.pth")
    for name in ("resnet18.pth", "nowhere.safetensors"):
        with pytest.raises(UserError, match="image_weights: expected a safetensors file"):
            load_image_weights(Backbone(64), tmp_path / name, "wide")
    with pytest.raises(UserError, match="start and image_weights: expected at most one"):
        dataclasses.replace(recipe("wide", tmp_path), start="shipped:mini").check()


def test_a_run_notes_its_image_weights_and_goes_on_with_no_others(
    resnet18: dict[str, Tensor], split_dataroot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "resnet18.safetensors", tmp_path / "run"
    save_file(resnet18, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    arguments = shlex.split(
        f"train --recipe alone --dataroot {split_dataroot} --version v1.0-mini --split half --validation-split none "
        f"--set network=wide --set steps=1 --set samples.labelled=1 --set image_weights={path} "
        f"--set optimization.learning_rate=0 --set averaging.decay=0 --device cpu --workers 0 --out {out}"
    )
    assert cli.main(arguments) == 0
    bundle = read_bundle(out / "bundle")
    assert bundle.manifest.training[DIGEST] == digest
    assert torch.equal(bundle.weights["backbone.conv1.weight"], resnet18["conv1.weight"])
    second_stage = dataclasses.replace(recipe("wide", path), start=str(out / "bundle"), image_weights="")
    assert image_weights_digest(second_stage) == digest
    assert image_weights_digest(dataclasses.replace(second_stage, start="")) is None
    save_file({**resnet18, "fc.bias": torch.zeros(1000)}, path)
    assert cli.main([*arguments, "--resume"]) == 2
    assert f"its image_weights is '{digest}' and not" in capsys.readouterr().err
