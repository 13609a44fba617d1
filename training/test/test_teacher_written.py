"""What a teacher said, read from disk: as it was said, turned as the batch is, and never of another teacher."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_nuscenes import VERSION
from tiny_teacher import tiny_config
from tinybev_training.data.batch import Batch, Example, collate
from tinybev_training.data.bev_augmentation import BevAugmentation
from tinybev_training.data.camera_inputs import camera_inputs
from tinybev_training.data.dataset import NuScenesDataset, open_dataset
from tinybev_training.data.training_set import TrainingSet
from tinybev_training.teacher.cross_modal import seeded_teacher
from tinybev_training.teacher.live import LiveTeacher
from tinybev_training.teacher.network import TeacherNetwork
from tinybev_training.teacher.outputs import GridOutput, TeacherOutputs
from tinybev_training.teacher.sample_outputs import write_outputs
from tinybev_training.teacher.stored import save_teacher
from tinybev_training.teacher.teaching_summary import SUMMARY_FILE, read_summary
from tinybev_training.teacher.written import WrittenTeacher
from tinybev_training.train.recipes import find_recipe
from tinybev_training.train.teachers import Classroom, find_teacher_source, weights_digest

from tinybev.cli import main
from tinybev.errors import UserError
from tinybev.runtime.backends import torch_device

torch.set_num_threads(1)

TURNED = BevAugmentation(math.radians(37), True, False)
DIGEST = "of the test"
MIRRORED = BevAugmentation(0.0, False, True)


@pytest.fixture(scope="module")
def dataset(tiny_dataroot: Path) -> NuScenesDataset:
    return open_dataset(tiny_dataroot, VERSION)


def network() -> TeacherNetwork:
    """With peaks here and there, as an untrained head's have not."""
    made = TeacherNetwork(seeded_teacher(tiny_config(), 4))
    draw = torch.Generator().manual_seed(10)
    torch.nn.init.normal_(made.teacher.detection_head.box.weight, std=0.003, generator=draw)
    torch.nn.init.normal_(made.teacher.detection_head.center.weight, std=0.005, generator=draw)
    return made.eval()


@pytest.fixture(scope="module")
def as_recorded(dataset: NuScenesDataset) -> Batch:
    training_set = TrainingSet(dataset, (32, 64), past_frames=1)
    return collate([training_set[index] for index in (1, 2)])


@pytest.fixture(scope="module")
def said(as_recorded: Batch) -> TeacherOutputs:
    made = network()
    return LiveTeacher(lambda: made, needs_lidar=True)(as_recorded)


