"""One sample's dump of UniAD, as ``training/uniad/dump_teacher.py`` writes it: a safetensors file -> typed arrays.

Still in UniAD's own axes (see ``lidar_frame``). What differs between UniAD's versions, the order of a box's sides and
the sense of its yaw, is resolved here by what the dumper measured and wrote into the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from tinybev.errors import UserError
from tinybev.types import DETECTION_CLASSES
from tinybev_training.data.sample import PLAN_STEPS

FORMAT = "uniad-dump-1"
"""In every file's metadata under "format"."""
LENGTH_FIRST, WIDTH_FIRST = "length-width", "width-length"
"""Metadata "size_order": what the fourth and fifth number of a box are."""
COUNTERCLOCKWISE, SECOND = "counterclockwise", "second"
"""Metadata "yaw": heading from the x axis, counterclockwise; or mmdet3d's before 1.0, whose -yaw - pi/2 is that."""
LINE_CLASSES = 3
SAME_PLACE_M = 0.01
"""Within which a track and a query of the decoder are the same object."""
LEAST_CHANCE = 0.05
"""Queries of no class likelier than this are nothing (ours). Most of the 900 are; and where a heatmap says 0 in place
of so little, the squared difference that its term carries is at most 1/400."""
_LONGEST_LOG_SIDE = 5.0
"""148 m: the decoder's sides are logarithms, and not all of its queries mean something."""


@dataclass(frozen=True)
class LidarAgents:
    """A objects and their futures, in the lidar's axes.

    Attributes:
        centers_A3: of the boxes, not of their undersides.
        sizes_A3: length, width, height.
        headings_A: counterclockwise from x.
        velocities_A2: m/s over ground.
        probability_AK: of each of ``DETECTION_CLASSES``.
        futures_AMT2: positions, or None.
        mode_logits_AM: or None.
    """

    centers_A3: Tensor
    sizes_A3: Tensor
    headings_A: Tensor
    velocities_A2: Tensor
    probability_AK: Tensor
    futures_AMT2: Tensor | None
    mode_logits_AM: Tensor | None


@dataclass(frozen=True)
class LidarCenters:
    """Q places where the decoder sees some chance of an object, in the lidar's axes.

    Attributes:
        centers_Q3: of the boxes, not of their undersides.
        sizes_Q3: length, width, height.
        probability_QK: of each of ``DETECTION_CLASSES``; the likeliest is above ``LEAST_CHANCE``.
    """

    centers_Q3: Tensor
    sizes_Q3: Tensor
    probability_QK: Tensor


@dataclass(frozen=True)
class UniadDump:
    """What a file holds; rows Y and columns X of UniAD's grids ascend along the lidar's y and x, float32.

    Attributes:
        bev_CYX: shared features.
        lines_CYX: probability of divider, crossing and boundary.
        drivable_YX: probability.
        occupancy_TYX: probability of a vehicle, at +-50 m.
        agents: the tracked objects.
        centers: all that the decoder sees, the tracked objects among them.
        plan_T2: where the lidar will be.
    """

    bev_CYX: Tensor | None
    lines_CYX: Tensor | None
    drivable_YX: Tensor | None
    occupancy_TYX: Tensor | None
    agents: LidarAgents | None
    centers: LidarCenters | None
    plan_T2: Tensor | None


