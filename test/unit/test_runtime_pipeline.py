"""The pipeline: five outputs that hold their types' promises, whatever is missing or broken in a frame."""

from __future__ import annotations

import dataclasses
import math
import threading

import numpy as np
import pytest
import torch
from pictures import STAMP_NS, frame, jpeg, picture
from rigs import ring_rig, yaw_transform

from tinybev.config import NodeConfig
from tinybev.errors import UserError
from tinybev.model.config import find_variant
from tinybev.model.heads.planning import GOAL_DISTANCE_M, GOAL_SCALE_M, PlanConditions
from tinybev.model.student import seeded_student
from tinybev.runtime import preprocess
from tinybev.runtime.bundle import Bundle, load_bundle, make_bundle
from tinybev.runtime.image_file import decode_image_file
from tinybev.runtime.options import PipelineOptions
from tinybev.runtime.pipeline import Pipeline
from tinybev.runtime.preprocess import Preprocessor, plan_conditions
from tinybev.types import CAMERAS, Command, EgoStatus, Frame, Goal, Results

SIZE = (450, 800)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("untrained:nano")


@pytest.fixture
def pipeline(bundle: Bundle) -> Pipeline:
    return Pipeline(bundle, PipelineOptions(device="cpu"))


def with_image(whole: Frame, camera: str, **changes: object) -> Frame:
    changed = dataclasses.replace(whole.images[camera], **changes)
    return dataclasses.replace(whole, images={**whole.images, camera: changed})


def assert_promises(results: Results, options: PipelineOptions) -> None:
    detections, futures, config = results.detections, results.trajectories, find_variant("nano")
    count = len(detections)
    assert count <= min(options.max_objects, config.max_agents)
    assert (detections.scores >= options.score_threshold).all()
    assert (np.diff(detections.scores) <= 0).all()
    assert (detections.sizes > 0).all()
    assert (np.abs(detections.yaws) <= np.pi).all()
    assert len(set(detections.track_ids.tolist())) == count
    assert futures.positions.shape == (count, 6, 12, 2)
    assert futures.probabilities.sum(axis=1) == pytest.approx(np.ones(count))
    assert (futures.sigmas > 0).all()
    assert np.array_equal(futures.track_ids, detections.track_ids)
    assert results.occupancy.probability.shape == results.occupancy.instances.shape == (5, *config.grid.shape)
    assert set(np.unique(results.occupancy.instances)) <= {0, *detections.track_ids.tolist()}
    assert results.map.masks.shape == (4, *config.grid.shape)
    assert results.plan.positions.shape == results.plan.raw_positions.shape == (6, 2)
    for values in (detections.centers, futures.positions, results.plan.yaws, results.plan.speeds):
        assert np.isfinite(values).all()
    times = results.times
    assert min(dataclasses.astuple(times)) >= 0
    assert times.total >= times.decode + times.preprocess + times.network + times.postprocess - 1.0


def test_a_whole_frame_gives_all_five_outputs(pipeline: Pipeline) -> None:
    goal = Goal(Command.LEFT, (20.0, 5.0))
    results = pipeline.run(dataclasses.replace(frame(SIZE), goal=goal))
    assert_promises(results, PipelineOptions())
    assert len(results.detections) >= 5
    assert results.stamp_ns == STAMP_NS
    assert results.missing == ()
    assert results.plan.goal == goal
    assert results.weights == pipeline.weights
    assert results.weights.trained_on == "nothing (untrained, seed 0)"
    assert pipeline.device == "cpu"
    assert pipeline.rejected == {}


def test_pixels_given_as_an_array_are_the_same_picture(pipeline: Pipeline) -> None:
    files = frame(SIZE)
    pixels = files
    for n, camera in enumerate(CAMERAS):
        pixels = with_image(pixels, camera, image=picture(SIZE, n))
    from_files, from_pixels = pipeline.run(files), pipeline.run(pixels)
    assert from_files.map.masks == pytest.approx(from_pixels.map.masks, abs=0.2)


