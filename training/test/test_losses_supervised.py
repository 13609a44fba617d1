"""Each supervised term: its minimum, its masks, its gradients, and that it does not matter how a batch is cut up."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_batch import PEDESTRIAN, SMALL, STREET, MadeAgent, MadeSample, made_batch, perfect_outputs, random_outputs
from student_inputs import student_inputs
from tinybev_training.losses.boxes import box_distance
from tinybev_training.losses.supervised import supervised_terms
from tinybev_training.losses.targets import student_targets
from tinybev_training.losses.terms import SupervisedTerms, SupervisedWeights, weighted_sum
from torch import Tensor, distributed, multiprocessing

from tinybev.errors import UserError
from tinybev.model.heads.motion import MotionOutputs
from tinybev.model.student import Student

torch.set_num_threads(1)


ALL = SupervisedWeights(**dict.fromkeys(SupervisedTerms._fields, 1.0))


NOTHING_KNOWN = MadeSample(
    agents=(MadeAgent(5.0, 3.0, lidar_points=0, known_steps=0),),
    occupancy_valid=(False,) * 5,
    map_valid=(False,) * 4,
    plan_steps=0,
)


def values(terms: SupervisedTerms) -> dict[str, float]:
    return {name: term.item() for name, term in terms._asdict().items()}


def terms_of(*samples: MadeSample, seed: int = 0, weights: SupervisedWeights = ALL) -> SupervisedTerms:
    batch = made_batch(*samples)
    targets = student_targets(batch, SMALL)
    outputs = random_outputs(SMALL, len(batch), targets.agents, seed)
    return supervised_terms(outputs, targets, batch, SMALL, weights)


def test_weights_name_the_terms() -> None:
    assert tuple(field.name for field in dataclasses.fields(SupervisedWeights)) == SupervisedTerms._fields


def test_a_perfect_prediction_loses_nothing() -> None:
    batch = made_batch(STREET, NOTHING_KNOWN)
    targets = student_targets(batch, SMALL)
    found = values(supervised_terms(perfect_outputs(targets, batch, SMALL), targets, batch, SMALL, ALL))
    sigma = math.exp(-6.0)
    least = math.log(2 * math.pi) + math.log(sigma**2 + 0.01)
    assert found.pop("motion") == pytest.approx(least, abs=1e-4), "of a Gaussian no narrower than the annotation"
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-4)


def test_anything_else_loses_more() -> None:
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    best = values(supervised_terms(perfect_outputs(targets, batch, SMALL), targets, batch, SMALL, ALL))
    random = values(terms_of(STREET))
    assert all(random[name] > best[name] + 0.01 for name in best)


@pytest.mark.parametrize("sample", [NOTHING_KNOWN, MadeSample()], ids=["nothing known", "nobody there"])
def test_where_nothing_is_known_terms_are_zero_with_a_gradient(sample: MadeSample) -> None:
    batch = made_batch(dataclasses.replace(sample, occupancy_valid=(False,) * 5, map_valid=(False,) * 4, plan_steps=0))
    student = Student(SMALL)
    targets = student_targets(batch, SMALL)
    outputs = student(student_inputs(SMALL), agents=targets.agents)
    terms = supervised_terms(outputs, targets, batch, SMALL, ALL)
    assert {name for name, value in values(terms).items() if value != 0} <= {"heatmap"}, "an empty street is a target"
    weighted_sum(terms, ALL).backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_an_unlabelled_sample_adds_nothing() -> None:
    batch = made_batch(STREET, STREET)
    outputs = random_outputs(SMALL, 2, student_targets(batch, SMALL).agents)
    found = []
    for labelled in ([True, False], [False, False]):
        targets = student_targets(batch, SMALL, labelled_B=torch.tensor(labelled))
        found.append(values(supervised_terms(outputs, targets, batch, SMALL, ALL)))
    alone = student_targets(made_batch(STREET), SMALL)
    first = _mapped(outputs, lambda tensor: tensor[:1])
    assert found[0] == pytest.approx(values(supervised_terms(first, alone, made_batch(STREET), SMALL, ALL)), rel=1e-5)
    assert set(found[1].values()) == {0.0}


def test_the_scale_does_not_depend_on_the_batch_size() -> None:
    one, three = [student_targets(made_batch(*[STREET] * count), SMALL) for count in (1, 3)]
    outputs = random_outputs(SMALL, 1, one.agents)
    thrice = _mapped(outputs, lambda tensor: tensor.repeat(3, *[1] * (tensor.ndim - 1)))
    found_one = values(supervised_terms(outputs, one, made_batch(STREET), SMALL, ALL))
    found_three = values(supervised_terms(thrice, three, made_batch(*[STREET] * 3), SMALL, ALL))
    assert found_three == pytest.approx(found_one, rel=1e-4)


def test_a_term_that_is_switched_off_is_not_computed() -> None:
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    outputs = random_outputs(SMALL, 1, targets.agents)
    terms = supervised_terms(outputs, targets, batch, SMALL, dataclasses.replace(ALL, plan=0.0, mode=0.0, depth=0.0))
    assert [name for name, value in values(terms).items() if value == 0] == ["depth", "mode", "plan"]
    assert not terms.plan.requires_grad
    weighted_sum(terms, dataclasses.replace(ALL, plan=0.0, mode=0.0)).backward()
    assert outputs.plan.position_BT2.grad is None
    assert outputs.motion.logits_BAK.grad is None
    assert outputs.plan.heading_BT2.grad is not None


def test_a_batch_without_lidar_has_no_depth_term() -> None:
    sample = dataclasses.replace(STREET, lidar=np.zeros((0, 5), dtype=np.float32))
    assert terms_of(sample).depth.item() == 0
    assert terms_of(STREET).depth.item() > 0


def test_agents_of_a_teacher_behind_the_annotated_ones_change_nothing() -> None:
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    outputs = random_outputs(SMALL, 1, targets.agents)
    longer = MotionOutputs(*(torch.cat([output, torch.full_like(output, 7.0)], dim=1) for output in outputs.motion))
    more = outputs._replace(motion=longer)
    assert values(supervised_terms(more, targets, batch, SMALL, ALL)) == values(
        supervised_terms(outputs, targets, batch, SMALL, ALL)
    )


def test_half_precision_outputs_give_full_precision_terms() -> None:
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    outputs = random_outputs(SMALL, 1, targets.agents)
    halves = _mapped(outputs, lambda tensor: tensor.bfloat16())
    found = supervised_terms(halves, targets, batch, SMALL, ALL)
    assert {term.dtype for term in found} == {torch.float32}
    assert values(found) == pytest.approx(values(supervised_terms(outputs, targets, batch, SMALL, ALL)), rel=0.03)


def test_boxes_plan_and_flow_are_means_of_differences() -> None:
    batch = made_batch(STREET, dataclasses.replace(STREET, plan_steps=2, agents=STREET.agents[:1]))
    targets = student_targets(batch, SMALL)
    outputs = random_outputs(SMALL, 2, targets.agents)
    found = values(supervised_terms(outputs, targets, batch, SMALL, ALL))
    boxes, attributes, plans, headings, flows = [], [], [], [], []
    dense = torch.cat(outputs.detection[1:6], dim=1).detach().flatten(2)
    for b in range(2):
        for a in range(3):
            if not targets.counted_BA[b, a]:
                continue
            cell = targets.agents.cell_BA[b, a]
            miss = (dense[b, :, cell] - targets.boxes_BAC[b, a]).abs().numpy()
            known = targets.known_BAC[b, a].numpy()
            velocity_miss = [m**2 / 2 if m < 1 else m - 0.5 for m in miss[8:]]
            boxes.append(miss[:8].sum() + 0.2 * sum(m for m, k in zip(velocity_miss, known[8:], strict=True) if k))
            logits = outputs.detection.attribute_BAXY.detach().flatten(2)[b, :, cell].numpy()
            attributes.append(np.log(np.exp(logits).sum()) - logits[targets.attributes_BA[b, a]])
        for t in range(6):
            if targets.plan_mask_BT[b, t]:
                plans.append((outputs.plan.position_BT2[b, t] - targets.plan_BT2[b, t]).abs().sum().item())
                headings.append((outputs.plan.heading_BT2[b, t] - targets.headings_BT2[b, t]).abs().sum().item())
        for t, x, y in targets.flow_mask_BTXY[b].nonzero().tolist():
            miss = outputs.occupancy.flow_BT2XY[b, t, :, x, y] - targets.flow_BT2XY[b, t, :, x, y]
            flows.append(miss.abs().sum().item())
    assert (len(boxes), len(plans)) == (4, 8)
    for name, each in (
        ("box", boxes),
        ("attribute", attributes),
        ("plan", plans),
        ("heading", headings),
        ("flow", flows),
    ):
        assert found[name] == pytest.approx(np.mean(each), rel=1e-5), name


def test_velocities_of_the_few_that_move_are_not_outvoted_by_the_many_that_stand() -> None:
    """One in five moves and nothing says which: absolute errors would pull to rest, four against one."""
    wanted_BAC = torch.zeros(1, 5, 10)
    wanted_BAC[0, 0, 8] = 8.0
    speed = torch.full((1,), 0.05, requires_grad=True)
    predicted_BAC = torch.cat([torch.zeros(1, 5, 8), speed.expand(1, 5, 1), torch.zeros(1, 5, 1)], dim=-1)
    distance = box_distance(predicted_BAC, wanted_BAC, torch.ones(1, 5, 10, dtype=torch.bool), torch.ones(1, 5))
    distance.backward()  # type: ignore[no-untyped-call]
    assert speed.grad is not None
    assert speed.grad.item() == pytest.approx(0.2 * (-1 + 4 * 0.05) / 5), "towards the one that moves"


def test_an_unknown_velocity_that_is_not_finite_has_no_influence() -> None:
    wanted_BAC = torch.zeros(1, 1, 10)
    wanted_BAC[..., 8:] = float("nan")
    known_BAC = torch.arange(10).expand(1, 1, 10) < 8
    predicted_BAC = torch.ones(1, 1, 10, requires_grad=True)
    box_distance(predicted_BAC, wanted_BAC, known_BAC, torch.ones(1, 1)).backward()  # type: ignore[no-untyped-call]
    assert predicted_BAC.grad is not None
    assert predicted_BAC.grad.flatten().tolist() == [1.0] * 8 + [0.0] * 2


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(UserError, match="weight box: expected a finite number of 0 or more"):
        SupervisedWeights(box=weight)


def test_every_head_gets_a_gradient_from_its_terms() -> None:
    student = Student(SMALL)
    batch = made_batch(STREET)
    targets = student_targets(batch, SMALL)
    inputs = student_inputs(SMALL)
    parts = {
        "heatmap": ("detection_head.center",),
        "box": ("detection_head.box",),
        "attribute": ("detection_head.box",),
        "depth": ("lift",),
        "map": ("map_head",),
        "occupancy": ("occupancy_head",),
        "flow": ("occupancy_head",),
        "motion": ("motion_head",),
        "mode": ("motion_head",),
        "plan": ("planning_head",),
        "heading": ("planning_head",),
    }
    assert tuple(parts) == SupervisedTerms._fields
    terms = supervised_terms(student(inputs, agents=targets.agents), targets, batch, SMALL, ALL)
    for name, prefixes in parts.items():
        student.zero_grad()
        getattr(terms, name).backward(retain_graph=True)
        moved = {key for key, parameter in student.named_parameters() if parameter.grad is not None}
        for prefix in (*prefixes, "backbone"):
            of_prefix = [p.grad for key, p in student.named_parameters() if key.startswith(prefix) and key in moved]
            assert any(grad is not None and bool(grad.abs().sum() > 0) for grad in of_prefix), (name, prefix)


def test_two_processes_make_one_batch(tmp_path: Path) -> None:
    """The mean of what two processes find, each with its part of unequal content, is what one finds with all of it."""
    samples = [STREET, MadeSample((MadeAgent(2.0, 2.0, PEDESTRIAN, track_id=3),)), NOTHING_KNOWN, STREET]
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.SimpleQueue = context.SimpleQueue()
    processes = [
        context.Process(target=_half_a_batch, args=(rank, samples, str(tmp_path / "meet"), found)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    halves = [found.get() for _ in range(2)]
    mean = {name: (halves[0][name] + halves[1][name]) / 2 for name in SupervisedTerms._fields}
    alone = _losses_of(samples, range(4))
    assert mean == pytest.approx(alone, rel=1e-4)
    assert halves[0] != pytest.approx(halves[1], rel=1e-2)


def _half_a_batch(rank: int, samples: list[MadeSample], meeting_file: str, found: multiprocessing.SimpleQueue) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting_file}", rank=rank, world_size=2)
    found.put(_losses_of(samples, range(2 * rank, 2 * rank + 2)))
    distributed.destroy_process_group()


def _losses_of(samples: list[MadeSample], chosen: range) -> dict[str, float]:
    """Of the chosen ones of the samples; each sample's outputs are the same whichever are chosen."""
    everything = student_targets(made_batch(*samples), SMALL)
    outputs = random_outputs(SMALL, len(samples), everything.agents)
    batch = made_batch(*samples[chosen.start : chosen.stop])
    targets = student_targets(batch, SMALL)
    part = _mapped(outputs, lambda tensor: tensor[chosen.start : chosen.stop])
    count = targets.counted_BA.shape[1]
    part = part._replace(motion=MotionOutputs(*(output[:, :count] for output in part.motion)))
    return values(supervised_terms(part, targets, batch, SMALL, ALL))


def _mapped(outputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A named tuple of tensors and of such tuples with every tensor changed."""
    return type(outputs)(
        *(change(output) if isinstance(output, Tensor) else _mapped(output, change) for output in outputs)
    )
