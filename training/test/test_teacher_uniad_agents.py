"""UniAD's boxes, futures and plan come out in base_link: known answers, and the devkit's own boxes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import uniad_results as uniad
from tiny_nuscenes import VERSION
from tinybev_training.data.batch import Example, collate
from tinybev_training.data.bev_augmentation import AS_RECORDED, BevAugmentation
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.teacher.rear_axle import rear_axle_path
from uniad_dumps import CAR, EGO_MOTION, FACTS, NUSCENES_MOUNTING, TURNED, WALKER, batch_of, dump, dumper, read

from tinybev.geometry import invert, transform_points

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def test_rear_axle_follows_the_lidar_on_a_circle(dataset: NuScenesDataset, tmp_path: Path) -> None:
    """The ego turns left at 5 m/s on 10 m: where its rear axle will be is known, and the lidar's place with it."""
    speed, radius, ahead = 5.0, 10.0, 0.94
    batch = batch_of(dataset, [AS_RECORDED, BevAugmentation(0, False, True), BevAugmentation(0.2)], motion=np.eye(4))
    yaws = speed / radius * 0.5 * np.arange(1, 7)
    rear = radius * np.stack([np.sin(yaws), 1 - np.cos(yaws)], axis=1)
    lidar = rear + ahead * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
    planned = transform_points(invert(NUSCENES_MOUNTING), np.column_stack([lidar, np.full(6, 1.84)]))[:, :2]
    for token in batch.tokens:
        dump(tmp_path / "d", token, sdc_traj=torch.from_numpy(planned).float())
    plan = read(tmp_path / "d", batch).plan
    assert plan is not None
    assert plan.mask_B.tolist() == [True, True, False]  # turned, the ego would not drive along x
    np.testing.assert_allclose(plan.position_BT2[0], rear, atol=0.06)
    np.testing.assert_allclose(plan.position_BT2[1], rear * [1, -1], atol=0.06)
    assert not plan.position_BT2[2].any()
    assert np.abs(lidar - rear).max() > 0.9  # what taking the lidar for base_link would cost


def test_rear_axle_stands_while_the_lidar_stands_and_backs_up_with_it() -> None:
    now, rear = torch.tensor([[0.94, 0.0]]), torch.zeros(1, 2)
    standing = rear_axle_path(now[:, None].repeat(1, 3, 1), now, rear)
    torch.testing.assert_close(standing, torch.zeros(1, 3, 2))
    backwards = torch.tensor([[[-0.06, 0.0], [-1.06, 0.0]]])
    torch.testing.assert_close(rear_axle_path(backwards, now, rear), backwards - now)
    above = torch.tensor([[[1.0, 2.0], [-3.0, 4.0]]])  # a lidar above the axle
    torch.testing.assert_close(rear_axle_path(above, rear, rear), above)


@pytest.mark.parametrize("size_order", ["length-width", "width-length"])
@pytest.mark.parametrize("yaw", ["counterclockwise", "second"])
@pytest.mark.parametrize("world", [AS_RECORDED, TURNED])
def test_boxes_and_futures_come_out_in_base_link(
    dataset: NuScenesDataset, tmp_path: Path, size_order: str, yaw: str, world: BevAugmentation
) -> None:
    batch = batch_of(dataset, [world])
    rng = torch.Generator().manual_seed(1)
    futures = np.cumsum(np.random.default_rng(2).normal(size=(6, 12, 2)), axis=1) + CAR.center[:2]
    objects = [replace(CAR, futures=futures), WALKER]
    probability = torch.full((2, 10), 0.02)
    probability[0, :2] = torch.tensor([0.7, 0.2])
    probability[1, 8] = 0.6
    tensors = {
        **dumper.pick_track(uniad.track_result(objects, torch.zeros(4, 8, 8), size_order, yaw)[0]),
        **dumper.pick_queries(uniad.decoder_result(objects, probability, size_order, yaw, rng)),
        **dumper.pick_motion(uniad.motion_result(objects, rng)[1]),
    }
    (tmp_path / "d").mkdir()
    dumper.write_dump(tmp_path / "d", batch.tokens[0], tensors, {**FACTS, "size_order": size_order, "yaw": yaw})
    agents = read(tmp_path / "d", batch).agents
    assert agents is not None
    assert agents.mask_BA.tolist() == [[True, True]]
    moved = world.matrix @ EGO_MOTION @ NUSCENES_MOUNTING
    for number, one in enumerate(objects):
        np.testing.assert_allclose(
            agents.centers_BA3[0, number], transform_points(moved, np.array([one.center]))[0], atol=1e-4
        )
        np.testing.assert_allclose(agents.sizes_BA3[0, number], one.length_width_height, rtol=1e-6)
        front = moved[:2, :2] @ [math.cos(one.heading), math.sin(one.heading)]
        np.testing.assert_allclose(agents.yaws_BA[0, number], math.atan2(front[1], front[0]), atol=1e-5)
        np.testing.assert_allclose(agents.velocities_BA2[0, number], moved[:2, :2] @ one.velocity, atol=1e-5)
    np.testing.assert_allclose(agents.probability_BAK[0], probability, atol=1e-5)
    assert agents.futures_BAMT2 is not None
    assert agents.futures_BAMT2.shape == (1, 2, 6, 12, 2)
    positions = np.concatenate([futures.reshape(-1, 2), np.full((72, 1), CAR.center[2])], axis=1)
    expected = transform_points(moved, positions)[:, :2].reshape(6, 12, 2)
    np.testing.assert_allclose(agents.futures_BAMT2[0, 0], expected, atol=1e-4)
    assert agents.mode_logits_BAM is not None
    np.testing.assert_allclose(agents.mode_logits_BAM[0].exp().sum(dim=-1), 1, rtol=1e-5)


