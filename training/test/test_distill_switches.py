"""What is learnt from a teacher: weights, stages and regions are switched and set."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from distilled_street import ALL, distilled, street, values
from made_batch import SMALL
from made_teacher import made_teacher
from tinybev_training.distill.config import FEATURE_LEVEL, JOINT, OUTPUT_LEVEL, DistillConfig
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.terms import DistillMask, DistillTerms, DistillWeights, Temperature

from tinybev.errors import UserError

torch.set_num_threads(1)


def test_weights_and_masks_name_the_terms() -> None:
    assert tuple(field.name for field in dataclasses.fields(DistillWeights)) == DistillTerms._fields
    assert DistillMask._fields == DistillTerms._fields


@pytest.mark.parametrize(
    ("stage", "live"),
    [
        (FEATURE_LEVEL, {"feature"}),
        (OUTPUT_LEVEL, {"heatmap", "box", "map", "occupancy", "motion", "plan"}),
        (JOINT, set(DistillTerms._fields)),
        (DistillConfig(), set()),
    ],
)
def test_the_stages_are_switches(stage: DistillConfig, live: set[str]) -> None:
    teacher = made_teacher(1)
    terms, outputs, distiller = distilled(stage, teacher)
    assert {name for name, value in values(terms).items() if value != 0} == live
    assert {name for name, on in distiller.live(teacher)._asdict().items() if on} == live
    assert (distiller.adapter is not None) == ("feature" in live)
    assert (distiller.regions is not None) == (stage is JOINT)
    assert outputs.agents.cell_BA.shape[1] == (6 if "motion" in live else 3)


@pytest.mark.parametrize("name", DistillTerms._fields)
def test_each_term_can_be_switched_off_alone(name: str) -> None:
    teacher = made_teacher(1)
    config = dataclasses.replace(ALL, weights=dataclasses.replace(ALL.weights, **{name: 0.0}))
    terms, _, distiller = distilled(config, teacher)
    assert {key for key, value in values(terms).items() if value == 0} == {name}
    assert not getattr(terms, name).requires_grad
    assert getattr(distiller.live(teacher), name) is False


def test_regions_learn_in_training_only_and_after_their_use() -> None:
    teacher = made_teacher(1)
    first, outputs, distiller = distilled(ALL, teacher)
    assert distiller.regions is not None
    assert distiller.regions.updates_R.tolist() == [1, 1, 1, 1, 1]
    distiller.eval()
    state = {name: value.clone() for name, value in distiller.regions.state_dict().items()}
    second = distiller(outputs, teacher, street())
    third = distiller(outputs, teacher, street())
    assert all(torch.equal(value, state[name]) for name, value in distiller.regions.state_dict().items())
    assert values(second) == values(third)
    assert values(first)["map"] != values(second)["map"], "the first batch was weighted before it was learnt from"
    assert {"regions.disagreement_R", "regions.updates_R"} <= distiller.state_dict().keys()


def test_the_regions_that_were_used_can_be_looked_at() -> None:
    teacher = made_teacher(1)
    _, outputs, distiller = distilled(ALL, teacher)
    view = distiller.view
    assert view is not None
    assert view.weights_BXY.mean().item() == pytest.approx(1.0)
    assert view.masks_BRXY.shape == (1, 5, *SMALL.grid.shape)
    off = Distiller(SMALL, OUTPUT_LEVEL, None)
    off(outputs, teacher, street())
    assert off.view is None


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_impossible_temperatures_are_refused(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature of map: expected a positive number"):
        Temperature(map=temperature)