def read_dump(path: Path) -> UniadDump:
    """The dump in ``path``; what it lacks is None.

    Raises:
        UserError: the file is damaged, or was not written by the dumper, or holds tensors of other shapes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"expected a whole safetensors file in {path}, got one that cannot be read ({error}); remove it "
            "and run the dumper again, which makes what is missing."
        ) from error
    if facts.get("format") != FORMAT:
        raise UserError(
            f"expected a dump of format {FORMAT} in {path}, got {facts.get('format')!r}; write it with "
            "training/uniad/dump_teacher.py of this version."
        )
    known = {key: _checked(path, key, tensor) for key, tensor in tensors.items() if key in _SHAPES}
    bev = known.get("bev_embed")
    return UniadDump(
        bev_CYX=None if bev is None else _square(path, bev),
        lines_CYX=known.get("lane_score"),
        drivable_YX=known.get("drivable_score"),
        occupancy_TYX=known.get("occ_score"),
        agents=_agents(path, known, facts) if "track_boxes" in known else None,
        centers=_centers(path, known, facts) if "query_logits" in known else None,
        plan_T2=known.get("sdc_traj"),
    )


_ANY = -1
_SHAPES: dict[str, tuple[int, ...]] = {
    "bev_embed": (_ANY, _ANY),
    "lane_score": (LINE_CLASSES, _ANY, _ANY),
    "drivable_score": (_ANY, _ANY),
    "occ_score": (_ANY, _ANY, _ANY),
    "track_boxes": (_ANY, 9),
    "track_labels": (_ANY,),
    "track_scores": (_ANY,),
    "query_logits": (_ANY, len(DETECTION_CLASSES)),
    "query_boxes": (_ANY, 10),
    "traj_preds": (_ANY, _ANY, _ANY, 5),
    "traj_scores": (_ANY, _ANY),
    "sdc_traj": (PLAN_STEPS, 2),
}
"""UniAD's names and shapes, less the axes of batch and decoder layer, of which the dumper keeps one and the last."""
_RECTIFIED = ("lane_score", "drivable_score")
"""UniAD's map masks come out of a ReLU, not a sigmoid: they are learnt as 0 and 1, cut at 0.5, and may exceed 1."""


def _checked(path: Path, key: str, tensor: Tensor) -> Tensor:
    shape = _SHAPES[key]
    fits = tensor.dim() == len(shape) and all(
        want in (_ANY, got) for want, got in zip(shape, tensor.shape, strict=True)
    )
    if not fits or not torch.isfinite(tensor).all():
        wanted = ", ".join("any" if side == _ANY else str(side) for side in shape)
        raise UserError(
            f"expected finite numbers of shape ({wanted}) for {key} in {path}, got {tuple(tensor.shape)}; "
            "remove the file and run the dumper again."
        )
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return tensor.clamp(0, 1) if key in _RECTIFIED else tensor


def _square(path: Path, bev_GC: Tensor) -> Tensor:
    """(G, C) cells, row by row, as (C, Y, X)."""
    side = math.isqrt(len(bev_GC))
    if side * side != len(bev_GC):
        raise UserError(
            f"expected bev_embed of a square grid in {path}, got {len(bev_GC)} cells; remove the file and "
            "run the dumper again."
        )
    return bev_GC.T.unflatten(1, (side, side))


def _agents(path: Path, known: dict[str, Tensor], facts: dict[str, str]) -> LidarAgents:
    boxes_A9, count = known["track_boxes"], len(known["track_boxes"])
    wanted = {"track_labels": count, "track_scores": count}
    if "traj_preds" in known or "traj_scores" in known:
        wanted |= {"traj_preds": count + 1, "traj_scores": count + 1}
    _check_rows(path, known, wanted, f"{count} track_boxes")
    counterclockwise = _fact(path, facts, "yaw", COUNTERCLOCKWISE, SECOND)
    centers_A3 = boxes_A9[:, :3].clone()
    centers_A3[:, 2] += boxes_A9[:, 5] / 2  # mmdet3d's lidar boxes stand on their z
    futures_AMT2 = mode_logits_AM = None
    if "traj_preds" in known:
        # Offsets from the box's middle, already summed over the steps; the last row is the ego, which has a plan.
        futures_AMT2 = centers_A3[:, None, None, :2] + known["traj_preds"][:-1, ..., :2]
        mode_logits_AM = known["traj_scores"][:-1]
    return LidarAgents(
        centers_A3=centers_A3,
        sizes_A3=_length_first(path, facts, boxes_A9[:, 3:6]),
        headings_A=boxes_A9[:, 6] if counterclockwise else -boxes_A9[:, 6] - math.pi / 2,
        velocities_A2=boxes_A9[:, 7:9],
        probability_AK=_probabilities(path, known, facts),
        futures_AMT2=futures_AMT2,
        mode_logits_AM=mode_logits_AM,
    )