def test_without_the_decoders_queries_a_track_has_its_one_class(dataset: NuScenesDataset, tmp_path: Path) -> None:
    batch = batch_of(dataset, [AS_RECORDED])
    tensors = dumper.pick_track(
        uniad.track_result([CAR, WALKER], torch.zeros(1, 4, 4), "length-width", "counterclockwise")[0]
    )
    dump(tmp_path / "d", batch.tokens[0], **tensors)
    agents = read(tmp_path / "d", batch).agents
    assert agents is not None
    expected = torch.zeros(2, 10)
    expected[0, 0], expected[1, 8] = 0.8, 0.5
    torch.testing.assert_close(agents.probability_BAK[0], expected)
    assert agents.futures_BAMT2 is None
    assert agents.mode_logits_BAM is None


def test_the_devkits_boxes_in_the_lidar_frame_come_back_as_the_annotations(
    nuscenes_dataroot: Path, tmp_path: Path
) -> None:
    """Real keyframe, true mounting: the devkit gives its boxes in the lidar's frame, as UniAD's labels are made; dumped
    in UniAD's form and read back they are the boxes of our own data pipeline, in a turned and mirrored world too."""
    nuscenes = pytest.importorskip("nuscenes")
    real = open_dataset(nuscenes_dataroot, "v1.0-mini")
    devkit = nuscenes.NuScenes("v1.0-mini", str(nuscenes_dataroot), verbose=False)
    token = real.keyframes[0].keyframe.token
    record = devkit.get("sample", token)
    _, boxes, _ = devkit.get_sample_data(record["data"]["LIDAR_TOP"])
    names = [devkit_class(box.name) for box in boxes]
    objects = [
        uniad.LidarObject(
            tuple(box.center),
            (box.wlh[1], box.wlh[0], box.wlh[2]),
            box.orientation.yaw_pitch_roll[0],
            (0.0, 0.0),
            name,
        )
        for box, name in zip(boxes, names, strict=True)
        if name is not None
    ]
    assert len(objects) > 5
    sample = real.sample(0, TURNED)
    batch = collate([Example(sample, camera_inputs(sample.frame, (32, 64)))])
    result = uniad.track_result(objects, torch.zeros(1, 4, 4), "length-width", "counterclockwise")[0]
    dump(tmp_path / "d", token, **dumper.pick_track(result))
    agents = read(tmp_path / "d", batch).agents
    assert agents is not None
    for number in range(len(objects)):
        distance = (batch.agents.centers_BA3[0] - agents.centers_BA3[0, number]).norm(dim=-1)
        same = int(distance.argmin())
        assert distance[same] < 1e-2
        assert int(batch.agents.class_ids_BA[0, same]) == int(agents.probability_BAK[0, number].argmax())
        torch.testing.assert_close(agents.sizes_BA3[0, number], batch.agents.sizes_BA3[0, same], rtol=1e-4, atol=1e-4)
        turn = float(agents.yaws_BA[0, number] - batch.agents.yaws_BA[0, same])
        assert abs(math.remainder(turn, 2 * math.pi)) < 0.02  # the lidar is tilted by under a degree


def devkit_class(category: str) -> str | None:
    from nuscenes.eval.detection.utils import category_to_detection_name

    return category_to_detection_name(category)
