"""Recipes: complete, read back exactly, changed by name, and refused where they make no sense."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tinybev_training.train.recipe import SELF, Recipe
from tinybev_training.train.recipes import RECIPES, find_recipe
from tinybev_training.train.resume import Identity, check_identity
from tinybev_training.train.typed_json import changed, leaves

from tinybev.errors import UserError

TEACHER = {"s1": "runs/teacher", "s2": "runs/teacher", "s3": "runs/teacher", "int8": "runs/alone"}


def shipped(name: str) -> Recipe:
    return find_recipe(name, TEACHER.get(name, ""))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_valid_and_read_back_exactly(name: str) -> None:
    recipe = shipped(name)
    recipe.check()
    assert Recipe.from_json(recipe.to_json(), "recipe.json") == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_leaf_can_be_set_to_what_it_is(name: str) -> None:
    recipe = shipped(name)
    texts = {leaf: value if isinstance(value, str) else json.dumps(value) for leaf, value in leaves(recipe).items()}
    assert changed(recipe, texts) == recipe
    assert len(texts) > 50


def test_stages_differ_in_what_is_distilled_alone() -> None:
    one, two, three = (shipped(name) for name in ("s1", "s2", "s3"))
    for other in (two, three):
        assert dataclasses.replace(other, name=one.name, distill=one.distill) == one
    on = [{term for term, weight in vars(stage.distill.weights).items() if weight} for stage in (one, two, three)]
    assert on[0] == {"feature"}
    assert "feature" not in on[1]
    assert on[2] == on[0] | on[1] == set(vars(one.distill.weights))
    assert one.distill.regions is None
    assert three.distill.regions is not None
    assert shipped("self").teacher == SELF
    assert dataclasses.replace(shipped("self").distill, ramp_steps=0) == three.distill
    assert shipped("alone").teacher == ""


def test_fields_are_set_by_their_dotted_names() -> None:
    recipe = changed(
        shipped("s3"),
        {
            "steps": "10",
            "optimization.learning_rate": "1",
            "optimization.betas": "[0.8, 0.95]",
            "samples.augmentation": "none",
            "distill.regions": "none",
            "distill.weights.map": "0",
            "memory_frames": "2",
            "telling.ego_status": "true",
            "network": "small",
            "split": "123",
        },
    )
    assert recipe.steps == 10
    assert (recipe.optimization.learning_rate, recipe.optimization.betas) == (1.0, (0.8, 0.95))
    assert recipe.samples.augmentation is None
    assert (recipe.distill.regions, recipe.distill.weights.map) == (None, 0.0)
    assert (recipe.memory_frames, recipe.telling.ego_status) == (2, True)
    assert (recipe.network, recipe.split) == ("small", "123")
    again = changed(recipe, {"samples.augmentation": "default", "samples.augmentation.image.dropout_probability": "0"})
    assert again.samples.augmentation is not None
    assert again.samples.augmentation.image.dropout_probability == 0.0


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        (("stepz", "1"), "--set stepz: expected a field, one of name, .*, got 'stepz'"),
        (("optimization.rate", "1"), "one of learning_rate, .*, got 'rate'"),
        (("steps.more", "1"), "--set steps.more: expected a field, one of none"),
        (("steps", "1.5"), "--set steps: expected int, got 1.5"),
        (("steps", "true"), "--set steps: expected int, got True"),
        (("telling.ego_status", "1"), "expected bool, got 1"),
        (("optimization.learning_rate", "fast"), "expected float, got 'fast'"),
        (("optimization.learning_rate", "NaN"), "expected float, got nan"),
        (("optimization.betas", "[0.9]"), "expected .*, got \\[0.9\\]"),
        (("precision", "fp8"), "expected one of 32-true, bf16-mixed, 16-mixed, got 'fp8'"),
        (("samples", "3"), "expected the fields of Samples, got 3"),
        (("supervised.map", "-1"), "weight map: expected a finite number of 0 or more"),
        (("distill.ramp_steps", "-1"), "distill.ramp_steps: expected 0 or more, got -1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(setting: tuple[str, str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        changed(shipped("s3"), dict([setting]))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"steps": "0"}, "steps: expected 1 to"),
        ({"averaging.decay": "1.5"}, "averaging.decay: expected 0 to 1"),
        ({"teacher": ""}, "learns from a teacher and none is named"),
        ({"unlabelled_split": "train"}, "unlabelled_split and samples.unlabelled: expected both or neither"),
        ({"samples.unlabelled": "4"}, "unlabelled_split and samples.unlabelled: expected both or neither"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(settings: dict[str, str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        changed(shipped("s3"), settings).check()


def test_a_teacher_or_unlabelled_samples_without_distillation_are_refused() -> None:
    with pytest.raises(UserError, match="every weight of distillation is 0"):
        changed(shipped("alone"), {"teacher": SELF}).check()
    with pytest.raises(UserError, match="on it only a teacher speaks, and none is named"):
        changed(shipped("alone"), {"unlabelled_split": "train", "samples.unlabelled": "2"}).check()
    with pytest.raises(UserError, match=r"expected one of alone, s1, s2, s3, .* got 's4'"):
        find_recipe("s4", "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "recipe.json: expected JSON"),
        ("[]", "recipe.json: expected the fields of Recipe, got"),
        ('{"name": "x"}', "recipe.json: expected .*network.*, not given"),
    ],
)
def test_a_damaged_recipe_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Recipe.from_json(text, "recipe.json")
    values = json.loads(shipped("alone").to_json())
    with pytest.raises(UserError, match=r"recipe.json.samples: expected none but labelled, .*, got extra"):
        Recipe.from_json(json.dumps({**values, "samples": {**values["samples"], "extra": 1}}), "recipe.json")


def test_a_checkpoint_of_another_run_is_refused_and_the_difference_named() -> None:
    recipe = shipped("alone")
    ours = Identity(recipe, "digest")
    check_identity(ours.to_dict(), ours, "last.safetensors")
    other = Identity(changed(recipe, {"optimization.betas": "[0.9, 0.95]"}), "digest")
    with pytest.raises(UserError, match=r"its recipe.optimization.betas is \[0.9, 0.95\] and not \[0.9, 0.99\]"):
        check_identity(other.to_dict(), ours, "last.safetensors")
    with pytest.raises(UserError, match="its samples is 'others' and not 'digest'"):
        check_identity(Identity(recipe, "others").to_dict(), ours, "last.safetensors")
    with pytest.raises(UserError, match="expected a checkpoint of this run"):
        check_identity({}, ours, "last.safetensors")