def test_images_that_were_decoded_early_give_the_same_inputs(pipeline: Pipeline, bundle: Bundle) -> None:
    files = frame(SIZE)
    preprocessor = Preprocessor(bundle.config, use_ego_status=False)
    images = {camera: image.image for camera, image in files.images.items() if camera != "CAM_BACK"}
    early = {camera: pipeline.decode_image(data) for camera, data in images.items() if isinstance(data, bytes)}
    assert len(early) == 5
    late, both = preprocessor.decode(files), preprocessor.decode(files, early=early)
    assert both.pixels["CAM_FRONT"] is early["CAM_FRONT"]
    expected, got = (preprocessor.complete(decoded).inputs.images_BNHW3 for decoded in (late, both))
    assert torch.equal(expected, got)


def test_an_image_that_was_decoded_early_still_has_to_fit_its_calibration(pipeline: Pipeline) -> None:
    files = frame(SIZE)
    data = files.images["CAM_FRONT"].image
    assert isinstance(data, bytes)
    wrong = with_image(files, "CAM_FRONT", image_size=(900, 1600))
    decoded = pipeline.decode(wrong, early={"CAM_FRONT": pipeline.decode_image(data)})
    assert "expected the image to have the size of its calibration" in decoded.rejected["CAM_FRONT"]


@pytest.mark.parametrize("spread", [True, False])
def test_two_threads_decode_a_frame(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, spread: bool) -> None:
    """Its own helper where the frame is to be spread, else the thread that offers help once it has begun."""
    begun, both, threads = threading.Event(), threading.Barrier(2, timeout=10.0), set()

    def meet(data: bytes, target_width: int) -> np.ndarray:
        begun.set()
        if threading.current_thread() not in threads:
            threads.add(threading.current_thread())
            both.wait()  # fails where no other thread decodes
        return decode_image_file(data, target_width=target_width)

    def offer_help() -> None:
        assert begun.wait(10.0)
        pipeline.help_decoding()

    monkeypatch.setattr(preprocess, "decode_image_file", meet)
    other = threading.Thread(target=offer_help)
    if not spread:
        other.start()
    decoded = pipeline.decode(frame(SIZE), spread=spread)
    if not spread:
        other.join()
    assert set(decoded.pixels) == set(CAMERAS)
    assert len(threads) == 2


def test_a_camera_without_image_is_missing(pipeline: Pipeline) -> None:
    whole = frame(SIZE)
    images = {camera: image for camera, image in whole.images.items() if camera not in ("CAM_BACK", "CAM_FRONT_LEFT")}
    results = pipeline.run(dataclasses.replace(whole, images=images))
    assert results.missing == ("CAM_BACK", "CAM_FRONT_LEFT")
    assert_promises(results, PipelineOptions())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": jpeg(picture(SIZE))[:9000]}, "cut off"),
        ({"image": b"no image"}, "expected a JPEG or PNG file"),
        ({"image": jpeg(picture((90, 160)))}, "expected the image to have the size of its calibration, 800 x 450"),
        ({"intrinsics": np.zeros((3, 3))}, "CAM_BACK: expected a pinhole matrix"),
        ({"base_T_camera": np.zeros((4, 4))}, "CAM_BACK: expected a rigid transform"),
    ],
)
def test_a_camera_that_cannot_be_used_is_missing_and_leaves_no_trace(
    pipeline: Pipeline, changes: dict, reason: str
) -> None:
    whole = frame(SIZE)
    broken = pipeline.run(with_image(whole, "CAM_BACK", **changes))
    assert broken.missing == ("CAM_BACK",)
    assert list(pipeline.rejected) == ["CAM_BACK"]
    assert reason in pipeline.rejected["CAM_BACK"]
    without = {camera: image for camera, image in whole.images.items() if camera != "CAM_BACK"}
    absent = pipeline.run(dataclasses.replace(whole, images=without))
    assert absent.map.masks == pytest.approx(broken.map.masks, abs=1e-6)
    assert pipeline.rejected == {}
    assert pipeline.run(whole).missing == ()


