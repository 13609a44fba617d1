"""Writes what UniAD says about every sample of a split, one safetensors file a sample; runs in UniAD's own environment.

    cd UniAD && pip install safetensors
    PYTHONPATH=. python .../training/uniad/dump_teacher.py CONFIG CHECKPOINT --split train --out DUMPS

It needs nothing of this project. UniAD's code stays as it is: the model's methods are wrapped, so that their results
are taken before ``forward_test`` removes them, and the optimisation of the plan against collisions is switched off, so
that what is dumped is what the network said. UniAD tracks, so a scene is run from its start; a scene whose samples all
have a file is left out, which is how an interrupted run goes on. Several processes may share the folder, one a GPU:
``--shard 0/4`` to ``--shard 3/4``.

Names are UniAD's, written against OpenDriveLab/UniAD at commit dd161b2. Frames and shapes: ``docs/teachers.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FORMAT = "uniad-dump-1"
MOVING_MPS = 2.0
"""Cars faster than this show where a box's front is."""


def pick_track(result: dict[str, Any]) -> dict[str, Tensor]:
    """From ``simple_test_track``: bev_embed (G, 1, C), boxes_3d of A tracks (A, 9), their labels and scores (A,)."""
    return {
        "bev_embed": result["bev_embed"][:, 0].half(),
        "track_boxes": result["boxes_3d"].tensor.float(),
        "track_labels": result["labels_3d"].long(),
        "track_scores": result["track_scores"].float(),
    }


def pick_queries(result: dict[str, Any]) -> dict[str, Tensor]:
    """From the decoder: all_cls_scores, all_bbox_preds (layers, 1, Nq, 10), of which the last layer is kept."""
    return {
        "query_logits": result["all_cls_scores"][-1, 0].float(),
        "query_boxes": result["all_bbox_preds"][-1, 0].float(),
    }


def pick_map(result: dict[str, Any]) -> dict[str, Tensor]:
    """From ``seg_head``'s pts_bbox: lane_score (3, Y, X) and, last in score_list (Q, Y, X), the drivable area."""
    return {"lane_score": result["lane_score"].half(), "drivable_score": result["score_list"][-1].half()}


def pick_motion(result: dict[str, Any]) -> dict[str, Tensor]:
    """From ``motion_head``: all_traj_preds (3, 1, A + 1, 6, 12, 5), all_traj_scores (3, 1, A + 1, 6); last layer."""
    return {
        "traj_preds": result["all_traj_preds"][-1, 0].float(),
        "traj_scores": result["all_traj_scores"][-1, 0].float(),
    }


def pick_occupancy(result: dict[str, Any]) -> dict[str, Tensor]:
    """From ``occ_head``: of pred_ins_sigmoid (1, Q, T, Y, X) the highest of all objects, 0 where there is none."""
    if "pred_ins_sigmoid" in result:
        return {"occ_score": result["pred_ins_sigmoid"][0].max(dim=0).values.half()}
    return {"occ_score": torch.zeros_like(result["seg_out"][0, :, 0], dtype=torch.float16)}


def pick_plan(result: dict[str, Any]) -> dict[str, Tensor]:
    """From ``planning_head``: sdc_traj (1, 6, 2)."""
    return {"sdc_traj": result["sdc_traj"][0, :, :2].float()}


class Recorder:
    """Wraps a UniAD model's methods and keeps what they return about the sample that is being run."""

    def __init__(self, model: Any) -> None:
        """``model`` is the detector itself, not its parallel wrapper."""
        self._taken: dict[str, Tensor] = {}
        model.planning_head.use_col_optim = False
        self._wrap(model, "simple_test_track", lambda result: pick_track(result[0]))
        # Its name has changed between versions; called as a module, the head returns the same dictionary.
        if hasattr(model.pts_bbox_head, "get_detections"):
            self._wrap(model.pts_bbox_head, "get_detections", pick_queries)
        else:
            model.pts_bbox_head.register_forward_hook(lambda _module, _inputs, result: self._take(pick_queries(result)))
        self._wrap(model.seg_head, "forward_test", lambda result: pick_map(result[0]["pts_bbox"]))
        self._wrap(model.motion_head, "forward_test", lambda result: pick_motion(result[1]))
        self._wrap(model.occ_head, "forward_test", pick_occupancy)
        self._wrap(model.planning_head, "forward_test", pick_plan)

    def take(self) -> dict[str, Tensor]:
        """What was kept since the last time, on the CPU."""
        taken, self._taken = self._taken, {}
        return taken

    def _take(self, tensors: dict[str, Tensor]) -> None:
        # Copied at once: the model changes some of its tensors later.
        self._taken.update({key: value.detach().cpu().clone() for key, value in tensors.items()})

    def _wrap(self, owner: Any, name: str, pick: Callable[[Any], dict[str, Tensor]]) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self._take(pick(result))
            return result

        setattr(owner, name, wrapped)


