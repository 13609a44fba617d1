"""What is learnt from a teacher: each term's minimum, masks and gradients, and the stages' switches."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from made_batch import SMALL, STREET, MadeSample, made_batch, random_outputs
from made_teacher import TEACHER_CHANNELS, agreeing_teacher, made_teacher, tensors_of
from student_inputs import student_inputs
from tinybev_training.distill.config import FEATURE_LEVEL, JOINT, OUTPUT_LEVEL, DistillConfig, RegionConfig
from tinybev_training.distill.distiller import Distiller
from tinybev_training.distill.taught import taught_agents
from tinybev_training.distill.terms import DistillMask, DistillTerms, DistillWeights, Temperature
from tinybev_training.losses.targets import StudentTargets, student_targets
from tinybev_training.losses.terms import weighted_sum
from tinybev_training.teacher.outputs import TeacherOutputs
from torch import Tensor, distributed, multiprocessing

from tinybev.errors import UserError
from tinybev.geometry import BevGrid
from tinybev.model.student import Student, StudentOutputs

torch.set_num_threads(1)


ALL = DistillConfig(DistillWeights(**dict.fromkeys(DistillTerms._fields, 1.0)), regions=RegionConfig())


def values(terms: DistillTerms) -> dict[str, float]:
    return {name: term.item() for name, term in terms._asdict().items()}


def street(samples: int = 1, labelled: bool = True) -> StudentTargets:
    labelled_B = torch.full((samples,), labelled)
    return student_targets(made_batch(*[STREET] * samples), SMALL, labelled_B=labelled_B)


def distilled(
    config: DistillConfig, teacher: TeacherOutputs, samples: int = 1
) -> tuple[DistillTerms, StudentOutputs, Distiller]:
    torch.manual_seed(0)
    distiller, targets = Distiller(SMALL, config, TEACHER_CHANNELS), street(samples)
    outputs = random_outputs(SMALL, samples, distiller.agents(targets, teacher))
    return distiller(outputs, teacher, targets), outputs, distiller


def gradients(outputs: Any) -> dict[str, Tensor]:
    """Of the leaves that got one."""
    found = {}
    for name, value in outputs._asdict().items():
        if isinstance(value, Tensor):
            if value.requires_grad and value.grad is not None:
                found[name] = value.grad
        else:
            found |= gradients(value)
    return found


def test_weights_and_masks_name_the_terms() -> None:
    assert tuple(field.name for field in dataclasses.fields(DistillWeights)) == DistillTerms._fields
    assert DistillMask._fields == DistillTerms._fields


def test_a_student_that_agrees_with_its_teacher_loses_nothing() -> None:
    targets = street()
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    first = made_teacher(1)
    outputs = random_outputs(SMALL, 1, distiller.agents(targets, first))
    with torch.no_grad():
        outputs.detection.offset_B2XY.sigmoid_()  # an offset beyond its cell is another cell's
        outputs.detection.heading_B2XY.div_(outputs.detection.heading_B2XY.norm(dim=1, keepdim=True))
    assert first.agents is not None
    assert distiller.adapter is not None
    teacher = agreeing_teacher(outputs, first.agents.centers_BA3, distiller.adapter(outputs.bev_BCXY))
    found = values(distiller(outputs, teacher, targets))
    assert found == pytest.approx(dict.fromkeys(found, 0.0), abs=1e-4)
    other = values(distiller(outputs, made_teacher(1, seed=5), targets))
    assert all(value > 0.01 for value in other.values())


@pytest.mark.parametrize(
    ("lacks", "silent"),
    [
        (("bev",), {"feature"}),
        (("heatmap",), set()),
        (("agents",), {"box", "motion"}),
        (("heatmap", "agents"), {"heatmap", "box", "motion"}),
        (("map",), {"map"}),
        (("occupancy",), {"occupancy"}),
        (("plan",), {"plan"}),
        (("bev", "heatmap", "agents", "map", "occupancy", "plan"), set(DistillTerms._fields)),
    ],
)
def test_what_a_teacher_lacks_is_zero_and_said_so(lacks: tuple[str, ...], silent: set[str]) -> None:
    teacher = dataclasses.replace(made_teacher(1), **dict.fromkeys(lacks))
    terms, _, distiller = distilled(ALL, teacher)
    assert {name for name, live in distiller.live(teacher)._asdict().items() if not live} == silent
    assert {name for name, value in values(terms).items() if value == 0} == silent


def test_a_teacher_without_futures_says_nothing_of_motion() -> None:
    teacher = made_teacher(1)
    assert teacher.agents is not None
    agents = dataclasses.replace(teacher.agents, futures_BAMT2=None, mode_logits_BAM=None)
    terms, outputs, distiller = distilled(ALL, dataclasses.replace(teacher, agents=agents))
    assert not distiller.live(dataclasses.replace(teacher, agents=agents)).motion
    assert terms.motion.item() == 0
    assert terms.box.item() > 0
    assert outputs.agents.cell_BA.shape == (1, 3), "none but the annotated agents are asked for"


@pytest.mark.parametrize("draws_heatmap", [False, True])
def test_what_a_teacher_lacks_of_one_sample_is_left_out_whatever_it_holds(draws_heatmap: bool) -> None:
    """Two samples of which the teacher knows one give what that one gives alone."""
    teacher = made_teacher(2)
    assert teacher.agents is not None
    agents = dataclasses.replace(teacher.agents, known_B=torch.ones(2, dtype=torch.bool))
    half = _known_first(dataclasses.replace(teacher, agents=agents, heatmap=None if draws_heatmap else teacher.heatmap))
    config = dataclasses.replace(ALL, regions=None)
    torch.manual_seed(0)
    distiller, targets = Distiller(SMALL, config, TEACHER_CHANNELS), street(2)
    outputs = random_outputs(SMALL, 2, distiller.agents(targets, half))
    terms = distiller(outputs, half, targets)
    alone = distiller(_rows(outputs, slice(0, 1)), _rows(half, slice(0, 1)), street(1))
    assert values(terms) == pytest.approx(values(alone), rel=1e-4)
    weighted_sum(terms, config.weights).backward()
    assert all(gradient.isfinite().all() for gradient in gradients(outputs).values())


def _known_first(outputs: Any) -> Any:
    """The first of two samples as it is; all masks of the second are False, all numbers not numbers."""
    if isinstance(outputs, Tensor):
        nothing = torch.zeros_like(outputs[1]) if outputs.dtype == torch.bool else torch.full_like(outputs[1], math.nan)
        return torch.stack([outputs[0], nothing])
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, BevGrid):
        return type(outputs)(**{name: _known_first(value) for name, value in vars(outputs).items()})
    return outputs


@pytest.mark.parametrize("regions", [None, RegionConfig()])
def test_gradients_reach_the_student_and_the_adapter_and_never_the_teacher(regions: RegionConfig | None) -> None:
    teacher = made_teacher(2)
    terms, outputs, distiller = distilled(dataclasses.replace(ALL, regions=regions), teacher, samples=2)
    weighted_sum(terms, ALL.weights).backward()
    assert len(tensors_of(teacher)) == 12
    assert all(tensor.grad is None for tensor in tensors_of(teacher))
    assert set(gradients(outputs)) == {
        "bev_BCXY",
        "heatmap_BKXY",
        "offset_B2XY",
        "height_B1XY",
        "log_size_B3XY",
        "heading_B2XY",
        "velocity_B2XY",
        "map_BKXY",
        "logits_BTXY",
        "position_BT2",
        "offset_BAKT2",
        "logits_BAK",
    }
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients(outputs).values())
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_every_head_gets_a_gradient_from_its_term() -> None:
    student, teacher, targets = Student(SMALL), made_teacher(1), street()
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    outputs = student(student_inputs(SMALL), agents=distiller.agents(targets, teacher))
    terms = distiller(outputs, teacher, targets)
    of_term = {
        "feature": "bev_encoder",
        "heatmap": "detection_head.center",
        "box": "detection_head.box",
        "map": "map_head",
        "occupancy": "occupancy_head",
        "motion": "motion_head",
        "plan": "planning_head",
    }
    for name, prefix in of_term.items():
        student.zero_grad()
        getattr(terms, name).backward(retain_graph=True)
        for part in (prefix, "backbone"):
            found = [p.grad for key, p in student.named_parameters() if key.startswith(part) and p.grad is not None]
            assert sum(gradient.abs().sum() for gradient in found) > 0, (name, part)
    assert distiller.adapter is not None
    assert distiller.adapter.project.weight.grad is not None


@pytest.mark.parametrize(
    ("stage", "live"),
    [
        (FEATURE_LEVEL, {"feature"}),
        (OUTPUT_LEVEL, {"heatmap", "box", "map", "occupancy", "motion", "plan"}),
        (JOINT, set(DistillTerms._fields)),
        (DistillConfig(), set()),
    ],
)
def test_the_stages_are_switches(stage: DistillConfig, live: set[str]) -> None:
    teacher = made_teacher(1)
    terms, outputs, distiller = distilled(stage, teacher)
    assert {name for name, value in values(terms).items() if value != 0} == live
    assert {name for name, on in distiller.live(teacher)._asdict().items() if on} == live
    assert (distiller.adapter is not None) == ("feature" in live)
    assert (distiller.regions is not None) == (stage is JOINT)
    assert outputs.agents.cell_BA.shape[1] == (6 if "motion" in live else 3)


@pytest.mark.parametrize("name", DistillTerms._fields)
def test_each_term_can_be_switched_off_alone(name: str) -> None:
    teacher = made_teacher(1)
    config = dataclasses.replace(ALL, weights=dataclasses.replace(ALL.weights, **{name: 0.0}))
    terms, _, distiller = distilled(config, teacher)
    assert {key for key, value in values(terms).items() if value == 0} == {name}
    assert not getattr(terms, name).requires_grad
    assert getattr(distiller.live(teacher), name) is False


def test_regions_learn_in_training_only_and_after_their_use() -> None:
    teacher = made_teacher(1)
    first, outputs, distiller = distilled(ALL, teacher)
    assert distiller.regions is not None
    assert distiller.regions.updates_R.tolist() == [1, 1, 1, 1, 1]
    distiller.eval()
    state = {name: value.clone() for name, value in distiller.regions.state_dict().items()}
    second = distiller(outputs, teacher, street())
    third = distiller(outputs, teacher, street())
    assert all(torch.equal(value, state[name]) for name, value in distiller.regions.state_dict().items())
    assert values(second) == values(third)
    assert values(first)["map"] != values(second)["map"], "the first batch was weighted before it was learnt from"
    assert {"regions.disagreement_R", "regions.updates_R"} <= distiller.state_dict().keys()


def test_looking_at_the_regions_changes_nothing() -> None:
    teacher = made_teacher(1)
    _, outputs, distiller = distilled(ALL, teacher)
    assert distiller.regions is not None
    before = distiller.regions.values()
    view = distiller.look(outputs, teacher, street())
    assert view is not None
    assert view.weights_BXY.mean().item() == pytest.approx(1.0)
    assert view.masks_BRXY.shape == (1, 5, *SMALL.grid.shape)
    assert distiller.regions.values() == before
    assert Distiller(SMALL, OUTPUT_LEVEL, None).look(outputs, teacher, street()) is None


@pytest.mark.parametrize("labelled", [True, False])
def test_annotations_of_unlabelled_samples_do_not_matter(labelled: bool) -> None:
    teacher = made_teacher(1)
    torch.manual_seed(0)
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS).eval()
    found = []
    for sample in (STREET, dataclasses.replace(STREET, occupied=((2, 30, 3, 5),), lines=(), plan_steps=0)):
        targets = student_targets(made_batch(sample), SMALL, labelled_B=torch.tensor([labelled]))
        outputs = random_outputs(SMALL, 1, distiller.agents(targets, teacher))
        found.append(values(distiller(outputs, teacher, targets)))
    assert (found[0] == found[1]) is not labelled
    assert all(value > 0 for value in found[0].values()), "the teacher speaks either way"


def test_futures_are_asked_for_annotated_agents_then_the_teachers() -> None:
    teacher, targets = made_teacher(1), street()
    peaks = Distiller(SMALL, ALL, TEACHER_CHANNELS).agents(targets, teacher)
    assert teacher.agents is not None
    theirs = taught_agents(teacher.agents, SMALL.head_grid).peaks
    assert torch.equal(peaks.cell_BA[:, :3], targets.agents.cell_BA)
    assert torch.equal(peaks.cell_BA[:, 3:], theirs.cell_BA)
    assert torch.equal(peaks.class_BA[:, 3:], theirs.class_BA)


def test_a_student_that_was_not_asked_is_refused() -> None:
    teacher, targets = made_teacher(1), street()
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    with pytest.raises(ValueError, match=r"give the student what Distiller\.agents returns"):
        distiller(random_outputs(SMALL, 1, targets.agents), teacher, targets)


def test_a_teacher_that_finds_nobody_gives_finite_terms() -> None:
    teacher = made_teacher(1, agents=0)
    terms, _, _ = distilled(ALL, dataclasses.replace(teacher, heatmap=None))
    assert all(math.isfinite(value) for value in values(terms).values())
    assert terms.box.item() == terms.motion.item() == 0
    weighted_sum(terms, ALL.weights).backward()


def test_half_precision_outputs_give_full_precision_terms() -> None:
    teacher = made_teacher(1)
    torch.manual_seed(0)
    distiller, targets = Distiller(SMALL, ALL, TEACHER_CHANNELS).eval(), street()
    outputs = random_outputs(SMALL, 1, distiller.agents(targets, teacher))
    with torch.autocast("cpu", torch.bfloat16):
        found = distiller(outputs, teacher, targets)
    assert {term.dtype for term in found} == {torch.float32}
    assert values(found) == pytest.approx(values(distiller(outputs, teacher, targets)), rel=0.05)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_impossible_temperatures_are_refused(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature of map: expected a positive number"):
        Temperature(map=temperature)


def test_two_processes_make_one_batch(tmp_path: Path) -> None:
    """The mean of two processes' terms is one process's, and both learn the same importances as it does."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.SimpleQueue = context.SimpleQueue()
    processes = [
        context.Process(target=_part_of_a_batch, args=(rank, str(tmp_path / "meet"), found)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    halves = [found.get() for _ in range(2)]
    terms, importances = _distilled_part(slice(0, 4))
    assert {name: (halves[0][0][name] + halves[1][0][name]) / 2 for name in terms} == pytest.approx(terms, rel=1e-4)
    assert halves[0][1] == halves[1][1] == pytest.approx(importances, rel=1e-4)


def _part_of_a_batch(rank: int, meeting_file: str, found: multiprocessing.SimpleQueue) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting_file}", rank=rank, world_size=2)
    found.put(_distilled_part(slice(2 * rank, 2 * rank + 2)))
    distributed.destroy_process_group()


def _distilled_part(rows: slice) -> tuple[dict[str, float], tuple[float, ...]]:
    samples = [STREET, MadeSample(), STREET, dataclasses.replace(STREET, lines=(), plan_steps=1)]
    targets = student_targets(made_batch(*samples), SMALL)
    teacher = made_teacher(4)
    assert teacher.agents is not None
    fewer = teacher.agents.mask_BA.clone()
    fewer[1:3, 1:] = False
    teacher = dataclasses.replace(teacher, agents=dataclasses.replace(teacher.agents, mask_BA=fewer))
    torch.manual_seed(0)
    distiller = Distiller(SMALL, ALL, TEACHER_CHANNELS)
    outputs = random_outputs(SMALL, 4, distiller.agents(targets, teacher))
    terms = distiller(_rows(outputs, rows), _rows(teacher, rows), _rows(targets, rows))
    assert distiller.regions is not None
    return values(terms), tuple(distiller.regions.values())


def _rows(outputs: Any, rows: slice) -> Any:
    """Some samples of nested named tuples and dataclasses of tensors."""
    if isinstance(outputs, Tensor):
        return outputs[rows]
    if isinstance(outputs, tuple):
        return type(outputs)(*(_rows(output, rows) for output in outputs))
    if dataclasses.is_dataclass(outputs) and not isinstance(outputs, BevGrid):
        return type(outputs)(**{name: _rows(value, rows) for name, value in vars(outputs).items()})
    return outputs