def test_a_frame_without_any_usable_camera_is_refused_with_every_reason(pipeline: Pipeline) -> None:
    whole = frame(SIZE)
    for camera in CAMERAS:
        whole = with_image(whole, camera, image=b"no image")
    with pytest.raises(UserError, match=r"none is usable: CAM_FRONT: expected a JPEG.*CAM_FRONT_LEFT: expected a JPEG"):
        pipeline.run(whole)
    with pytest.raises(UserError, match="no images came"):
        pipeline.run(Frame(STAMP_NS, {}))


def test_a_changed_calibration_is_picked_up(pipeline: Pipeline) -> None:
    first, again = pipeline.run(frame(SIZE)), pipeline.run(frame(SIZE))
    changed = pipeline.run(frame(SIZE, ring_rig(SIZE, focal=1.1)))
    assert np.array_equal(first.map.masks, again.map.masks)
    assert not np.allclose(first.map.masks, changed.map.masks)


def test_each_cameras_own_pose_counts(pipeline: Pipeline) -> None:
    whole = dataclasses.replace(frame(SIZE), map_T_base=yaw_transform(0.3, x=100.0))

    def moving(speed: float) -> Frame:
        moved = whole
        for n, camera in enumerate(CAMERAS):
            moved = with_image(moved, camera, map_T_base=yaw_transform(0.3, x=100.0) @ yaw_transform(0, x=-speed * n))
        return moved

    standing, driving = pipeline.run(moving(0.0)), pipeline.run(moving(0.5))
    assert not np.allclose(standing.map.masks, driving.map.masks)
    assert np.array_equal(standing.map.masks, pipeline.run(frame(SIZE)).map.masks)


def test_objects_keep_their_ids_until_a_reset(pipeline: Pipeline) -> None:
    first = pipeline.run(frame(SIZE))
    second = pipeline.run(frame(SIZE, stamp_ns=STAMP_NS + 100_000_000))
    same = np.isin(second.detections.track_ids, first.detections.track_ids)
    assert same.mean() > 0.8
    pipeline.reset()
    third = pipeline.run(frame(SIZE, stamp_ns=STAMP_NS - 10_000_000_000))
    assert not np.isin(third.detections.track_ids, second.detections.track_ids).any()


def test_the_options_choose(bundle: Bundle) -> None:
    options = PipelineOptions(device="cpu", score_threshold=0.4, max_objects=3, map_threshold=0.9, refine_plan=False)
    results = Pipeline(bundle, options).run(frame(SIZE))
    assert_promises(results, options)
    assert len(results.detections) == 3
    assert np.array_equal(results.plan.positions, results.plan.raw_positions)
    assert all(segment.score >= 0.9 for segment in results.map.segments if not segment.closed)


def test_ego_status_is_told_only_where_wanted(bundle: Bundle) -> None:
    driving = dataclasses.replace(frame(SIZE), ego=EgoStatus(12.0, 0.2, -1.0))
    told, untold = (
        Pipeline(bundle, PipelineOptions(device="cpu", refine_plan=False, ego_status=choice)).run(driving)
        for choice in ("always", "never")
    )
    unknown = Pipeline(bundle, PipelineOptions(device="cpu", refine_plan=False)).run(frame(SIZE))
    assert not np.array_equal(told.plan.positions, untold.plan.positions)
    assert np.array_equal(untold.plan.positions, unknown.plan.positions)