def measure_conventions(infos: Iterable[dict[str, Any]]) -> dict[str, str]:
    """How the boxes that the network learnt are written: which side comes first, and what a yaw means.

    UniAD 2.0 came with mmdet3d 1.0, which changed both, and its code is not of one mind about the sides. The annotated
    boxes tell: cars are longer than wide, and those that move, move forward.

    Args:
        infos: UniAD's, with gt_boxes (N, 7), gt_names (N,) and gt_velocity (N, 2).

    Raises:
        SystemExit: there are too few cars to tell.
    """
    first_is_longer = counterclockwise = second = cars = moving = 0.0
    for info in infos:
        for box, name, velocity in zip(info["gt_boxes"], info["gt_names"], info["gt_velocity"]):  # noqa: B905
            if name != "car":
                continue
            cars += 1
            first_is_longer += box[3] > box[4]
            speed = math.hypot(velocity[0], velocity[1])
            if speed > MOVING_MPS:  # never so where the velocity is not known
                moving += 1
                course = math.atan2(velocity[1], velocity[0])
                counterclockwise += math.cos(box[6] - course)
                second += math.cos(-box[6] - math.pi / 2 - course)
        if moving >= 1000:
            break
    longer = first_is_longer / max(cars, 1)
    if not moving or max(counterclockwise, second) < 0.9 * moving or 0.1 < longer < 0.9:
        raise SystemExit(
            f"expected annotated cars that show how boxes are written, got {cars:.0f} cars, {moving:.0f} of them "
            "moving, that do not; use UniAD's own info file of a whole split."
        )
    return {
        "size_order": "length-width" if longer > 0.5 else "width-length",
        "yaw": "counterclockwise" if counterclockwise > second else "second",
    }


def scenes_to_run(infos: Sequence[dict[str, Any]], folder: Path, shard: tuple[int, int]) -> list[list[int]]:
    """The indices of the samples of each scene that is not complete, in time order; ``shard`` is (number, count)."""
    scenes: dict[str, list[int]] = {}
    for index, info in enumerate(infos):
        scenes.setdefault(info["scene_token"], []).append(index)
    mine = list(scenes.values())[shard[0] :: shard[1]]
    done = {path.stem for path in folder.glob("*.safetensors")}
    todo = [scene for scene in mine if not all(infos[index]["token"] in done for index in scene)]
    return [sorted(scene, key=lambda index: infos[index]["timestamp"]) for scene in todo]


def write_dump(folder: Path, token: str, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Writes ``<token>.safetensors``, whole or not at all."""
    from safetensors.torch import save_file

    whole = {key: value.contiguous() for key, value in tensors.items()}
    handle, partial = tempfile.mkstemp(dir=str(folder), suffix=".partial")
    os.close(handle)
    try:
        save_file(whole, partial, metadata={"format": FORMAT, **facts})
        os.replace(partial, str(folder / f"{token}.safetensors"))
    except BaseException:
        os.unlink(partial)
        raise


def claim_folder(folder: Path, facts: dict[str, str]) -> None:
    """Notes in ``dumps.json`` what the folder holds, or stops if it holds other dumps."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "dumps.json"
    if note.is_file() and json.loads(note.read_text()) != facts:
        raise SystemExit(f"{folder} holds other dumps, as {note} says; name another folder with --out.")
    note.write_text(json.dumps(facts, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("config", help="UniAD's stage 2 configuration")
    parser.add_argument("checkpoint", help="its weights")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="whose samples (default: train)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dumps")
    parser.add_argument("--without-features", action="store_true", help="leave out bev_embed, 20 MB a sample")
    parser.add_argument(
        "--shard", type=_shard, default=(0, 1), help="NUMBER/COUNT: a part of the scenes, from 0/COUNT on"
    )
    return parser.parse_args()


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise argparse.ArgumentTypeError(f"expected NUMBER/COUNT with a number below the count, as 0/4, got {text!r}")
    return int(number), int(count)


def main() -> None:
    """Runs the network over the split; imports UniAD's environment only here."""
    arguments = _arguments()
    import importlib

    from mmcv import Config
    from mmcv.parallel import MMDataParallel, collate
    from mmcv.runner import load_checkpoint
    from mmdet3d.datasets import build_dataset
    from mmdet3d.models import build_model
    from torch.utils.data import DataLoader, Subset

    config = Config.fromfile(arguments.config)
    importlib.import_module(config.plugin_dir.rstrip("/").replace("/", "."))
    config.data.test.test_mode = True
    config.data.test.pop("samples_per_gpu", None)
    if arguments.split == "train":
        config.data.test.ann_file = config.data.train.ann_file
    config.model.pretrained = None
    config.model.train_cfg = None
    dataset = build_dataset(config.data.test)
    model = build_model(config.model, test_cfg=config.get("test_cfg"))
    load_checkpoint(model, arguments.checkpoint, map_location="cpu")
    recorder = Recorder(model)
    facts = {
        **measure_conventions(dataset.data_infos),
        "classes": ",".join(dataset.CLASSES),
        "config": Path(arguments.config).name,
        "checkpoint": Path(arguments.checkpoint).name,
        "features": "without" if arguments.without_features else "with",
    }
    claim_folder(arguments.out, facts)
    parallel = MMDataParallel(model.cuda().eval(), device_ids=[0])
    scenes = scenes_to_run(dataset.data_infos, arguments.out, arguments.shard)
    order = [index for scene in scenes for index in scene]
    print(f"{len(scenes)} scenes to run, {len(order)} samples", flush=True)
    loader = DataLoader(
        Subset(dataset, order),
        batch_size=1,
        num_workers=config.data.workers_per_gpu,
        collate_fn=partial(collate, samples_per_gpu=1),
    )
    for done, (index, data) in enumerate(zip(order, loader), start=1):  # noqa: B905 (UniAD's Python has no strict)
        with torch.no_grad():
            parallel(return_loss=False, rescale=True, **data)
        tensors = recorder.take()
        if arguments.without_features:
            tensors.pop("bev_embed")
        write_dump(arguments.out, dataset.data_infos[index]["token"], tensors, facts)
        if done % 50 == 0 or done == len(order):
            print(f"{done} of {len(order)} samples written", flush=True)


if __name__ == "__main__":
    main()
