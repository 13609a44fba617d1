"""Nano on a tiny world: every head learns, every term of distillation reaches the student, and the teacher stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
import torch
from tinybev_training.data.batch import Batch, collate
from tinybev_training.losses.terms import SupervisedTerms, weighted_sum
from tinybev_training.teacher.live import LiveTeacher
from tinybev_training.train.checkpoint_file import read_checkpoint
from tinybev_training.train.curves import read_curves
from tinybev_training.train.first_weights import first_network
from tinybev_training.train.inputs import Told
from tinybev_training.train.module import TrainingModule
from tinybev_training.train.place import Place
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.recipes import find_recipe
from tinybev_training.train.resume import Identity
from tinybev_training.train.run import Outcome, train
from tinybev_training.train.splits import Needs, open_splits
from tinybev_training.train.step_sampler import Share
from tinybev_training.train.typed_json import changed
from tinybev_training.world import demo_scene
from tinybev_training.world.recording import Recording

from tinybev.runtime.bundle import read_bundle

KEYFRAMES = 12
TICKS = 120


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the demo's scene in small pictures."""
    scenario = demo_scene.demo_scenario()
    agents = dataclasses.replace(
        scenario.agents, poses=scenario.agents.poses[:TICKS], present=scenario.agents.present[:TICKS]
    )
    first_seconds = dataclasses.replace(scenario, ego=scenario.ego[:TICKS], agents=agents)
    out = tmp_path_factory.mktemp("world") / "dataset"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_scene, "demo_scenario", lambda: first_seconds)
        demo_scene.write_demo_dataset(out, recording=Recording(height=72, width=128), processes=1)
    return out


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    splits = {"split": "world_val", "validation_split": "world_val"}
    return changed(find_recipe("smoke", ""), splits)


def place(world: Path, out: Path) -> Place:
    return Place(world, "v1.0-world", out, device="cpu")


def test_a_few_dozen_steps_lower_the_loss_of_every_head(world: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(recipe, place(world, out), resume=False) == Outcome(recipe.steps, None)
    curves = read_curves(out / "metrics.csv")
    epoch = KEYFRAMES // recipe.samples.labelled  # the first and the last steps of this number see the same samples
    assert KEYFRAMES % recipe.samples.labelled == recipe.steps % epoch == 0
    for term in SupervisedTerms._fields:
        values = list(curves[f"train/supervised/{term}"].values())
        assert len(values) == recipe.steps
        # Futures are learnt by their likelihood: one batch in which something unforeseen moves outweighs all others.
        amount = median if term == "motion" else sum
        assert amount(values[-epoch:]) < amount(values[:epoch]), (term, values)
    assert read_bundle(out / "bundle").config.name == "tinybev-nano"
    assert read_checkpoint(out / "last.safetensors")["global_step"] == recipe.steps


@pytest.fixture(scope="module")
def batch(world: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Two samples that have objects near by."""
    where = place(world, tmp_path_factory.mktemp("unused"))
    splits = open_splits(recipe, where, first_network(recipe).config, Needs(True, 0), progress=False)
    assert len(splits.training) == KEYFRAMES
    return collate([splits.training[2], splits.training[6]])


def test_every_distilled_term_reaches_the_student_and_none_the_teacher(batch: Batch, recipe: Recipe) -> None:
    teacher_network = first_network(dataclasses.replace(recipe, seed=1)).eval()
    before = {name: tensor.clone() for name, tensor in teacher_network.state_dict().items()}
    module = TrainingModule(recipe, first_network(recipe), Share(2), Identity(recipe, "digest"))
    module.learn_from(LiveTeacher(lambda: teacher_network))
    assert module.distiller is not None
    unlabelled = torch.tensor([False, False])
    terms = module.terms(batch, Told.everything(batch, ego_status=False), unlabelled)
    assert terms.distilled is not None
    assert not any(bool(term) for term in terms.supervised)  # only the teacher speaks
    weights = dict(module.network.named_parameters())
    for name, term in terms.distilled._asdict().items():
        gradients = torch.autograd.grad(term, list(weights.values()), retain_graph=True, allow_unused=True)
        reached = {
            one for one, gradient in zip(weights, gradients, strict=True) if gradient is not None and gradient.any()
        }
        assert "student.backbone.conv1.weight" in reached, name
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    terms.loss.backward()
    assert all(parameter.grad is None for parameter in teacher_network.parameters())
    assert all(parameter.grad is None for parameter in module.average.parameters())
    start = {name: tensor.clone() for name, tensor in module.network.state_dict().items()}
    optimizer.step()
    assert any(not torch.equal(tensor, start[name]) for name, tensor in module.network.state_dict().items())
    for name, tensor in teacher_network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_term_that_is_switched_off_does_not_reach_the_student(batch: Batch, recipe: Recipe) -> None:
    off = changed(recipe, {"distill.weights.feature": "0", "distill.weights.plan": "0"})
    module = TrainingModule(off, first_network(off), Share(2), Identity(off, "digest"))
    module.learn_from(LiveTeacher(module.averaged))
    terms = module.terms(batch, Told.everything(batch, ego_status=False), torch.tensor([True, True]))
    assert terms.distilled is not None
    assert terms.distilled.feature.item() == terms.distilled.plan.item() == 0.0
    assert module.distiller is not None
    assert module.distiller.adapter is None


def test_a_teacher_that_learns_itself_counts_ever_more(batch: Batch, recipe: Recipe) -> None:
    ramped = changed(recipe, {"distill.ramp_steps": "4"})
    module = TrainingModule(ramped, first_network(ramped), Share(2), Identity(ramped, "digest"))
    module.learn_from(LiveTeacher(module.averaged))
    terms = module.terms(batch, Told.everything(batch, ego_status=False), torch.tensor([True, True]))
    assert terms.distilled is not None
    supervised = weighted_sum(terms.supervised, ramped.supervised)
    distilled = weighted_sum(terms.distilled, ramped.distill.weights)
    assert distilled > 0
    assert terms.loss.item() == pytest.approx((supervised + distilled / 4).item())
    assert [ramped.distill.share(step) for step in (0, 2, 3, 100)] == [0.25, 0.75, 1.0, 1.0]
    assert recipe.distill.share(0) == 1.0
