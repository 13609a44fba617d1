"""Our own teacher: larger than its student, sees lidar and cameras where they are, remembers, and learns."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nuscenes import VERSION
from tiny_teacher import tiny_config
from tinybev_training.data.batch import Batch, collate
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.targets import TargetGrids
from tinybev_training.data.training_set import Augmentation, TrainingSet
from tinybev_training.losses.supervised import supervised_terms
from tinybev_training.losses.targets import AgentFilter, student_targets
from tinybev_training.losses.terms import SupervisedWeights, weighted_sum
from tinybev_training.teacher.cross_modal import CrossModal, seeded_teacher
from tinybev_training.teacher.cross_modal_config import TEACHERS, CrossModalConfig, find_teacher
from tinybev_training.teacher.image_trunk import ImageTrunk
from tinybev_training.teacher.lidar_encoder import LidarEncoder
from tinybev_training.teacher.network import TeacherNetwork, check_lidar
from tinybev_training.teacher.stored import CONFIG_FILE, WEIGHTS_FILE, load_teacher, save_teacher
from tinybev_training.train.inputs import Told
from torch import nn

from tinybev.errors import UserError
from tinybev.geometry import BevGrid
from tinybev.model.config import find_variant
from tinybev.model.student import Student
from tinybev.model.torchvision_import import torchvision

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    grid = tiny_config().network.grid
    return open_dataset(tiny_dataroot, VERSION, grids=TargetGrids(map=grid, occupancy=grid))


def batch_of(dataset: NuScenesDataset, indices: tuple[int, ...], past_frames: int = 1) -> Batch:
    training_set = TrainingSet(dataset, (32, 64), past_frames=past_frames)
    return collate([training_set[index] for index in indices])


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", sorted(TEACHERS))
def test_every_teacher_has_four_and_a_half_times_its_students_size(name: str) -> None:
    student = find_variant(name.removeprefix("teacher-").removesuffix("-cameras"))
    config = find_teacher(name)
    with torch.device("meta"):
        teacher_size, student_size = parameters(CrossModal(config)), parameters(Student(student))
    assert teacher_size >= 4.5 * student_size
    assert config.network.image_size == student.image_size
    assert (config.network.grid, config.network.head_grid) == (student.grid, student.head_grid)
    assert config.network.memory_frames > 0


def test_a_configuration_survives_json_and_unknown_names_are_refused() -> None:
    for config in TEACHERS.values():
        assert CrossModalConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(UserError, match="expected network, image_backbone"):
        CrossModalConfig.from_dict({"network": {}})
    with pytest.raises(UserError, match="expected one of teacher-base"):
        find_teacher("teacher-huge")


@pytest.mark.parametrize(("name", "finest"), [("resnet50", 256), ("convnext_tiny", 96)])
def test_trunks_are_torchvisions_networks(name: str, finest: int) -> None:
    """The same weights give the same last stage as torchvision's own network, and strides are 4 to 32."""
    trunk = ImageTrunk(name).eval()
    whole = torchvision.models.get_model(name, weights=None).eval()
    whole.load_state_dict(trunk.model.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    seen = {}
    last = whole.layer4 if name == "resnet50" else whole.features
    last.register_forward_hook(lambda _module, _inputs, output: seen.update(last=output))
    with torch.no_grad():
        stages = trunk(images)
        whole(images)
    assert [tuple(stage.shape[2:]) for stage in stages] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(stage.shape[1] for stage in stages) == trunk.channels
    assert trunk.channels[0] == finest
    torch.testing.assert_close(stages[-1], seen["last"])


@pytest.mark.parametrize("name", ["resnet1", "vgg11"])
def test_other_trunks_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"got '{name}'"):
        ImageTrunk(name)


def lidar_encoder() -> LidarEncoder:
    torch.manual_seed(0)
    return LidarEncoder(BevGrid((-8.0, 8.0, 1.0), (-4.0, 4.0, 1.0)), (-3.0, 5.0, 8.0), 1, 8, 8)


