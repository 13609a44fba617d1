"""The node's statistics as diagnostic_msgs/DiagnosticArray, and back.

Key names are defined here once: whoever reads a recorded ``/diagnostics`` uses :func:`read_report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from tinybev.types import CAMERAS, WeightsInfo
from tinybev_ros.conversions import stamp_to_msg
from tinybev_ros.statistics import DETAILS, STAGES, WAITS, Counts, Percentiles, Snapshot, SyncCounts

TOPIC = "/diagnostics"
INPUTS, FRAMES, LATENCY, MODEL = "inputs", "frames", "latency", "model"
"""The statuses; each is named ``<node>: <one of these>``."""

STATE = "state"
PROBLEM = "problem"
MISSING = "missing_cameras"
LACKING = 0.5
"""Share of frames without all cameras from which on diagnostics warn; nuScenes' cameras skip, and it has a third."""
COUNT_KEYS: tuple[str, ...] = tuple(vars(Counts()))
SYNC_KEYS: dict[str, str] = {name: f"sync.{name}" for name in vars(SyncCounts())}
"""The keys of the synchronizer's counts."""
RESULT_RATE, RESULT_AGE = "result_rate_hz", "result_age_s"
WEIGHTS_NAME, WEIGHTS_TRAINED_ON, WEIGHTS_SHA256 = "name", "trained_on", "sha256"
DEVICE, BACKEND = "device", "backend"


def rate_key(camera: str) -> str:
    """The key of a camera's images per second."""
    return f"{camera.lower()}.rate_hz"


def age_key(camera: str) -> str:
    """The key of the seconds since a camera's last image."""
    return f"{camera.lower()}.age_s"


def percentile_keys(name: str) -> tuple[str, str]:
    """The keys of a stage's or wait's median and 95th percentile, milliseconds."""
    return f"{name}.p50_ms", f"{name}.p95_ms"


@dataclass(frozen=True)
class Health:
    """What the diagnostics tell.

    Attributes:
        node: name of the node with its namespace, so that two vehicles differ: ``front_car/tinybev``.
        state: its lifecycle state.
        snapshot: its statistics.
        complaints: open complaints by subject.
        weights: the loaded weights, None while none are.
        device: what the network runs on, empty while none is loaded.
        stale_after_s: age from which on an input or a result counts as missing.
        backend: what runs the network, empty while none is loaded.
    """

    node: str
    state: str
    snapshot: Snapshot
    complaints: dict[str, str]
    weights: WeightsInfo | None
    device: str
    stale_after_s: float
    backend: str = ""

    @property
    def missing_cameras(self) -> tuple[str, ...]:
        """The cameras whose newest image is too old, or that never sent one."""
        return self.snapshot.silent_cameras(self.stale_after_s)


def health_to_msg(health: Health, stamp_ns: int) -> DiagnosticArray:
    """Four statuses: inputs, frames, latency, model."""
    statuses = [_inputs(health), _frames(health), _latency(health), _model(health)]
    return DiagnosticArray(header=_header(stamp_ns), status=statuses)


@dataclass(frozen=True)
class Report:
    """What a DiagnosticArray of the node tells about its whole run, as :func:`read_report` finds it.

    Attributes:
        counts: of frames.
        sync: of the synchronizer.
        stages: latency by stage; empty before the first result.
        others: the same of ``WAITS`` and ``DETAILS``, as far as they are told.
        weights: the loaded weights, None where none were.
        device: what the network ran on.
        backend: what ran it.
    """

    counts: Counts
    sync: SyncCounts
    stages: dict[str, Percentiles]
    others: dict[str, Percentiles]
    weights: WeightsInfo | None
    device: str
    backend: str


def read_report(message: DiagnosticArray, node: str) -> Report | None:
    """The report of ``node`` (as in :class:`Health`) in a DiagnosticArray, None where the array is of another node."""
    statuses = {status.name: {pair.key: pair.value for pair in status.values} for status in message.status}
    if _name(node, FRAMES) not in statuses:
        return None
    frames, latency, model = (statuses[_name(node, part)] for part in (FRAMES, LATENCY, MODEL))
    weights = None
    if WEIGHTS_NAME in model:
        weights = WeightsInfo(model[WEIGHTS_NAME], model[WEIGHTS_TRAINED_ON], model[WEIGHTS_SHA256])
    counts = Counts(**{key: int(frames[key]) for key in COUNT_KEYS})
    sync = SyncCounts(**{name: int(frames[key]) for name, key in SYNC_KEYS.items()})
    return Report(
        counts=counts,
        sync=sync,
        stages=_percentiles(latency, STAGES),
        others=_percentiles(latency, (*WAITS, *DETAILS)),
        weights=weights,
        device=model.get(DEVICE, ""),
        backend=model.get(BACKEND, ""),
    )


