"""A network as a teacher: what it says is what the vehicle would decode, and teaching does not change it."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nuscenes import VERSION
from tiny_teacher import tiny_config
from tinybev_training.data.batch import Batch, Example, collate
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.teacher.cross_modal import seeded_teacher
from tinybev_training.teacher.live import LEAST_SCORE, LiveTeacher
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.train.average import make_average
from tinybev_training.train.inputs import Told
from tinybev_training.train.network import StudentNetwork

from tinybev.model.config import StudentConfig
from tinybev.model.student import seeded_student
from tinybev.runtime.decode.detection import decode_detections
from tinybev.runtime.decode.motion import decode_motion
from tinybev.types import MapClass

torch.set_num_threads(1)


def student_config() -> StudentConfig:
    return dataclasses.replace(tiny_config(memory_frames=0).network, name="tiny")


def student_network() -> StudentNetwork:
    """With boxes that differ from cell to cell, as an untrained head's hardly do."""
    network = StudentNetwork(seeded_student(student_config(), 2))
    draw = torch.Generator().manual_seed(10)
    torch.nn.init.normal_(network.student.detection_head.box.weight, std=0.3, generator=draw)
    torch.nn.init.normal_(network.student.detection_head.center.weight, std=0.5, generator=draw)
    return network.eval()


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


@pytest.fixture(scope="module")
def batch(dataset: NuScenesDataset) -> Batch:
    training_set = TrainingSet(dataset, (32, 64), past_frames=1)
    return collate([training_set[index] for index in (1, 2)])


def test_objects_and_futures_are_those_that_the_vehicle_decodes(batch: Batch) -> None:
    network, config = student_network(), student_config()
    taught = LiveTeacher(lambda: network)(batch)
    assert taught.agents is not None
    assert taught.agents.futures_BAMT2 is not None
    with torch.no_grad():
        outputs = network(batch, Told.everything(batch, ego_status=False))
    detections, rows = decode_detections(outputs.detection, outputs.agents, config.head_grid, LEAST_SCORE, 100)
    trajectories = decode_motion(outputs.motion, detections, rows, config.time_step_s)
    assert len(detections) > 2
    taught_rows = taught.agents.mask_BA[0].nonzero()[:, 0]
    np.testing.assert_array_equal(taught_rows, rows)
    np.testing.assert_allclose(taught.agents.centers_BA3[0, rows], detections.centers, atol=1e-4)
    np.testing.assert_allclose(taught.agents.sizes_BA3[0, rows], detections.sizes, rtol=1e-4)
    np.testing.assert_allclose(taught.agents.yaws_BA[0, rows], detections.yaws, atol=1e-5)
    np.testing.assert_allclose(taught.agents.velocities_BA2[0, rows], detections.velocities, atol=1e-5)
    np.testing.assert_allclose(taught.agents.futures_BAMT2[0, rows], trajectories.positions, atol=1e-4)
    probability = taught.agents.probability_BAK[0, rows]
    np.testing.assert_allclose(probability[range(len(rows)), detections.class_ids], detections.scores, atol=1e-5)


def test_grids_are_the_networks_own(batch: Batch) -> None:
    network, config = student_network(), student_config()
    teacher = LiveTeacher(lambda: network)
    taught = teacher(batch)
    assert taught.bev is not None
    assert taught.bev.grid == config.head_grid
    assert (teacher.bev_channels, teacher.past_frames) == (16, 0)
    for output, channels in (
        (taught.bev, 16),
        (taught.heatmap, 10),
        (taught.map, len(MapClass)),
        (taught.occupancy, 5),
    ):
        assert output is not None
        assert output.values_BCXY.shape == (2, channels, *output.grid.shape)
        assert output.mask_BC.all()
        assert not output.values_BCXY.requires_grad


def test_teaching_moves_neither_weights_nor_running_statistics(batch: Batch) -> None:
    network = TeacherNetwork(seeded_teacher(tiny_config(), 1))
    before = copy.deepcopy(network.state_dict())
    teacher = LiveTeacher(lambda: network, needs_lidar=True)
    assert teacher.past_frames == 1
    first, second = teacher(batch), teacher(batch)
    assert first.bev is not None
    assert second.bev is not None
    assert torch.equal(first.bev.values_BCXY, second.bev.values_BCXY)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_average_of_a_student_teaches_and_follows_it(batch: Batch) -> None:
    student = student_network()
    average = make_average(student, decay=0.5)
    teacher = LiveTeacher(lambda: average.module)
    before = teacher(batch)
    for _ in range(10):
        with torch.no_grad():
            student.student.map_head.predict.conv.bias.add_(1.0)
        average.update_parameters(student)
    after = teacher(batch)
    assert before.map is not None
    assert after.map is not None
    difference = after.map.values_BCXY - before.map.values_BCXY
    assert 7 < float(difference.min()) <= float(difference.max()) < 10  # it follows, some steps behind
    assert before.bev is not None
    assert after.bev is not None
    torch.testing.assert_close(before.bev.values_BCXY, after.bev.values_BCXY)


def test_a_network_in_training_mode_does_not_teach(batch: Batch) -> None:
    network = student_network().train()
    with pytest.raises(ValueError, match="in evaluation mode"):
        LiveTeacher(lambda: network)(batch)


def test_what_was_not_seen_is_masked(batch: Batch) -> None:
    network = student_network()
    blind = replace(batch, camera_mask_BN=batch.camera_mask_BN & torch.tensor([[True], [False]]))
    taught = LiveTeacher(lambda: network)(blind)
    assert taught.bev is not None
    assert taught.plan is not None
    assert taught.agents is not None
    assert taught.bev.mask_BC.all(dim=1).tolist() == [True, False]
    assert taught.plan.mask_B.tolist() == [True, False]
    assert not taught.agents.mask_BA[1].any()
    assert taught.agents.known_B is not None
    assert taught.agents.known_B.tolist() == [True, False]
    keep = batch.lidar_sample_P == 1
    pointless = replace(batch, lidar_P5=batch.lidar_P5[keep], lidar_sample_P=batch.lidar_sample_P[keep])
    taught = LiveTeacher(lambda: network, needs_lidar=True)(pointless)
    assert taught.plan is not None
    assert taught.plan.mask_B.tolist() == [False, True]


def test_the_plan_of_a_turned_world_is_masked_as_the_recorded_one_is(dataset: NuScenesDataset) -> None:
    worlds = [AS_RECORDED, BevAugmentation(0, False, True), BevAugmentation(0, True, False), BevAugmentation(0.1)]
    samples = [dataset.sample(3, world) for world in worlds]
    turned = collate([Example(sample, camera_inputs(sample.frame, (32, 64))) for sample in samples])
    network = student_network()
    taught = LiveTeacher(lambda: network)(turned)
    assert taught.plan is not None
    assert taught.plan.mask_B.tolist() == [True, True, False, False] == turned.plan_mask_BT.any(dim=1).tolist()
