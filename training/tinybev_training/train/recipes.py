"""The recipes we ship: functions that return a full configuration, every field of which can be set otherwise.

Stages, weights of the terms and the order of the stages are the paper's idea; all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tinybev.errors import UserError
from tinybev_training.distill.config import FEATURE_LEVEL, JOINT, OUTPUT_LEVEL
from tinybev_training.losses.terms import SupervisedWeights
from tinybev_training.train.recipe import SELF, Averaging, Optimization, Recipe, Rhythm, Samples

_BESIDE_A_TEACHER = SupervisedWeights(depth=2.0)
"""A teacher says nothing of depth, and what it says of the rest roughly doubles the other losses."""


@dataclass(frozen=True)
class Shipped:
    """A recipe by its name on the command line, and what ``--help`` says of it."""

    make: Callable[[str], Recipe]
    summary: str


def alone(teacher: str = "") -> Recipe:
    """The student learns from annotations, and depth from lidar: the baseline of every ablation."""
    return Recipe(name="alone", teacher=teacher)


def s1_feature(teacher: str = "") -> Recipe:
    """Stage 1: besides, the shared features follow the teacher's."""
    return Recipe(name="s1_feature", teacher=teacher, supervised=_BESIDE_A_TEACHER, distill=FEATURE_LEVEL)


def s2_output(teacher: str = "") -> Recipe:
    """Stage 2: besides annotations, every head follows the teacher's."""
    return Recipe(name="s2_output", teacher=teacher, supervised=_BESIDE_A_TEACHER, distill=OUTPUT_LEVEL)


def s3_joint(teacher: str = "") -> Recipe:
    """Stage 3: features and heads together, weighted by region."""
    return Recipe(name="s3_joint", teacher=teacher, supervised=_BESIDE_A_TEACHER, distill=JOINT)


def self_distillation(teacher: str = "") -> Recipe:
    """As stage 3, but the teacher is the average of the student's own weights, heard ever more as it learns."""
    distill = replace(JOINT, ramp_steps=1000)
    return Recipe(name="self_distillation", teacher=teacher or SELF, supervised=_BESIDE_A_TEACHER, distill=distill)


def teacher(teacher: str = "") -> Recipe:
    """Our own teacher, cameras and lidar, learns from annotations."""
    return Recipe(name="teacher", network="teacher-nano", teacher=teacher)


def int8(teacher: str = "") -> Recipe:
    """A trained student learns to say in int8 what it says in float32; ``start`` and ``teacher`` are its bundle."""
    return Recipe(
        name="int8",
        teacher=teacher,
        distill=OUTPUT_LEVEL,
        steps=1000,
        int8=True,
        freeze_normalisation=True,
        optimization=Optimization(learning_rate=1e-4, warmup_steps=50, weight_decay=0.0),
        averaging=Averaging(decay=0.99),
        rhythm=Rhythm(checkpoint=200, validate=250),
    )


def smoke(teacher: str = "") -> Recipe:
    """A few dozen steps of everything, to see that it works: self-distillation, two samples a step, not augmented."""
    return Recipe(
        name="smoke",
        teacher=teacher or SELF,
        distill=JOINT,
        steps=36,
        samples=Samples(labelled=2, augmentation=None),
        optimization=Optimization(learning_rate=2e-3, warmup_steps=4),
        averaging=Averaging(decay=0.9),
        rhythm=Rhythm(log=1, checkpoint=12, validate=36, validation_samples=4),
    )


RECIPES: dict[str, Shipped] = {
    "alone": Shipped(alone, "annotations only"),
    "s1": Shipped(s1_feature, "stage 1: feature-level distillation"),
    "s2": Shipped(s2_output, "stage 2: output-level distillation"),
    "s3": Shipped(s3_joint, "stage 3: both, weighted by region"),
    "self": Shipped(self_distillation, "the student's own average teaches"),
    "teacher": Shipped(teacher, "the cross-modal teacher, on annotations"),
    "int8": Shipped(int8, "a trained bundle, start=BUNDLE and --teacher BUNDLE, gets used to int8"),
    "smoke": Shipped(smoke, "a few dozen steps, to see that it works"),
}


def find_recipe(name: str, teacher: str = "") -> Recipe:
    """The shipped recipe of that name.

    Args:
        name: one of ``RECIPES``.
        teacher: as ``Recipe.teacher``; "" for the recipe's own.

    Raises:
        UserError: there is none of that name.
    """
    if name not in RECIPES:
        raise UserError(f"--recipe: expected one of {', '.join(RECIPES)}, got {name!r}; choose one.")
    return RECIPES[name].make(teacher)