def _percentiles(latency: Mapping[str, str], names: Iterable[str]) -> dict[str, Percentiles]:
    """Those of the names that are told."""
    found = {}
    for name in names:
        p50, p95 = percentile_keys(name)
        if p50 in latency:
            found[name] = Percentiles(float(latency[p50]), float(latency[p95]))
    return found


def _inputs(health: Health) -> DiagnosticStatus:
    values = {STATE: health.state, MISSING: ", ".join(camera.lower() for camera in health.missing_cameras)}
    for camera in CAMERAS:
        values[rate_key(camera)] = f"{health.snapshot.camera_rates_hz[camera]:.2f}"
        values[age_key(camera)] = _seconds(health.snapshot.camera_ages_s[camera])
    level, message = DiagnosticStatus.OK, "all six cameras"
    if health.state != "active":
        message = health.state
    elif len(health.missing_cameras) == len(CAMERAS):
        level, message = DiagnosticStatus.ERROR, "no images arrive"
    elif health.missing_cameras:
        level, message = DiagnosticStatus.WARN, f"no images of {values[MISSING]}"
    elif health.complaints:
        level, message = DiagnosticStatus.WARN, "; ".join(health.complaints)
    status = _status(health, INPUTS, level, message, values)
    status.values += [
        KeyValue(key=f"{PROBLEM}.{subject}", value=sentence) for subject, sentence in health.complaints.items()
    ]
    return status


def _frames(health: Health) -> DiagnosticStatus:
    snapshot = health.snapshot
    values = {key: str(getattr(snapshot.counts, key)) for key in COUNT_KEYS}
    values |= {key: str(getattr(snapshot.sync, name)) for name, key in SYNC_KEYS.items()}
    values[RESULT_RATE] = f"{snapshot.result_rate_hz:.2f}"
    values[RESULT_AGE] = _seconds(snapshot.result_age_s)
    level, message = DiagnosticStatus.OK, f"{snapshot.result_rate_hz:.1f} results per second"
    if health.state != "active":
        message = health.state
    elif _is_stale(snapshot.result_age_s, health.stale_after_s):
        nothing_came = len(health.missing_cameras) == len(CAMERAS)
        level = DiagnosticStatus.ERROR if nothing_came else DiagnosticStatus.WARN
        message = f"no result for {values[RESULT_AGE]} s" if values[RESULT_AGE] else "no result yet"
    elif snapshot.partial_share is not None and snapshot.partial_share > LACKING:
        level, message = DiagnosticStatus.WARN, f"{snapshot.partial_share:.0%} of the frames lack cameras"
    return _status(health, FRAMES, level, message, values)


def _latency(health: Health) -> DiagnosticStatus:
    values = {}
    snapshot = health.snapshot
    for name, percentiles in (snapshot.stages | snapshot.waits | snapshot.details).items():
        p50, p95 = percentile_keys(name)
        values[p50], values[p95] = f"{percentiles.p50:.3f}", f"{percentiles.p95:.3f}"
    total = snapshot.stages.get("total")
    message = f"{total.p50:.0f} ms a frame" if total else "no frame yet"
    return _status(health, LATENCY, DiagnosticStatus.OK, message, values)


def _model(health: Health) -> DiagnosticStatus:
    if health.weights is None:
        return _status(health, MODEL, DiagnosticStatus.OK, "no weights loaded", {})
    values = {
        WEIGHTS_NAME: health.weights.name,
        WEIGHTS_TRAINED_ON: health.weights.trained_on,
        WEIGHTS_SHA256: health.weights.sha256,
        DEVICE: health.device,
        BACKEND: health.backend,
    }
    if not health.weights.trained:
        message = f"untrained weights ({health.weights.trained_on}): the results mean nothing"
        return _status(health, MODEL, DiagnosticStatus.WARN, message, values)
    return _status(health, MODEL, DiagnosticStatus.OK, health.weights.name, values)


def _status(health: Health, part: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=_name(health.node, part),
        message=message,
        hardware_id=health.node,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _name(node: str, part: str) -> str:
    return f"{node}: {part}"


def _header(stamp_ns: int) -> Header:
    return Header(stamp=stamp_to_msg(stamp_ns))


def _seconds(age_s: float | None) -> str:
    return "" if age_s is None else f"{age_s:.2f}"


def _is_stale(age_s: float | None, stale_after_s: float) -> bool:
    return age_s is None or age_s > stale_after_s