@pytest.mark.parametrize("trained", [True, False])
def test_weights_decide_whether_ego_status_is_told(bundle: Bundle, trained: bool) -> None:
    recipe = {"recipe": {"telling": {"ego_status": trained}}}
    trained_bundle = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, training=recipe))
    driving = dataclasses.replace(frame(SIZE), ego=EgoStatus(12.0, 0.2, -1.0))

    def plan(which: Bundle, choice: str) -> np.ndarray:
        options = PipelineOptions(device="cpu", refine_plan=False, ego_status=choice)
        return Pipeline(which, options).run(driving).plan.positions

    same_as = "always" if trained else "never"
    assert np.array_equal(plan(trained_bundle, "auto"), plan(bundle, same_as))
    assert np.array_equal(plan(bundle, "auto"), plan(bundle, "never"))  # nothing says how it was trained
    if not trained:
        with pytest.raises(UserError, match="expected weights that were trained with it"):
            plan(trained_bundle, "always")


def test_what_the_planner_is_told() -> None:
    def conditions(*rows: list[float]) -> PlanConditions:
        return PlanConditions(*(torch.tensor([row]) for row in rows))

    untold = conditions([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(plan_conditions(Goal(), None), untold)
    told = plan_conditions(Goal(Command.RIGHT, (25.0, -5.0)), EgoStatus(5.0, 0.1, 0.5))
    torch.testing.assert_close(told, conditions([1.0, 0.0, 0.0], [0.5, -0.1, 1.0], [0.5, 0.1, 0.5, 1.0]))


@pytest.mark.parametrize("goal", [(400.0, 0.0), (-60.0, 80.0), (31.0, -1e4), (18.0, 24.0), (0.0, 0.0)])
def test_a_goal_farther_away_than_in_training_is_told_by_its_direction(goal: tuple[float, float]) -> None:
    told = GOAL_SCALE_M * plan_conditions(Goal(point=goal), None).goal_B3[0, :2].double().numpy()
    distance = math.hypot(*goal)
    assert np.linalg.norm(told) == pytest.approx(min(distance, GOAL_DISTANCE_M))
    np.testing.assert_allclose(told * distance, np.array(goal) * np.linalg.norm(told), rtol=1e-5)


def test_images_go_to_the_network_as_bytes_and_those_of_missing_cameras_are_black(bundle: Bundle) -> None:
    config = bundle.config
    whole = frame(config.image_size)
    for camera in CAMERAS:
        plain = np.full((*config.image_size, 3), (200, 100, CAMERAS.index(camera)), dtype=np.uint8)
        whole = with_image(whole, camera, image=plain)
    without = dataclasses.replace(whole, images={name: one for name, one in whole.images.items() if name != "CAM_BACK"})
    images = Preprocessor(config, use_ego_status=True).prepare(without).inputs.images_BNHW3
    assert images.shape == (1, 6, *config.image_size, 3)
    assert images.dtype == torch.uint8
    for n, camera in enumerate(CAMERAS):
        expected = (0, 0, 0) if camera == "CAM_BACK" else (200, 100, n)
        assert (images[0, n] == torch.tensor(expected)).all(), camera


def test_a_network_with_memory_remembers_until_a_reset() -> None:
    config = dataclasses.replace(find_variant("nano"), memory_frames=1)
    weights = seeded_student(config, 0).state_dict()
    pipeline = Pipeline(make_bundle("with memory", config, weights, "nothing (untrained, seed 0)"))
    half_second = 500_000_000

    def seen(n: int) -> np.ndarray:
        at = dataclasses.replace(frame(SIZE, stamp_ns=STAMP_NS + n * half_second), map_T_base=np.eye(4))
        return pipeline.run(at).map.masks

    first, second = seen(0), seen(1)
    assert not np.allclose(first, second)
    pipeline.reset()
    assert np.array_equal(seen(2), first)


def test_an_unknown_device_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UserError, match="device: expected auto, cpu or cuda, got 'tpu'"):
        Pipeline(bundle, PipelineOptions(device="tpu"))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="expected a GPU"):
            Pipeline(bundle, PipelineOptions(device="cuda"))


def test_the_nodes_parameters_have_the_options_names_and_defaults() -> None:
    node = NodeConfig()
    assert {field.name: getattr(node, field.name) for field in dataclasses.fields(PipelineOptions)} == (
        dataclasses.asdict(PipelineOptions())
    )