def _centers(path: Path, known: dict[str, Tensor], facts: dict[str, str]) -> LidarCenters:
    count = len(known["query_logits"])
    _check_rows(path, known, {"query_boxes": count}, f"{count} query_logits")
    probability_QK = known["query_logits"].sigmoid()[:, _our_classes(path, facts)]
    likely_Q = probability_QK.amax(dim=1) > LEAST_CHANCE
    boxes_Q10 = known["query_boxes"][likely_Q]
    sizes_Q3 = boxes_Q10[:, [2, 3, 5]].clamp(max=_LONGEST_LOG_SIDE).exp()
    centers_Q3 = boxes_Q10[:, [0, 1, 4]]
    centers_Q3[:, 2] += sizes_Q3[:, 2] / 2  # as a track's
    return LidarCenters(centers_Q3, _length_first(path, facts, sizes_Q3), probability_QK[likely_Q])


def _check_rows(path: Path, known: dict[str, Tensor], wanted: dict[str, int], beside: str) -> None:
    for key, rows in wanted.items():
        found = len(known[key]) if key in known else 0
        if key not in known or found != rows:
            raise UserError(
                f"expected {rows} rows of {key} beside {beside} in {path}, got {found}; remove the file and run the "
                "dumper again."
            )


def _length_first(path: Path, facts: dict[str, str], sizes_A3: Tensor) -> Tensor:
    return sizes_A3 if _fact(path, facts, "size_order", LENGTH_FIRST, WIDTH_FIRST) else sizes_A3[:, [1, 0, 2]]


def _our_classes(path: Path, facts: dict[str, str]) -> Tensor:
    """(K,): where each of ``DETECTION_CLASSES`` is among the dumped network's."""
    names = facts.get("classes", "").split(",")
    if sorted(names) != sorted(DETECTION_CLASSES):
        raise UserError(
            f"expected the classes {', '.join(DETECTION_CLASSES)} in {path}, got {', '.join(names)}; dump a network of "
            "nuScenes' ten detection classes."
        )
    return torch.tensor([names.index(name) for name in DETECTION_CLASSES])


def _probabilities(path: Path, known: dict[str, Tensor], facts: dict[str, str]) -> Tensor:
    """(A, K): those of the decoder's query that the track was read from, or the track's one class and score.

    A track's box is the decoded box of one query, so the query is the one in the same place.
    """
    ours_K, labels_A = _our_classes(path, facts), known["track_labels"].long()
    if ((labels_A < 0) | (labels_A >= len(ours_K))).any():
        raise UserError(
            f"expected track_labels from 0 to {len(ours_K) - 1} in {path}, got {labels_A.unique().tolist()}; dump a "
            "network of nuScenes' ten detection classes."
        )
    boxes_A9 = known["track_boxes"]
    one_hot_AK = functional.one_hot(labels_A, len(ours_K))
    probability_AK = (one_hot_AK * known["track_scores"][:, None]).float()
    if "query_logits" in known and "query_boxes" in known and len(boxes_A9):
        distance_AQ = torch.cdist(boxes_A9[:, :3].double(), known["query_boxes"][:, [0, 1, 4]].double())
        nearest_A, query_A = distance_AQ.min(dim=1)
        same_A1 = nearest_A[:, None] < SAME_PLACE_M
        probability_AK = torch.where(same_A1, known["query_logits"][query_A].sigmoid(), probability_AK)
    return probability_AK[:, ours_K]


def _fact(path: Path, facts: dict[str, str], key: str, yes: str, no: str) -> bool:
    if facts.get(key) not in (yes, no):
        raise UserError(
            f"expected {key} to be {yes} or {no} in the metadata of {path}, got {facts.get(key)!r}; write "
            "it with training/uniad/dump_teacher.py of this version."
        )
    return facts[key] == yes
