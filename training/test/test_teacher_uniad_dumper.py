"""The script that runs inside UniAD: what it takes from a model of UniAD's shapes, and how a broken run goes on."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import uniad_results as uniad
from fake_uniad import FakeDetector, FakeUniad, in_uniads_environment
from safetensors.torch import load_file
from tinybev_training.teacher.uniad_file import read_dump
from torch import nn
from uniad_dumps import CAR, FACTS, WALKER, dumper

torch.set_num_threads(1)


def test_everything_is_taken_before_the_model_removes_it(tmp_path: Path) -> None:
    model = FakeUniad([CAR, WALKER])
    recorder = dumper.Recorder(model)
    assert model.planning_head.use_col_optim is False  # type: ignore[attr-defined]
    model.forward_test()
    tensors = recorder.take()
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    assert shapes == {
        "bev_embed": (40000, 256),
        "track_boxes": (2, 9),
        "track_labels": (2,),
        "track_scores": (2,),
        "query_logits": (903, 10),
        "query_boxes": (903, 10),
        "lane_score": (3, 200, 200),
        "drivable_score": (200, 200),
        "traj_preds": (3, 6, 12, 5),
        "traj_scores": (3, 6),
        "occ_score": (5, 200, 200),
        "sdc_traj": (6, 2),
    }
    dumper.write_dump(tmp_path, "token", tensors, FACTS)
    found = read_dump(tmp_path / "token.safetensors")
    torch.testing.assert_close(found.bev_CYX, model.bev.half().float())
    torch.testing.assert_close(found.lines_CYX, model.lines.half().float())
    torch.testing.assert_close(found.drivable_YX, model.drivable.half().float().clamp(max=1))
    torch.testing.assert_close(found.occupancy_TYX, model.masks.max(dim=0).values.half().float())
    torch.testing.assert_close(found.plan_T2, model.plan[0])
    assert found.agents is not None
    np.testing.assert_allclose(found.agents.centers_A3[0], CAR.center, rtol=1e-6)
    assert recorder.take() == {}


def test_a_frame_without_any_track_is_a_dump_of_nothing(tmp_path: Path) -> None:
    model = FakeUniad([])
    recorder = dumper.Recorder(model)
    model.forward_test()
    dumper.write_dump(tmp_path, "token", recorder.take(), FACTS)
    found = read_dump(tmp_path / "token.safetensors")
    assert found.agents is not None
    assert found.agents.centers_A3.shape == (0, 3)
    assert found.agents.futures_AMT2 is not None
    assert found.agents.futures_AMT2.shape == (0, 6, 12, 2)
    assert found.occupancy_TYX is not None
    assert found.occupancy_TYX.shape == (5, 200, 200)
    assert not found.occupancy_TYX.any()


def test_a_decoder_that_is_called_as_a_module_is_heard_too() -> None:
    class Decoder(nn.Module):
        def forward(self) -> dict[str, torch.Tensor]:
            return {"all_cls_scores": torch.ones(6, 1, 4, 10), "all_bbox_preds": torch.zeros(6, 1, 4, 10)}

    model = FakeUniad([CAR])
    model.pts_bbox_head = Decoder()  # type: ignore[assignment]
    recorder = dumper.Recorder(model)
    model.pts_bbox_head()  # type: ignore[operator]
    assert recorder.take()["query_logits"].shape == (4, 10)


@pytest.mark.parametrize("size_order", ["length-width", "width-length"])
@pytest.mark.parametrize("yaw", ["counterclockwise", "second"])
def test_how_boxes_are_written_is_measured_on_the_annotations(size_order: str, yaw: str) -> None:
    rng = np.random.default_rng(0)
    infos = []
    for _ in range(20):
        headings = rng.uniform(-math.pi, math.pi, 30)
        speeds = rng.choice([0.0, 6.0, math.nan], 30)
        cars = [
            uniad.LidarObject(
                (0, 0, 0), (4.5, 1.9, 1.5), heading, (speed * math.cos(heading), speed * math.sin(heading)), "car"
            )
            for heading, speed in zip(headings, speeds, strict=True)
        ]
        rows = np.array([uniad.box_row(car, size_order, yaw) for car in cars])
        infos.append({"gt_boxes": rows[:, :7], "gt_names": np.array(["car"] * 30), "gt_velocity": rows[:, 7:]})
    assert dumper.measure_conventions(infos) == {"size_order": size_order, "yaw": yaw}


def test_annotations_that_do_not_tell_stop_the_dumper() -> None:
    standing = {"gt_boxes": np.array([[0, 0, 0, 4.5, 1.9, 1.5, 0.3]]), "gt_names": ["car"], "gt_velocity": [[0.0, 0.0]]}
    with pytest.raises(SystemExit, match="got 1 cars, 0 of them moving"):
        dumper.measure_conventions([standing])
    sideways = {**standing, "gt_velocity": [[5 * math.cos(0.3 + 1.2), 5 * math.sin(0.3 + 1.2)]]}
    with pytest.raises(SystemExit, match="that do not"):
        dumper.measure_conventions([sideways])


def test_scenes_are_run_whole_until_every_sample_has_its_file(tmp_path: Path) -> None:
    infos = [
        {"scene_token": scene, "token": f"{scene}{number}", "timestamp": number}
        for number, scene in [(1, "a"), (0, "a"), (0, "b"), (1, "b"), (0, "c")]
    ]
    assert dumper.scenes_to_run(infos, tmp_path, (0, 1)) == [[1, 0], [2, 3], [4]]
    for token in ("b0", "c0"):
        dumper.write_dump(tmp_path, token, {"sdc_traj": torch.zeros(6, 2)}, FACTS)
    assert dumper.scenes_to_run(infos, tmp_path, (0, 1)) == [[1, 0], [2, 3]]  # b from its start again
    shards = [dumper.scenes_to_run(infos, tmp_path / "empty", (n, 2)) for n in range(2)]
    assert shards == [[[1, 0], [4]], [[2, 3]]]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumper.write_dump(tmp_path, "token", {"sdc_traj": torch.ones(6, 2)}, FACTS)

    def fill_the_disk(_tensors: object, path: str, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        dumper.write_dump(tmp_path, "token", {"sdc_traj": torch.zeros(6, 2)}, FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["token.safetensors"]
    assert load_file(tmp_path / "token.safetensors")["sdc_traj"].all()


def test_a_folder_holds_the_dumps_of_one_network(tmp_path: Path) -> None:
    dumper.claim_folder(tmp_path / "d", FACTS)
    dumper.claim_folder(tmp_path / "d", FACTS)
    assert json.loads((tmp_path / "d" / "dumps.json").read_text()) == FACTS
    with pytest.raises(SystemExit, match="holds other dumps"):
        dumper.claim_folder(tmp_path / "d", {**FACTS, "checkpoint": "other.pth"})


def test_importing_the_script_needs_nothing_of_uniads_environment() -> None:
    assert not {name for name in sys.modules if name.split(".")[0] in ("mmcv", "mmdet", "mmdet3d")}


def test_an_interrupted_run_goes_on_with_the_scene_it_was_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole script, against modules that stand for UniAD's environment."""
    arguments = ["dump_teacher.py", "base_e2e.py", "base.pth", "--out", str(tmp_path / "d"), "--without-features"]
    monkeypatch.setattr(sys, "argv", arguments)
    interrupted = FakeDetector()
    interrupted.stop_at = 3
    in_uniads_environment(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        dumper.main()
    assert {path.name for path in (tmp_path / "d").iterdir()} == {
        "b0.safetensors",
        "b1.safetensors",
        "a0.safetensors",
        "dumps.json",
    }
    detector = FakeDetector()
    in_uniads_environment(monkeypatch, detector)
    dumper.main()
    assert detector.seen == [2, 3]  # scene a from its start, scene b not at all
    dumps = [read_dump(tmp_path / "d" / f"{token}.safetensors") for token in ("a0", "a1", "b0", "b1")]
    assert all(one.bev_CYX is None and one.agents is not None and one.lines_CYX is not None for one in dumps)
    monkeypatch.setattr(sys, "argv", [*arguments, "--shard", "2/2"])
    with pytest.raises(SystemExit):
        dumper.main()
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "--shard", "1/2"])
    with pytest.raises(SystemExit, match="holds other dumps"):
        dumper.main()
