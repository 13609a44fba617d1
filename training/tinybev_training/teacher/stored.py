"""A trained cross-modal teacher on disk: a folder with ``teacher.json`` and ``weights.safetensors``."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from tinybev.errors import UserError
from tinybev.runtime.manifest import told_ego_status
from tinybev.runtime.new_folder import new_folder
from tinybev_training.teacher.cross_modal import CrossModal
from tinybev_training.teacher.cross_modal_config import CrossModalConfig

FORMAT = "tinybev-teacher-1"
CONFIG_FILE, WEIGHTS_FILE = "teacher.json", "weights.safetensors"


def save_teacher(teacher: CrossModal, folder: Path, training: dict[str, object]) -> None:
    """Writes a teacher as a new folder, which appears whole or not at all.

    Args:
        teacher: with its weights.
        folder: to make.
        training: what it was trained on and how, in JSON's types; kept for the reader.

    Raises:
        UserError: something of that name exists, or the place cannot be written to.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in teacher.state_dict().items()}
    description = {"format": FORMAT, "config": teacher.config.to_dict(), "training": training}
    with new_folder(folder) as unfinished:
        (unfinished / WEIGHTS_FILE).write_bytes(save(weights))
        (unfinished / CONFIG_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def load_teacher(folder: Path) -> CrossModal:
    """The teacher in ``folder``, in evaluation mode, its weights frozen.

    Raises:
        UserError: there is none, or it is damaged, or its weights are those of another configuration.
    """
    try:
        description = json.loads((folder / CONFIG_FILE).read_text())
        weights = load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"expected a trained teacher ({CONFIG_FILE} and {WEIGHTS_FILE}) in {folder}, it cannot be read ({error}); "
            "name the folder that training wrote."
        ) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise UserError(f"expected a teacher of format {FORMAT} in {folder}; train it with this version of tinybev.")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and replaced at once
        teacher = CrossModal(CrossModalConfig.from_dict(description.get("config", {})))
    wanted, found = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (teacher.state_dict(), weights)
    )
    if odd := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        raise UserError(
            f"expected the weights of {teacher.config.network.name} in {folder / WEIGHTS_FILE}, {len(odd)} tensors do "
            f"not fit, e.g. {odd[0]}; keep the two files of one training together."
        )
    teacher.load_state_dict(weights)
    return frozen(teacher)


def trained_with_ego_status(folder: Path) -> bool | None:
    """Whether the planner of the teacher in ``folder``, which ``load_teacher`` takes, learnt with the ego status; None
    where nothing says so.
    """
    training = json.loads((folder / CONFIG_FILE).read_text()).get("training")
    return told_ego_status(training) if isinstance(training, dict) else None


def frozen(teacher: CrossModal) -> CrossModal:
    """``teacher`` in evaluation mode, without gradients for its weights."""
    return teacher.eval().requires_grad_(False)
