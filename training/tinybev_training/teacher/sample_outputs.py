"""What our own teacher said about one sample, as a safetensors file: in base_link as recorded.

Ours. Features and logits are rounded to float16, whose steps are finer than those of training's bfloat16.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tinybev.errors import UserError
from tinybev.geometry import BevGrid
from tinybev_training.long_work.write_file import write_binary
from tinybev_training.teacher.outputs import GridOutput, TeacherAgents, TeacherOutputs, TeacherPlan

FORMAT = "tinybev-teaching-1"
"""In every file's metadata under "format"."""
_GRIDS = ("bev", "heatmap", "map", "occupancy")
"""Fields of ``TeacherOutputs`` that are channels on a grid, (C, X, Y) in the file."""
_AGENTS = ("probability_BAK", "centers_BA3", "sizes_BA3", "yaws_BA", "velocities_BA2")
_FUTURES = ("futures_BAMT2", "mode_logits_BAM")
"""Fields of ``TeacherAgents``; in the file they have no axis of the batch, and rows for objects only."""
_PLAN = "position_BT2"
_AXES = dict(zip((*_GRIDS, *_AGENTS, *_FUTURES, _PLAN), (3, 3, 3, 3, 2, 2, 2, 1, 2, 4, 2, 2), strict=True))


def write_outputs(path: Path, outputs: TeacherOutputs, row: int, teacher: str) -> None:
    """Writes the sample ``row`` of ``outputs``, of a batch that was not augmented.

    Args:
        path: of the file, which is there as a whole or not at all.
        outputs: of a batch.
        row: the sample's.
        teacher: digest of the network, see :func:`said_by`.

    Raises:
        UserError: the file cannot be written.
    """
    tensors, grids = {}, {}
    for name in _GRIDS:
        output: GridOutput | None = getattr(outputs, name)
        if output is not None:
            tensors[name] = output.values_BCXY[row].half()
            grids[name] = [output.grid.x_bound, output.grid.y_bound]
    if outputs.agents is not None:
        found_A = outputs.agents.mask_BA[row]
        for name in (*_AGENTS, *_FUTURES):
            if (values := getattr(outputs.agents, name)) is not None:
                tensors[name] = values[row][found_A].float()
    if outputs.plan is not None:
        tensors[_PLAN] = outputs.plan.position_BT2[row].float()
    facts = {"format": FORMAT, "grids": json.dumps(grids), "teacher": teacher}
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, facts)
    write_binary(path, lambda file: file.write(content))


def read_outputs(path: Path, teacher: str) -> TeacherOutputs:
    """What :func:`write_outputs` wrote, float32, as a batch of the one sample.

    Args:
        path: of the file.
        teacher: digest of the network that it shall be of.

    Raises:
        UserError: the file is damaged, or of another format or network.
    """
    facts, tensors = _read(path)
    if facts["teacher"] != teacher:
        raise UserError(
            f"expected what one network said in {path.parent}, {path.name} is another's; remove that file and run "
            "`tinybev teach` again, which writes what is missing."
        )
    for name, tensor in tensors.items():
        if tensor.dim() != _AXES.get(name) or not torch.isfinite(tensor).all():
            raise UserError(
                f"expected finite numbers with {_AXES.get(name, 'no')} axes for {name} in {path}, got "
                f"{tuple(tensor.shape)}; remove the file and run `tinybev teach` again, which writes what is missing."
            )
    grids, speaks_B = json.loads(facts["grids"]), torch.ones(1, dtype=torch.bool)
    values = {name: tensor[None].float() for name, tensor in tensors.items()}

    def on_grid(name: str) -> GridOutput | None:
        if name not in values:
            return None
        x_bound, y_bound = (tuple(bound) for bound in grids[name])
        mask_BC = speaks_B[:, None].expand(-1, values[name].shape[1])
        return GridOutput(values[name], mask_BC, BevGrid(x_bound, y_bound))

    agents = None
    if all(name in values for name in _AGENTS):
        agents = TeacherAgents(
            torch.ones(values["yaws_BA"].shape, dtype=torch.bool),
            probability_BAK=values["probability_BAK"],
            centers_BA3=values["centers_BA3"],
            sizes_BA3=values["sizes_BA3"],
            yaws_BA=values["yaws_BA"],
            velocities_BA2=values["velocities_BA2"],
            futures_BAMT2=values.get("futures_BAMT2"),
            mode_logits_BAM=values.get("mode_logits_BAM"),
            known_B=speaks_B,
        )
    return TeacherOutputs(
        bev=on_grid("bev"),
        heatmap=on_grid("heatmap"),
        agents=agents,
        map=on_grid("map"),
        occupancy=on_grid("occupancy"),
        plan=TeacherPlan(values[_PLAN], speaks_B) if _PLAN in values else None,
    )


def said_by(path: Path) -> str:
    """Digest of the teacher that a file is of.

    Raises:
        UserError: the file is damaged, or of another format.
    """
    return _read(path, facts_only=True)[0]["teacher"]


def is_outputs(path: Path) -> bool:
    """Whether the file says that it is one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False


def _read(path: Path, facts_only: bool = False) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            names = [] if facts_only else file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"expected a whole safetensors file in {path}, got one that cannot be read ({error}); remove it and run "
            "`tinybev teach` again, which writes what is missing."
        ) from error
    if facts.get("format") != FORMAT or not {"grids", "teacher"} <= facts.keys():
        raise UserError(
            f"expected a file of format {FORMAT} in {path}, got {facts.get('format')!r}; write it with `tinybev teach` "
            "of this version."
        )
    return facts, tensors