@pytest.fixture(scope="module")
def folder(as_recorded: Batch, said: TeacherOutputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teaching")
    for row, token in enumerate(as_recorded.tokens):
        write_outputs(path / f"{token}.safetensors", said, row, DIGEST)
    return path


def in_world(dataset: NuScenesDataset, *worlds: BevAugmentation, index: int = 1) -> Batch:
    samples = [dataset.sample(index, world) for world in worlds]
    return collate([Example(sample, camera_inputs(sample.frame, (32, 64))) for sample in samples])


def grids(outputs: TeacherOutputs) -> dict[str, GridOutput]:
    found = {name: getattr(outputs, name) for name in ("bev", "heatmap", "map", "occupancy")}
    assert all(output is not None for output in found.values())
    return found


def test_of_a_world_as_recorded_it_is_what_the_teacher_said(
    as_recorded: Batch, said: TeacherOutputs, folder: Path
) -> None:
    teacher = WrittenTeacher(folder, as_recorded.tokens, DIGEST)
    found = teacher(as_recorded)
    assert said.bev is not None
    assert (teacher.bev_channels, teacher.past_frames) == (16, 0)
    wanted = grids(said)
    for name, output in grids(found).items():
        assert output.grid == wanted[name].grid
        torch.testing.assert_close(output.values_BCXY, wanted[name].values_BCXY, rtol=2e-3, atol=2e-3)
        assert output.mask_BC.all()
        assert output.reach_BXY is not None
        assert output.reach_BXY.all()
    assert found.agents is not None
    assert said.agents is not None
    assert found.agents.mask_BA.sum(dim=1).tolist() == said.agents.mask_BA.sum(dim=1).tolist()
    assert found.agents.mask_BA.any()
    for name in ("probability_BAK", "centers_BA3", "sizes_BA3", "yaws_BA", "velocities_BA2", "futures_BAMT2"):
        mine, theirs = getattr(found.agents, name), getattr(said.agents, name)
        for row in range(2):
            rows = said.agents.mask_BA[row]
            torch.testing.assert_close(mine[row, found.agents.mask_BA[row]], theirs[row, rows], rtol=1e-4, atol=1e-4)
    assert found.plan is not None
    assert said.plan is not None
    torch.testing.assert_close(found.plan.position_BT2, said.plan.position_BT2)
    assert found.plan.mask_B.all()


@pytest.mark.parametrize("world", [BevAugmentation(0.0, False, False), TURNED], ids=["as recorded", "turned"])
def test_autocast_of_the_training_rounds_nothing_of_it(
    dataset: NuScenesDataset, folder: Path, world: BevAugmentation
) -> None:
    """Bfloat16 has steps of 0.25 m at 40 m, which takes objects to neighbouring cells."""
    batch = in_world(dataset, world)
    teacher = WrittenTeacher(folder, batch.tokens, DIGEST)
    wanted = teacher(batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = teacher(batch)
    for mine, theirs in ((found.agents, wanted.agents), (found.plan, wanted.plan)):
        assert mine is not None
        for name, value in vars(mine).items():
            assert torch.equal(value, getattr(theirs, name)), name
    for name, output in grids(found).items():
        assert torch.equal(output.values_BCXY, grids(wanted)[name].values_BCXY), name


def test_a_mirrored_world_has_the_mirrored_cells_boxes_and_plan(
    dataset: NuScenesDataset, said: TeacherOutputs, folder: Path
) -> None:
    """The grid is symmetric about the ego, so mirroring needs no interpolation and can be told exactly."""
    batch = in_world(dataset, MIRRORED)
    found = WrittenTeacher(folder, batch.tokens, DIGEST)(batch)
    wanted = grids(said)
    for name, output in grids(found).items():
        mirrored_CXY = wanted[name].values_BCXY[0].flip(-1)
        torch.testing.assert_close(output.values_BCXY[0], mirrored_CXY, rtol=2e-3, atol=2e-3)
    mirror = torch.tensor([1.0, -1.0])
    assert found.agents is not None
    assert said.agents is not None
    assert found.plan is not None
    assert said.plan is not None
    assert found.agents.futures_BAMT2 is not None
    assert said.agents.futures_BAMT2 is not None
    rows = said.agents.mask_BA[0]
    torch.testing.assert_close(found.agents.centers_BA3[0, :, :2], said.agents.centers_BA3[0, rows, :2] * mirror)
    torch.testing.assert_close(found.agents.yaws_BA[0], -said.agents.yaws_BA[0, rows])
    torch.testing.assert_close(found.agents.velocities_BA2[0], said.agents.velocities_BA2[0, rows] * mirror)
    torch.testing.assert_close(found.agents.futures_BAMT2[0], said.agents.futures_BAMT2[0, rows] * mirror)
    torch.testing.assert_close(found.plan.position_BT2[0], said.plan.position_BT2[0] * mirror)
    assert found.plan.mask_B.all()


def test_a_turned_world_has_every_cell_where_a_loop_over_cells_finds_it_and_every_centre_as_clear_as_before(
    dataset: NuScenesDataset, said: TeacherOutputs, folder: Path
) -> None:
    batch = in_world(dataset, TURNED)
    found = WrittenTeacher(folder, batch.tokens, DIGEST)(batch)
    assert found.heatmap is not None
    assert found.heatmap.reach_BXY is not None
    assert said.heatmap is not None
    grid, recorded_KXY = found.heatmap.grid, said.heatmap.values_BCXY[0].numpy()
    augmented_T_base = batch.augmented_T_base_B44[0].numpy()
    base_T_augmented = np.linalg.inv(augmented_T_base)
    x_X, y_Y = grid.cell_centers()
    checked = 0
    raised: dict[tuple[int, int], list[np.ndarray]] = {}
    assert said.agents is not None
    for place, probability_K, is_agent in zip(
        said.agents.centers_BA3[0].numpy(),
        said.agents.probability_BAK[0].numpy(),
        said.agents.mask_BA[0].tolist(),
        strict=True,
    ):
        x, y = (augmented_T_base @ [*place[:2], 0.0, 1.0])[:2]
        cell = int((x - grid.x_bound[0]) // grid.x_bound[2]), int((y - grid.y_bound[0]) // grid.y_bound[2])
        if is_agent:
            raised.setdefault(cell, []).append(np.log(probability_K) - np.log1p(-probability_K))
    assert raised
    for i, x in enumerate(x_X):
        for j, y in enumerate(y_Y):
            place = (base_T_augmented @ [x, y, 0.0, 1.0])[:2]
            row, column = (place - [grid.x_bound[0], grid.y_bound[0]]) / [grid.x_bound[2], grid.y_bound[2]] - 0.5
            inside = -0.5 <= row <= len(x_X) - 0.5 and -0.5 <= column <= len(y_Y) - 0.5
            assert bool(found.heatmap.reach_BXY[0, i, j]) == inside
            if not (0 <= row < len(x_X) - 1 and 0 <= column < len(y_Y) - 1):
                continue
            r, c = int(row), int(column)
            down, right = row - r, column - c
            expected_K = (
                recorded_KXY[:, r, c] * (1 - down) * (1 - right)
                + recorded_KXY[:, r + 1, c] * down * (1 - right)
                + recorded_KXY[:, r, c + 1] * (1 - down) * right
                + recorded_KXY[:, r + 1, c + 1] * down * right
            )
            expected_K = np.max([expected_K, *raised.get((i, j), [])], axis=0)
            np.testing.assert_allclose(found.heatmap.values_BCXY[0, :, i, j], expected_K, rtol=5e-3, atol=5e-3)
            checked += 1
    assert checked > 0.6 * len(x_X) * len(y_Y)
    assert found.plan is not None
    assert not found.plan.mask_B.any()


def test_a_sample_without_a_file_is_masked(dataset: NuScenesDataset, folder: Path) -> None:
    batch = collate([*map(TrainingSet(dataset, (32, 64)).__getitem__, (3, 1))])
    teacher = WrittenTeacher(folder, batch.tokens, DIGEST)
    assert len(teacher.files.absent) == 1
    found = teacher(batch)
    assert found.agents is not None
    assert found.agents.known_B is not None
    assert found.plan is not None
    for output in grids(found).values():
        assert output.mask_BC.any(dim=1).tolist() == [False, True]
        assert not output.values_BCXY[0].any()
    assert found.agents.known_B.tolist() == found.plan.mask_B.tolist() == [False, True]
    assert not found.agents.mask_BA[0].any()
    silent = replace(batch, tokens=("a", "b"))
    assert not any(output.mask_BC.any() for output in grids(teacher(silent)).values())
    with pytest.raises(UserError, match="none is there"):
        WrittenTeacher(folder, ["a", "b"], DIGEST)


def test_a_damaged_file_and_one_of_another_network_are_refused(
    as_recorded: Batch, said: TeacherOutputs, folder: Path, tmp_path: Path
) -> None:
    first, second = (f"{token}.safetensors" for token in sorted(as_recorded.tokens))
    for name in (first, second):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    teacher = WrittenTeacher(tmp_path, as_recorded.tokens, DIGEST)
    (tmp_path / second).write_bytes((folder / second).read_bytes()[:5000])
    with pytest.raises(UserError, match="whole safetensors file"):
        teacher(as_recorded)
    write_outputs(tmp_path / second, said, 1, "another network")
    with pytest.raises(UserError, match=f"what one network said in .*, {second} is another's; remove that file"):
        teacher(as_recorded)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    save_teacher(network().teacher, run / "bundle", {})
    return run


def test_the_command_writes_every_sample_once_and_training_finds_it(
    split_dataroot: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "teaching"
    command = [
        *("teach", "--teacher", str(trained), "--dataroot", str(split_dataroot), "--version", VERSION),
        *("--split", "half", "other_half", "--out", str(out), "--workers", "0", "--device", "cpu"),
    ]
    assert main(command) == 0
    files = sorted(out.glob("*.safetensors"))
    tokens = [where.keyframe.token for where in open_dataset(split_dataroot, VERSION).keyframes]
    assert [path.stem for path in files] == sorted(tokens)
    stamps = {path: path.stat().st_mtime_ns for path in files}
    files[3].unlink()
    assert main(command) == 0
    again = {path: path.stat().st_mtime_ns for path in files}
    assert {path for path in files if again[path] != stamps[path]} == {files[3]}

    source = find_teacher_source(find_recipe("s3", str(out)))
    assert (source.needs_lidar, source.past_frames) == (False, 0)
    room = Classroom(pytest.fail, tokens, torch.device("cpu"), world_size=2)
    assert isinstance(source.open(room), WrittenTeacher)
    more = replace(room, tokens=[*tokens, "another"])
    with pytest.raises(UserError, match=r"not asked about 1 of them \(asked were half, other_half\); run"):
        source.open(more)
    summary = read_summary(out)
    assert summary is not None
    replace(summary, silent=("another",)).write(out)
    source = find_teacher_source(find_recipe("s3", str(out)))
    with pytest.raises(UserError, match="2 processes train"):
        source.open(more)
    assert isinstance(source.open(replace(more, world_size=1)), WrittenTeacher)


def test_teaching_that_was_stopped_is_not_taken_for_all_of_it_and_calls_add_up(
    split_dataroot: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "teaching"
    data = ("--dataroot", str(split_dataroot), "--version", VERSION, "--workers", "0", "--device", "cpu")
    for split in ("half", "other_half"):
        assert main(["teach", "--teacher", str(trained), *data, "--split", split, "--out", str(out)]) == 0
    summary = read_summary(out)
    assert summary is not None
    assert (summary.splits, summary.silent) == (("half", "other_half"), ())
    (out / SUMMARY_FILE).unlink()
    with pytest.raises(UserError, match=r"expected teaching\.json, which `tinybev teach` writes when it is done"):
        find_teacher_source(find_recipe("s3", str(out)))
    (out / SUMMARY_FILE).write_text('{"teacher": 1}')
    with pytest.raises(UserError, match="it cannot be read"):
        find_teacher_source(find_recipe("s3", str(out)))


@pytest.mark.parametrize("told", [True, False])
def test_a_teacher_that_learnt_with_the_vehicles_motion_is_told_it_when_it_teaches(
    told: bool, dataset: NuScenesDataset, split_dataroot: Path, tmp_path: Path
) -> None:
    made = network()
    torch.nn.init.normal_(made.teacher.planning_head.predict.weight, generator=torch.Generator().manual_seed(3))
    save_teacher(made.teacher, tmp_path / "bundle", {"recipe": {"telling": {"ego_status": told}}})
    out = tmp_path / "teaching"
    data = ("--dataroot", str(split_dataroot), "--version", VERSION, "--split", "half")
    assert main(["teach", "--teacher", str(tmp_path), *data, "--out", str(out), "--workers", "0"]) == 0
    room = TrainingSet(open_dataset(split_dataroot, VERSION, "half"), (32, 64), past_frames=1)
    batch = collate([room[1]])
    assert batch.ego_mask_B.all()
    plans = {ego: LiveTeacher(lambda: made, ego)(batch).plan for ego in (True, False)}
    wrote = WrittenTeacher(out, batch.tokens, weights_digest(made))(batch).plan
    assert wrote is not None
    distance = {ego: (plan.position_BT2 - wrote.position_BT2).abs().max() for ego, plan in plans.items() if plan}
    assert distance[told] < 1e-3 < distance[not told]


def test_two_teachers_do_not_write_into_one_folder(
    split_dataroot: Path, trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("teach", "--teacher", str(trained), "--dataroot", str(split_dataroot), "--version", VERSION),
        *("--split", "half", "--out", str(folder), "--workers", "0", "--device", "cpu"),
    ]
    assert main(command) == 2
    assert "another network" in capsys.readouterr().err
    assert main([*command[:2], str(folder), *command[3:]]) == 2
    assert "finished run" in capsys.readouterr().err


def test_bfloat16_is_refused_where_it_would_only_be_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_device, "computes_bfloat16", lambda device: False)
    where = ["--dataroot", "d", "--split", "s", "--out", str(tmp_path / "said"), "--device", "cpu"]
    assert main(["teach", "--teacher", "t", *where, "--bf16"]) == 2
    assert "--bf16: expected a processor with bfloat16 instructions" in capsys.readouterr().err
    assert not (tmp_path / "said").exists()
