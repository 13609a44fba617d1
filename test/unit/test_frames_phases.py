"""Learning when cameras fire: rigs whose phases are known by construction."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from tinybev.phases import MIN_REVOLUTIONS, NUSCENES_RIG, PhaseLearner, Rig
from tinybev.types import CAMERAS

MS = 1_000_000
START_NS = 1_538_984_233_512_000_000
BURST_MS = {camera: 3.0 * index for index, camera in enumerate(CAMERAS)}


def learner_of(
    phases_ms: Mapping[str, float],
    period_ms: float,
    revolutions: int,
    fires: Callable[[int, str], bool] = lambda revolution, camera: True,
    jitter_ms: float = 0.0,
    known_rigs: tuple[Rig, ...] = (),
) -> PhaseLearner:
    learner = PhaseLearner(CAMERAS, known_rigs)
    chance = random.Random(1)
    for revolution in range(revolutions):
        for camera, phase_ms in phases_ms.items():
            if fires(revolution, camera):
                noise_ms = chance.uniform(-jitter_ms, jitter_ms)
                learner.observe(camera, START_NS + round((revolution * period_ms + phase_ms + noise_ms) * MS))
    return learner


@pytest.mark.parametrize("period_ms", [1000 / 60, 1000 / 30, 50.0, 100.0, 500.0])
def test_period_and_phases_of_a_burst(period_ms: float) -> None:
    phases_ms = {camera: phase * period_ms / 50 for camera, phase in BURST_MS.items()}
    rig = learner_of(phases_ms, period_ms, 20, jitter_ms=0.02 * period_ms).estimate()
    assert rig is not None
    assert rig.period_ns == pytest.approx(period_ms * MS, rel=0.01)
    for camera, phase in phases_ms.items():
        assert rig.phases_ns[camera] == pytest.approx(phase * MS, abs=0.03 * period_ms * MS)


def test_the_period_is_found_where_every_camera_skips() -> None:
    # Distances of 2 and 3 periods: no two images of a camera are one period apart.
    rig = learner_of(BURST_MS, 50.0, 40, fires=lambda revolution, _: revolution % 5 in (0, 2)).estimate()
    assert rig is not None
    assert rig.period_ns == pytest.approx(50 * MS, rel=1e-6)


def test_nuscenes_is_recognised_from_one_revolution_and_nothing_else_is_taken_for_it() -> None:
    nuscenes_ms = {camera: phase / MS for camera, phase in NUSCENES_RIG.phases_ns.items()}
    assert learner_of(nuscenes_ms, 50.0, 1, known_rigs=(NUSCENES_RIG,)).estimate() == NUSCENES_RIG
    other_ms = {**nuscenes_ms, "CAM_BACK": nuscenes_ms["CAM_BACK"] + 3.0}
    assert learner_of(other_ms, 50.0, 1, known_rigs=(NUSCENES_RIG,)).estimate() is None
    # Evenly spread and in the same order, but another rig.
    even_ms = {camera: 8.0 * index for index, camera in enumerate(CAMERAS)}
    rig = learner_of(even_ms, 50.0, 20, known_rigs=(NUSCENES_RIG,)).estimate()
    assert rig is not None
    assert rig.phases_ns["CAM_FRONT"] == pytest.approx(0, abs=1000)


def test_a_revolution_begins_where_whole_revolutions_are_skipped() -> None:
    # Evenly spread: every start has the same span, and only the skips tell.
    even_ms = {camera: 50.0 / 6 * index for index, camera in enumerate(CAMERAS[3:] + CAMERAS[:3])}
    rig = learner_of(even_ms, 50.0, 30, fires=lambda revolution, _: revolution % 3 != 1).estimate()
    assert rig is not None
    for camera, phase in even_ms.items():
        assert rig.phases_ns[camera] == pytest.approx(phase * MS, abs=1000)


def test_a_start_is_not_chosen_from_a_few_revolutions() -> None:
    assert learner_of(BURST_MS, 50.0, MIN_REVOLUTIONS).estimate() is None
    assert learner_of(BURST_MS, 50.0, MIN_REVOLUTIONS + 1).estimate() is not None


def test_stamps_without_a_rhythm_are_not_explained() -> None:
    learner, chance = PhaseLearner(CAMERAS, ()), random.Random(2)
    for index, camera in enumerate(CAMERAS):
        stamp_ms = 10.0 * index
        for _ in range(20):
            stamp_ms += chance.uniform(40, 140)
            learner.observe(camera, START_NS + round(stamp_ms * MS))
    assert learner.estimate() is None


def test_the_start_is_kept_while_the_phases_agree() -> None:
    learner = learner_of(BURST_MS, 50.0, 20)
    rotated = Rig(50 * MS, {camera: (index * 3 + 10) % 50 * MS for index, camera in enumerate(CAMERAS)})
    assert learner.refreshed(rotated) is rotated
    swapped = Rig(50 * MS, {camera: 9 * index * MS for index, camera in enumerate(reversed(CAMERAS))})
    assert learner.refreshed(swapped).phases_ns["CAM_FRONT_LEFT"] == pytest.approx(15 * MS, abs=1000)


def test_stamps_that_repeat_do_not_disturb() -> None:
    learner = learner_of(BURST_MS, 50.0, 12)
    for camera, phase_ms in BURST_MS.items():
        learner.observe(camera, START_NS + round((300 + phase_ms) * MS) + 1000)
    rig = learner.estimate()
    assert rig is not None
    assert rig.period_ns == pytest.approx(50 * MS, rel=1e-6)


@pytest.mark.parametrize(("period_ms", "late_ms"), [(50.0, 8.0), (1000 / 30, 6.0), (1000 / 12, 15.0), (50.0, 20.0)])
@pytest.mark.parametrize("every", [10_000, 40])
def test_stamps_that_come_late_do_not_shorten_the_period(period_ms: float, late_ms: float, every: int) -> None:
    # 50 and 8 ms: 42, 50 and 58 are about 5, 6 and 7 times 8.3.
    learner, images = PhaseLearner(CAMERAS, ()), 0
    phases_ms = {camera: index * period_ms / 8 for index, camera in enumerate(CAMERAS)}
    for revolution in range(24):
        for camera, phase_ms in phases_ms.items():
            images += 1
            late = late_ms if images % every == 17 else 0.0
            learner.observe(camera, START_NS + round((revolution * period_ms + phase_ms + late) * MS))
    rig = learner.estimate()
    assert rig is not None
    assert rig.period_ns == pytest.approx(period_ms * MS, rel=0.005)
    for camera, phase_ms in phases_ms.items():
        assert rig.phases_ns[camera] == pytest.approx(phase_ms * MS, abs=0.02 * period_ms * MS)


def test_a_period_that_was_learnt_too_short_is_given_up() -> None:
    short = Rig(
        round(50 / 6 * MS), {camera: round(3.0 * index % (50 / 6) * MS) for index, camera in enumerate(CAMERAS)}
    )
    refreshed = learner_of(BURST_MS, 50.0, 20).refreshed(short)
    assert refreshed.period_ns == pytest.approx(50 * MS, rel=1e-6)
    assert learner_of(BURST_MS, 50.0, 20).refreshed(refreshed) is refreshed


def test_a_known_rig_stays_itself_where_its_cameras_take_every_second_turn() -> None:
    nuscenes_ms = {
        camera: phase / MS + 1.5 * (camera == "CAM_BACK") for camera, phase in NUSCENES_RIG.phases_ns.items()
    }
    learner = learner_of(nuscenes_ms, 50.0, 60, lambda revolution, _: revolution % 2 == 0, known_rigs=(NUSCENES_RIG,))
    assert learner.refreshed(NUSCENES_RIG) is NUSCENES_RIG
