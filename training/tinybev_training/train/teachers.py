"""Who teaches: what a recipe's ``teacher`` names, and what that wants to see of every sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from tinybev.errors import UserError
from tinybev.runtime.bundle import MANIFEST_FILE, read_bundle
from tinybev_training.teacher.live import LiveTeacher
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.teacher.outputs import Teacher
from tinybev_training.teacher.sample_files import SUFFIX, SampleFiles
from tinybev_training.teacher.sample_outputs import is_outputs
from tinybev_training.teacher.stored import CONFIG_FILE, load_teacher, trained_with_ego_status
from tinybev_training.teacher.teaching_summary import SUMMARY_FILE, read_summary
from tinybev_training.teacher.uniad_dump import UniadDumps
from tinybev_training.teacher.written import WrittenTeacher
from tinybev_training.train.first_weights import BatchNetwork
from tinybev_training.train.network import StudentNetwork
from tinybev_training.train.recipe import SELF, Recipe


@dataclass(frozen=True)
class Classroom:
    """What a teacher comes into.

    Attributes:
        average: gives the average of the network in training.
        tokens: of all samples that the teacher will be asked about.
        device: where batches are.
        world_size: processes that train together.
    """

    average: Callable[[], BatchNetwork]
    tokens: Sequence[str]
    device: torch.device
    world_size: int = 1


@dataclass(frozen=True)
class TeacherSource:
    """A teacher that is not at work yet.

    Attributes:
        open: gives the teacher.
        needs_lidar: whether it looks at lidar points.
        past_frames: earlier keyframes that it looks at.
        digest: of its weights, where it is one of our networks and does not change.
    """

    open: Callable[[Classroom], Teacher]
    needs_lidar: bool = False
    past_frames: int = 0
    digest: str | None = None


def find_teacher_source(recipe: Recipe) -> TeacherSource:
    """What ``recipe.teacher`` names.

    It may be ``self``, the folder of a run or of its bundle, whether of a cross-modal teacher or of a student, or a
    folder of what a teacher said: ``tinybev teach``'s, or UniAD's dumps.

    Raises:
        UserError: it is none of these, or damaged.
    """
    if recipe.teacher == SELF:
        ego_status = recipe.telling.ego_status
        return TeacherSource(lambda room: LiveTeacher(room.average, ego_status))
    folder = Path(recipe.teacher)
    if (network := find_network(folder)) is not None:
        return _live(network, told_ego_status_of(folder))
    if (first := next(folder.glob(f"*{SUFFIX}"), None)) is not None:
        return _written(folder) if is_outputs(first) else TeacherSource(lambda room: _dumps(folder, room))
    raise UserError(
        f"--teacher {recipe.teacher}: expected {SELF!r}, the folder of a finished run or bundle, or a folder of what "
        "`tinybev teach` or UniAD's dumper wrote, and found none of these; correct the path."
    )


def find_network(folder: Path) -> BatchNetwork | None:
    """The trained network of a run's folder or of its bundle, in evaluation mode, frozen; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    folder = _bundle_folder(folder)
    network: BatchNetwork
    if (folder / CONFIG_FILE).is_file():
        network = TeacherNetwork(load_teacher(folder))
    elif (folder / MANIFEST_FILE).is_file():
        network = StudentNetwork(read_bundle(folder).build_student())
    else:
        return None
    network.eval().requires_grad_(False)
    return network


def _bundle_folder(folder: Path) -> Path:
    """Of a run's folder the bundle in it."""
    return folder / "bundle" if (folder / "bundle").is_dir() else folder


def told_ego_status_of(folder: Path) -> bool:
    """Whether the planner of the network that ``find_network`` finds in ``folder`` is told how the vehicle moves: where
    it was trained with it."""
    folder = _bundle_folder(folder)
    if (folder / CONFIG_FILE).is_file():
        return trained_with_ego_status(folder) is True
    return read_bundle(folder).manifest.trained_with_ego_status is True


def _live(network: BatchNetwork, ego_status: bool) -> TeacherSource:
    """A network that does not change."""
    return TeacherSource(
        lambda room: LiveTeacher(lambda: network.to(room.device), ego_status, network.needs_lidar),
        network.needs_lidar,
        network.config.memory_frames,
        weights_digest(network),
    )


def weights_digest(network: BatchNetwork) -> str:
    """SHA-256 of a network's weights."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    return hashlib.sha256(save(weights)).hexdigest()


def _written(folder: Path) -> TeacherSource:
    """What one of our networks said.

    Raises:
        UserError: it has not been asked about everything yet.
    """
    summary = read_summary(folder)
    if summary is None:
        raise UserError(
            f"--teacher {folder}: expected {SUMMARY_FILE}, which `tinybev teach` writes when it is done, and it is not "
            "there; run the same `tinybev teach` again, it goes on."
        )

    def open_for(room: Classroom) -> WrittenTeacher:
        teacher = WrittenTeacher(folder, room.tokens, summary.digest)
        summary.check_asked(teacher.files)
        _check_shared(teacher.files, room)
        return teacher

    return TeacherSource(open_for, digest=summary.digest)


def _dumps(folder: Path, room: Classroom) -> UniadDumps:
    """UniAD's dumps, where every process can go by them."""
    teacher = UniadDumps(folder, room.tokens)
    _check_shared(teacher.files, room)
    return teacher


def _check_shared(files: SampleFiles, room: Classroom) -> None:
    """Checks that no process lacks what the others have.

    Raises:
        UserError: several processes train and some samples have no file: a process whose share of a step has no file
            at all would compute other terms than its fellows, and means are taken over all.
    """
    if files.absent and room.world_size > 1:
        raise UserError(
            f"--teacher {files.folder}: expected a file of every sample where {room.world_size} processes train, "
            f"{len(files.absent)} of {len(room.tokens)} have none (nothing is said of a sample without images or lidar "
            "points); write those that are missing, or train in one process."
        )
