"""The network of a recipe, with the weights that training starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from tinybev.errors import UserError
from tinybev.model.config import StudentConfig, find_variant
from tinybev.model.student import seeded_student
from tinybev.runtime.bundle import load_bundle
from tinybev_training.teacher.cross_modal import seeded_teacher
from tinybev_training.teacher.cross_modal_config import TEACHER_PREFIX, find_teacher
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.train.image_weights import load_image_weights
from tinybev_training.train.network import StudentNetwork
from tinybev_training.train.recipe import Recipe
from tinybev_training.train.rounded_network import RoundedStudentNetwork

BatchNetwork = StudentNetwork | TeacherNetwork
"""What can be trained, and what can teach."""


def first_network(recipe: Recipe) -> BatchNetwork:
    """The recipe's network: seeded weights, or those of the bundle that it starts from, or seeded ones with an image
    backbone from a file; channels last in memory, which convolutions are faster with.

    Raises:
        UserError: there is no such network, or the bundle or the file is absent or another network's.
    """
    network: BatchNetwork = _network(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _network(recipe: Recipe) -> BatchNetwork:
    if recipe.network.startswith(TEACHER_PREFIX):
        if recipe.int8:
            raise UserError("int8: expected false for a teacher, which no backend quantizes; leave it out.")
        if recipe.start:
            raise UserError("start: expected none for a teacher, which is trained from seeded weights; leave it out.")
        teacher = find_teacher(recipe.network)
        network = dataclasses.replace(teacher, network=_with_memory(teacher.network, recipe))
        trained = seeded_teacher(network, recipe.seed)
        if recipe.image_weights:
            load_image_weights(trained.backbone.model, Path(recipe.image_weights), recipe.network)
        return TeacherNetwork(trained)
    config = _with_memory(find_variant(recipe.network), recipe)
    if recipe.int8 and config.memory_frames:
        raise UserError(
            f"int8: expected a network without memory, which the int8 backend takes, got {config.memory_frames} "
            "memory_frames; set one of the two otherwise."
        )
    student = seeded_student(config, recipe.seed)
    if recipe.start:
        bundle = load_bundle(recipe.start)
        if differing := _differing(bundle.config, config):
            raise UserError(
                f"start: expected a bundle of the configuration of {config.name}, {recipe.start} differs in "
                f"{differing}; name another, or none."
            )
        if bundle.manifest.trained_with_ego_status and not recipe.telling.ego_status:
            raise UserError(
                f"start: the planner of {recipe.start} was told how the vehicle moves and would forget it; set "
                "telling.ego_status=true, or name another bundle."
            )
        student.load_state_dict(dict(bundle.weights))
    if recipe.image_weights:
        load_image_weights(student.backbone, Path(recipe.image_weights), config.name)
    return RoundedStudentNetwork(student) if recipe.int8 else StudentNetwork(student)


def _differing(found: StudentConfig, wanted: StudentConfig) -> str:
    """The fields that differ, with both values; names, and how many objects are found, change no weight."""
    ours, theirs = (dataclasses.asdict(config) for config in (wanted, found))
    differing = [name for name in ours if name not in ("name", "max_agents") and ours[name] != theirs[name]]
    return ", ".join(f"{name} ({theirs[name]} in place of {ours[name]})" for name in differing)


def _with_memory(config: StudentConfig, recipe: Recipe) -> StudentConfig:
    if recipe.memory_frames is None:
        return config
    return dataclasses.replace(config, memory_frames=recipe.memory_frames)