def test_pillars_equal_a_loop_over_points() -> None:
    encoder = lidar_encoder()
    rng = torch.Generator().manual_seed(1)
    points = torch.rand(200, 5, generator=rng) * torch.tensor([24.0, 12.0, 12.0, 255.0, 32.0])
    points -= torch.tensor([12.0, 6.0, 5.0, 0.0, 0.0])
    sample = torch.randint(0, 2, (200,), generator=rng)
    captured = {}
    encoder.fine.register_forward_hook(lambda _module, inputs, _output: captured.update(pillars=inputs[0]))
    encoder.eval()(points, sample, 2)
    expected = torch.zeros(2, 8, 16, 8)
    for point, number in zip(points, sample, strict=True):
        x, y, z, intensity, _ = point.tolist()
        row, column = int(np.floor(x + 8)), int(np.floor(y + 4))
        if not (0 <= row < 16 and 0 <= column < 8 and -3 <= z < 5):
            continue
        described = [
            x / 10,
            y / 10,
            z / 10,
            x + 8 - row - 0.5,
            y + 4 - column - 0.5,
            z,
            intensity / 255,
            np.hypot(x, y) / 10,
        ]
        encoded = encoder.point_mlp(torch.tensor([described], dtype=torch.float32))[0]
        expected[number, :, row, column] = torch.maximum(expected[number, :, row, column], encoded)
    torch.testing.assert_close(captured["pillars"], expected, atol=1e-5, rtol=1e-5)
    assert (expected.amax(dim=1) > 0).sum() > 20


def test_no_points_are_no_features_and_no_error() -> None:
    encoder = lidar_encoder().train()
    nothing = encoder(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), 2)
    assert nothing.shape == (2, 8, 16, 8)
    assert torch.equal(nothing[0], nothing[1])


def test_outputs_are_the_students_for_a_batch_with_and_without_a_past(dataset: NuScenesDataset) -> None:
    network = TeacherNetwork(seeded_teacher(tiny_config(), seed=3))
    batch = batch_of(dataset, (0, 1))  # the first keyframe of a scene has none before it
    assert batch.previous[0].known_B.tolist() == [False, True]
    with torch.no_grad():
        outputs = network(batch, Told.everything(batch, ego_status=True))
        alone = network(batch_of(dataset, (0,)), Told.everything(batch_of(dataset, (0,)), ego_status=True))
    assert outputs.bev_BCXY.shape == (2, 16, 16, 16)
    assert outputs.map_BKXY.shape == (2, 4, 32, 32)
    assert outputs.occupancy.logits_BTXY.shape == (2, 5, 32, 32)
    assert outputs.motion.offset_BAKT2.shape == (2, 8, 6, 12, 2)
    torch.testing.assert_close(outputs.bev_BCXY[:1], alone.bev_BCXY, atol=1e-4, rtol=1e-4)


def test_lidar_cameras_and_the_past_each_change_what_it_says(dataset: NuScenesDataset) -> None:
    network = TeacherNetwork(seeded_teacher(tiny_config(), seed=3))
    batch = batch_of(dataset, (2,))
    past = batch.previous[0]

    def bev(changed: Batch) -> torch.Tensor:
        with torch.no_grad():
            return network(changed, Told.nothing(changed)).bev_BCXY

    whole = bev(batch)
    no_points = replace(batch, lidar_P5=batch.lidar_P5[:0], lidar_sample_P=batch.lidar_sample_P[:0])
    dark = replace(batch, images_BNCHW=torch.zeros_like(batch.images_BNCHW))
    forgotten = replace(batch, previous=(replace(past, known_B=torch.tensor([False])),))
    past_points = replace(past, lidar_P5=past.lidar_P5[:0], lidar_sample_P=past.lidar_sample_P[:0])
    for changed in (no_points, dark, forgotten, replace(batch, previous=(past_points,))):
        assert not torch.allclose(bev(changed), whole, atol=1e-4)
    unknown = replace(forgotten, previous=(replace(forgotten.previous[0], past_T_now_B33=torch.zeros(1, 3, 3)),))
    torch.testing.assert_close(bev(unknown), bev(forgotten))  # what is not known is not looked at


