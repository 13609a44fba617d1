"""``tinybev model``: the parts of a variant with their parameters, multiply-accumulates and activation memory."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tinybev.errors import UserError
from tinybev.model.config import VARIANTS, StudentConfig, find_variant
from tinybev.model.heads.planning import PlanConditions
from tinybev.model.lift_geometry import SplatIndices
from tinybev.model.lift_splat import INTRINSICS
from tinybev.model.student import Student, StudentInputs
from tinybev.model.temporal import Memory
from tinybev.types import CAMERAS, Command


@dataclass(frozen=True)
class PartSummary:
    """One direct child of the student.

    Attributes:
        name: of the attribute that holds it.
        parameters: learnt numbers.
        macs: multiply-accumulates of one frame; twice as many floating-point operations.
        activation_bytes: of the outputs of every layer in it, one frame, 32 bits a number.
    """

    name: str
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class ModelSummary:
    """A variant and its parts, in the order in which they run."""

    variant: str
    parameters: int
    macs: int
    activation_bytes: int
    parts: tuple[PartSummary, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("variant", help=f"one of {', '.join(VARIANTS)}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=JSON",
        help="change a field of the configuration, e.g. bev_widths=[64,128,256]; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table and writes the JSON file."""
    config = changed(find_variant(arguments.variant), arguments.set)
    summary = summarize(config)
    print(markdown(summary), end="")
    if arguments.json:
        try:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(dataclasses.asdict(summary), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{arguments.json}: expected a file that can be written, got {error}.") from error
    return 0


def changed(config: StudentConfig, assignments: list[str]) -> StudentConfig:
    """The configuration after assignments like ``bev_stem_stride=1``.

    Raises:
        UserError: an assignment is not FIELD=JSON, names no field, or has a value that does not fit.
    """
    values = config.to_dict()
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            raise UserError(f"--set: expected FIELD=JSON, got {assignment!r}; correct it.") from None
        if key not in values:
            raise UserError(f"--set: expected one of {', '.join(values)}, got {key!r}; choose one.")
        values[key] = value
    return StudentConfig.from_dict(values)


def summarize(config: StudentConfig) -> ModelSummary:
    """Counts one frame of a student, without computing anything.

    The lift is counted as if every depth of every pixel landed on the grid, which bounds every calibration.
    """
    with torch.device("meta"):
        student = Student(config).eval()
        inputs, memory = example_inputs(config)
        activation_bytes = _count_activations(student)
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten._embedding_bag: _bag_flops}) as counter:
            student(inputs, memory)
    flops = counter.get_flop_counts()
    parts = tuple(
        PartSummary(
            name=name,
            parameters=sum(parameter.numel() for parameter in part.parameters()),
            macs=sum(flops.get(f"Student.{name}", {}).values()) // 2,
            activation_bytes=activation_bytes[name],
        )
        for name, part in student.named_children()
    )
    return ModelSummary(
        variant=config.name,
        parameters=sum(part.parameters for part in parts),
        macs=sum(part.macs for part in parts),
        activation_bytes=sum(part.activation_bytes for part in parts),
        parts=parts,
    )


def markdown(summary: ModelSummary) -> str:
    """The parts as a Markdown table."""
    lines = [
        f"| {summary.variant} | parameters | GMAC | activations, MB |",
        "| --- | ---: | ---: | ---: |",
    ]
    total = PartSummary("all", summary.parameters, summary.macs, summary.activation_bytes)
    for part in (*summary.parts, total):
        lines.append(
            f"| {part.name} | {part.parameters:,} | {part.macs / 1e9:.2f} | {part.activation_bytes / 1e6:.1f} |"
        )
    return "\n".join(lines) + "\n"


def example_inputs(config: StudentConfig) -> tuple[StudentInputs, Memory | None]:
    """Inputs of one frame, without content where the default device is "meta"."""
    (height, width), (rows, columns), cameras = config.feature_size, config.grid.shape, len(CAMERAS)
    pairs = cameras * config.depth_bins * height * width + 1

    def index(count: int) -> Tensor:
        return torch.zeros(count, dtype=torch.int64)

    inputs = StudentInputs(
        images_BNHW3=torch.zeros(1, cameras, *config.image_size, 3, dtype=torch.uint8),
        intrinsics_BN4=torch.zeros(1, cameras, INTRINSICS),
        splat=SplatIndices(index(pairs), index(pairs), index(rows * columns)),
        conditions=PlanConditions(torch.zeros(1, len(Command)), torch.zeros(1, 3), torch.zeros(1, 4)),
    )
    if not config.memory_frames:
        return inputs, None
    memories = config.memory_frames
    feat = torch.zeros(1, memories, config.bev_widths[0], *config.head_grid.shape)
    return inputs, Memory(feat, torch.zeros(1, memories, 3, 3), torch.zeros(1, memories))


def _count_activations(student: nn.Module) -> dict[str, int]:
    """Bytes by part, filled in while the student runs."""
    counted = {name: 0 for name, _ in student.named_children()}

    def count_for(name: str) -> Callable[[nn.Module, object, object], None]:
        def count(_module: nn.Module, _inputs: object, output: object) -> None:
            counted[name] += _bytes(output)

        return count

    for name, part in student.named_children():
        for module in part.modules():
            in_place = getattr(module, "inplace", False)
            if not in_place and next(module.children(), None) is None:
                module.register_forward_hook(count_for(name))
    return counted


def _bytes(value: object) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(_bytes(part) for part in value) if isinstance(value, tuple) else 0


def _bag_flops(weight_shape: torch.Size, indices_shape: torch.Size, *_arguments: object, **_keywords: object) -> int:
    """Of a weighted embedding_bag: one multiply-accumulate a channel of each index."""
    return 2 * math.prod(indices_shape) * weight_shape[1]
