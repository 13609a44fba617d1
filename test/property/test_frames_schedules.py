"""Random rigs, transports and faults against a model that knows the true revolution of every image."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinybev.frames import JUMP_NS, CameraSet, FrameAssembler, IncompletePolicy, SyncOptions
from tinybev.phases import NUSCENES_RIG
from tinybev.types import CAMERAS

MS = 1_000_000
START_NS = 1_538_984_233_512_000_000
MAX_WAIT_MS = 150.0
LEARNT_AFTER = 20
"""Faults of the clock and cameras that stop come after so many revolutions, when the phases have been learnt."""


@dataclass(frozen=True)
class Image:
    """One message; ``epoch`` counts the jumps of the clock before it, ``resent`` is a copy that comes much later."""

    number: int
    camera: str
    epoch: int
    revolution: int
    stamp_ns: int
    resent: bool = False


class Schedule:
    """What arrives when; ``story`` says in words what was drawn."""

    def __init__(self, options: SyncOptions, jump_ns: int, story: str) -> None:
        self.options = options
        self.jump_ns = jump_ns
        self.story = story
        self.arrivals: list[tuple[int, Image]] = []

    def __repr__(self) -> str:
        return f"<{len(self.arrivals)} arrivals, {self.story}, {self.options}>"

    def hides_the_jump(self, image: Image) -> bool:
        """Whether ``image`` comes soon after a jump that is too short to be seen at once, but in a run of late ones."""
        return bool(image.epoch) and self.jump_ns < JUMP_NS and image.revolution < self.jumped_at + 12

    @property
    def jumped_at(self) -> int:
        """The first revolution after the jump."""
        return min((image.revolution for _, image in self.arrivals if image.epoch), default=0)


@st.composite
def rigs(draw: st.DrawFn) -> tuple[SyncOptions, float, dict[str, float]]:
    """Options, period and phases in ms. Learnt rigs are such that their stamps tell where a revolution begins."""
    kind = draw(st.sampled_from(["nuscenes", "simultaneous", "burst", "given"]))
    policy = draw(st.sampled_from(IncompletePolicy))
    if kind == "nuscenes":
        phases = {camera: phase / MS for camera, phase in NUSCENES_RIG.phases_ns.items()}
        return SyncOptions(max_wait_s=MAX_WAIT_MS / 1e3, incomplete=policy), 50.0, phases
    cameras = tuple(draw(st.permutations(CAMERAS))[: draw(st.integers(2, 6))])
    period_ms = draw(st.sampled_from([1000 / 30, 40.0, 50.0, 1000 / 12, 100.0]))
    span = {"simultaneous": 0.0, "burst": 0.4, "given": 0.85}[kind]
    phases = {camera: draw(st.floats(0, span)) * period_ms for camera in cameras}
    given_s = {camera: phase / 1e3 for camera, phase in phases.items()} if kind == "given" else None
    options = SyncOptions(
        cameras=cameras,
        max_wait_s=MAX_WAIT_MS / 1e3,
        phases_s=given_s,
        period_s=period_ms / 1e3 if given_s else None,
        incomplete=policy,
        known_rigs=(),
    )
    return options, period_ms, phases


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    options, period_ms, phases = draw(rigs())
    chance = random.Random(draw(st.integers(0, 2**32 - 1)))
    length = LEARNT_AFTER + draw(st.integers(5, 40))
    jitter_ms = draw(st.floats(0, min(60.0, MAX_WAIT_MS - max(phases.values()) - 2)))
    lost, doubled, resent = draw(st.sampled_from([0, 0.02, 0.1])), draw(st.sampled_from([0, 0.05])), draw(st.booleans())
    stops = draw(st.none() | st.sampled_from(options.cameras))
    jump_at = draw(st.none() | st.integers(LEARNT_AFTER, length))
    jump_ms = draw(st.sampled_from([500.0, 800.0, 1500.0, 20_000.0])) if jump_at is not None else 0.0
    first = draw(st.integers(0, len(phases) - 1))  # the stream may start within a revolution
    story = f"period {period_ms} ms, {phases}, {jitter_ms=}, {lost=}, {doubled=}, {resent=}, {stops=}, {jump_at=}"
    schedule = Schedule(options, round(jump_ms * MS), story)
    in_order = sorted(phases, key=lambda camera: phases[camera])
    last_arrival_ns: dict[str, int] = defaultdict(int)
    number = 0
    for revolution in range(length):
        epoch = int(jump_at is not None and revolution >= jump_at)
        for position, camera in enumerate(in_order):
            fired_ns = START_NS + round((revolution * period_ms + phases[camera] + chance.uniform(-0.3, 0.3)) * MS)
            absent = stops == camera and revolution >= LEARNT_AFTER + 3
            if absent or chance.random() < lost or (revolution == 0 and position < first):
                continue
            number += 1
            image = Image(number, camera, epoch, revolution, fired_ns - epoch * schedule.jump_ns)
            # A topic keeps its order, whatever the delay.
            arrival_ns = max(fired_ns + round(chance.uniform(0, jitter_ms) * MS), last_arrival_ns[camera] + 1)
            last_arrival_ns[camera] = arrival_ns
            schedule.arrivals.append((arrival_ns, image))
            if chance.random() < doubled:
                schedule.arrivals.append((arrival_ns + round(chance.uniform(0, 20) * MS), image))
            # A copy does not cross a short jump: nothing tells it from an image of after the jump.
            crosses = jump_at is not None and jump_ms < 1000 and revolution < jump_at <= revolution + 7
            if resent and not crosses and chance.random() < 0.02:
                number += 1
                copy = Image(number, camera, epoch, revolution, image.stamp_ns + 1, resent=True)
                schedule.arrivals.append((arrival_ns + round(4 * period_ms * MS), copy))
    schedule.arrivals.sort(key=lambda item: item[0])
    return schedule


@dataclass(frozen=True)
class Left:
    """A set, when it left, and whether the rig was known before."""

    camera_set: CameraSet[Image]
    at_ns: int
    rig_known: bool


def drive(schedule: Schedule) -> tuple[list[Left], FrameAssembler[Image]]:
    """Feeds the schedule, polls at each deadline, flushes at the end; checks the bound of what is held."""
    assembler: FrameAssembler[Image] = FrameAssembler(schedule.options)
    left: list[Left] = []

    def keep(sets: list[CameraSet[Image]], at_ns: int, known: bool) -> None:
        left.extend(Left(each, at_ns, known) for each in sets)
        assert held(assembler) <= schedule.options.max_images

    for arrival_ns, image in schedule.arrivals:
        while (deadline_ns := assembler.next_deadline_ns()) is not None and deadline_ns <= arrival_ns:
            known = assembler.rig is not None
            keep(assembler.poll(deadline_ns), deadline_ns, known)
            after_ns = assembler.next_deadline_ns()
            assert after_ns is None or after_ns > deadline_ns, "a poll at the deadline must get past it"
        known = assembler.rig is not None
        keep(assembler.push(image.camera, image.stamp_ns, image, arrival_ns), arrival_ns, known)
    keep(assembler.flush(), arrival_ns, assembler.rig is not None)
    return left, assembler


def held(assembler: FrameAssembler[Image]) -> int:
    """Images that were received and have met no fate yet."""
    counters = assembler.counters
    gone = counters.used + counters.late + counters.duplicates + counters.dropped
    return sum(counters.received.values()) - gone


def complete_revolutions(schedule: Schedule) -> set[tuple[int, int]]:
    """The revolutions that must come out whole: all images came once at least, within the wait, none across a jump."""
    jumped_ns = min((arrival for arrival, image in schedule.arrivals if image.epoch), default=None)
    by_revolution: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    spoilt = set()
    for arrival_ns, image in schedule.arrivals:
        key = (image.epoch, image.revolution)
        if image.resent:
            spoilt.add(key)  # its copy may come while it is open, and be taken for the second of its camera
            continue
        by_revolution[key].setdefault(image.camera, arrival_ns)
        if jumped_ns is not None and not image.epoch and arrival_ns >= jumped_ns:
            spoilt.add(key)  # overtaken by the jump
        if schedule.hides_the_jump(image):
            spoilt.add(key)
    wait_ns = round(MAX_WAIT_MS * MS)
    return {
        key
        for key, arrivals in by_revolution.items()
        if key not in spoilt
        and len(arrivals) == len(schedule.options.cameras)
        and max(arrivals.values()) - min(arrivals.values()) < wait_ns
    }


@settings(max_examples=2000, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(schedules())
def test_schedules(schedule: Schedule) -> None:
    left, assembler = drive(schedule)
    arrival_ns: dict[int, int] = {}
    for at_ns, image in schedule.arrivals:
        arrival_ns.setdefault(image.number, at_ns)

    uses: Counter[int] = Counter()
    whole: Counter[tuple[int, int]] = Counter()
    for each in left:
        ready = each.camera_set
        images = [item.payload for item in ready.items.values()]
        uses.update(image.number for image in images)
        assert {image.camera: image.stamp_ns for image in images} == {
            camera: item.stamp_ns for camera, item in ready.items.items()
        }
        assert ready.stamp_ns == max(image.stamp_ns for image in images)
        assert set(ready.missing) == set(schedule.options.cameras) - set(ready.items)
        revolutions = sorted({(image.epoch, image.revolution) for image in images})
        if ready.joined:
            assert schedule.options.incomplete is IncompletePolicy.JOIN
            assert not ready.missing
            assert len(revolutions) == 2
            assert revolutions[0][0] == revolutions[1][0], "joined across a jump of the clock"
            assert revolutions[1][1] - revolutions[0][1] == 1
        else:
            assert len(revolutions) == 1, f"mixed {revolutions}"
            whole[revolutions[0]] += not ready.missing
        # The wait, of the later half where two are joined; before the rig is known other bounds hold.
        first_ns = min(arrival_ns[image.number] for image in images if image.revolution == revolutions[-1][1])
        if each.rig_known and not any(image.resent or schedule.hides_the_jump(image) for image in images):
            assert each.at_ns - first_ns <= MAX_WAIT_MS * MS * (2 if ready.missing else 1)
    assert max(uses.values()) == 1
    lacking = {key for key in complete_revolutions(schedule) if whole[key] != 1}
    assert not lacking
    for epoch in {image.epoch for _, image in schedule.arrivals}:
        stamps = [each.camera_set.stamp_ns for each in left if epoch_of(each) == epoch]
        assert stamps == sorted(set(stamps))
    assert held(assembler) == 0
    assert assembler.counters.used == sum(uses.values())


def epoch_of(left: Left) -> int:
    return next(iter(left.camera_set.items.values())).payload.epoch