def test_a_teacher_of_cameras_alone_looks_at_no_points(dataset: NuScenesDataset) -> None:
    config = dataclasses.replace(tiny_config(), point_channels=0, lidar_channels=0)
    network = TeacherNetwork(seeded_teacher(config, seed=3))
    assert not network.needs_lidar
    assert TeacherNetwork(seeded_teacher(tiny_config(), seed=3)).needs_lidar
    batch = batch_of(dataset, (2,))
    no_points = replace(batch, lidar_P5=batch.lidar_P5[:0], lidar_sample_P=batch.lidar_sample_P[:0])
    dark = replace(no_points, images_BNCHW=torch.zeros_like(batch.images_BNCHW))
    with torch.no_grad():
        seen, without, blind = (network(one, Told.nothing(one)).bev_BCXY for one in (batch, no_points, dark))
    assert torch.equal(seen, without)
    assert not torch.allclose(seen, blind, atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_weight_learns_from_the_students_losses(dataset: NuScenesDataset, precision: torch.dtype) -> None:
    """The same targets and losses as a student's; a few steps on one batch lower them, and each weight has a gradient,
    although its own features of the past are made without."""
    config = tiny_config()
    network = TeacherNetwork(seeded_teacher(config, seed=0)).train()
    batch = batch_of(dataset, (1, 2))
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        targets = student_targets(batch, config.network, AgentFilter())
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            outputs = network(batch, Told.everything(batch, ego_status=True), targets.agents)
        weights = SupervisedWeights()
        loss = weighted_sum(supervised_terms(outputs, targets, batch, config.network, weights), weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    silent = {
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    }
    assert silent == set()


def test_a_batch_that_does_not_fit_is_refused(dataset: NuScenesDataset) -> None:
    network = TeacherNetwork(seeded_teacher(tiny_config(), seed=0))
    without_past = batch_of(dataset, (1,), past_frames=0)
    with pytest.raises(
        UserError, match="1 earlier keyframes, the batch has 0; open the training set with past_frames=1"
    ):
        network(without_past, Told.nothing(without_past))
    large = collate([TrainingSet(dataset, (64, 96), past_frames=1)[1]])
    with pytest.raises(UserError, match="images of 64 x 32, the batch has 96 x 64"):
        network(large, Told.nothing(large))


def test_a_dataset_without_lidar_is_refused(dataset: NuScenesDataset) -> None:
    check_lidar(dataset, "teacher-nano")
    with pytest.raises(UserError, match="opened without lidar"):
        check_lidar(replace(dataset, with_lidar=False), "teacher-nano")
    bare = tuple(replace(where, has_lidar=False) for where in dataset.keyframes)
    with pytest.raises(UserError, match="none of its keyframes has a sweep on disk"):
        check_lidar(replace(dataset, keyframes=bare), "teacher-nano")


def test_a_teacher_on_disk_is_the_same_teacher(dataset: NuScenesDataset, tmp_path: Path) -> None:
    teacher = seeded_teacher(tiny_config(), seed=5)
    save_teacher(teacher, tmp_path / "t", {"steps": 3})
    loaded = load_teacher(tmp_path / "t")
    assert loaded.config == teacher.config
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    batch = batch_of(dataset, (1,))
    with torch.no_grad():
        here, there = (TeacherNetwork(one)(batch, Told.nothing(batch)).bev_BCXY for one in (teacher, loaded))
    assert torch.equal(here, there)


def test_a_disk_that_fails_leaves_no_half_of_a_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(Path, "write_text", full)
        with pytest.raises(UserError, match=r"expected a place that can be written to, got .*No space left"):
            save_teacher(seeded_teacher(tiny_config(), seed=5), tmp_path / "t", {})
    assert not list(tmp_path.iterdir())


def test_damaged_and_mixed_teachers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a trained teacher"):
        load_teacher(tmp_path)
    folder = tmp_path / "t"
    save_teacher(seeded_teacher(tiny_config(), seed=5), folder, {})
    other = dataclasses.replace(tiny_config(), lidar_channels=8)
    description = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps({**description, "config": other.to_dict()}))
    with pytest.raises(UserError, match=r"tensors do not fit, e\.g\. fuse\.0\.weight"):
        load_teacher(folder)
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        load_teacher(folder)


def test_augmented_batches_train_it_too(dataset: NuScenesDataset) -> None:
    training_set = TrainingSet(dataset, (32, 64), Augmentation(), seed=1, past_frames=1)
    batch = collate([training_set[(0, index)] for index in (0, 3, 9)])
    network = TeacherNetwork(seeded_teacher(tiny_config(), seed=0)).train()
    outputs = network(batch, Told.everything(batch, ego_status=False))
    assert all(part.isfinite().all() for part in (outputs.bev_BCXY, outputs.map_BKXY, outputs.plan.position_BT2))
