"""``tinybev demo``: a recording through the node and out again, to look at.

A nuScenes-format scene becomes a rosbag2 (or a bag is taken as it is), the graph of ``bringup`` plays it through the
node with Foxglove beside it, the outputs are recorded, pictures are drawn, a summary is written. Where no recording is
named the scene is one of the synthetic world's, rendered on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from tinybev.bench.machine import cpu_name
from tinybev.cli import run_command
from tinybev.errors import UserError
from tinybev.optional_modules import absence_as_user_error
from tinybev.types import CAMERAS
from tinybev_ros import diagnostics, topics
from tinybev_ros.bag import open_bag
from tinybev_ros.bag_writer import BagFormat, writing_bag
from tinybev_ros.bringup import Process, processes
from tinybev_ros.diagnostics import Report
from tinybev_ros.outputs import OUTPUTS
from tinybev_ros.recorder import Recorder
from tinybev_ros.replay_pictures import Pictures, draw_replay
from tinybev_ros.this_machine import keep_to_this_machine
from tinybev_ros.topics import NODE
from tinybev_ros.up import running, stop

RECORDED: tuple[tuple[str, str], ...] = (
    *((output.topic.replace("~", f"/{NODE}"), output.type_name) for output in OUTPUTS if not output.for_viewers),
    (diagnostics.TOPIC, "diagnostic_msgs/msg/DiagnosticArray"),
)
"""What of the node is recorded: topic and type."""
LAST_OUTPUT = f"/{NODE}/plan"
"""Of the recorded outputs of a frame, the one that is published last."""
QUIET_S = 3.0
"""The last frame is through when no result has come for this long after the end of the bag."""
DRAIN_TIMEOUT_S = 30.0
BUILT_IN_WORLD = "tinybev_training.world.demo_scene"
"""The command that renders the scene which is played where none is named; run by name, as this room does not import
the training code."""
BUILT_IN_VERSION = "v1.0-world"


@dataclass(frozen=True)
class Input:
    """What is played.

    Attributes:
        bag: the rosbag2.
        source: where it comes from, in words.
        duration_s: its length.
        cameras: how many of the six cameras have images in it.
    """

    bag: Path
    source: str
    duration_s: float
    cameras: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``tinybev demo``."""
    parser.add_argument(
        "--dataroot",
        type=Path,
        help="folder of a nuScenes-format dataset to play a scene of; without it and --bag: a synthetic scene",
    )
    parser.add_argument("--version", default="v1.0-mini", help="folder of its tables")
    parser.add_argument("--scene", help="scene to play; the first one where left out")
    parser.add_argument("--bag", type=Path, help="rosbag2 to play, in place of a dataset")
    parser.add_argument("--bundle", default="", help="weights and manifest; config/tinybev.yaml's where left out")
    parser.add_argument("--foxglove", default="sdk", choices=("sdk", "websocket", "off"), help="Foxglove server")
    parser.add_argument("--rate", default="1.0", help="speed of playback")
    parser.add_argument("--loop", action="store_true", help="play again and again until Ctrl-C")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the pictures, bags and summary")


def run(args: argparse.Namespace) -> int:
    """Runs the demo; returns 0 when at least one frame came out of the node."""
    keep_to_this_machine()
    recording = prepare_input(args)
    print(f"demo: playing {recording.source}, {recording.duration_s:.1f} s, {recording.cameras} cameras")
    graph = processes(
        {
            "bag": str(recording.bag),
            "bundle": args.bundle,
            "foxglove": args.foxglove,
            "loop": "true" if args.loop else "false",
            "rate": args.rate,
            "log_level": "warn",
        }
    )
    if args.foxglove != "off":
        url = f"ws://127.0.0.1:{topics.FOXGLOVE_PORT}"
        print(f"demo: in Foxglove, open the connection {url} and import config/foxglove_layout.json")
    output_bag = args.out / "outputs"
    said, received = play_and_record(graph, recording, output_bag, endless=args.loop)
    write_json(args.out / "summary.json", summary(recording, said, received))
    pictures = draw_replay(recording.bag, output_bag, NODE, args.out)
    print_outcome(said, pictures, args.out)
    return 0 if pictures.frames else 1


def prepare_input(args: argparse.Namespace) -> Input:
    """The bag to play: the one named, or the scene of a dataset, converted; a synthetic scene where none is named.

    Raises:
        UserError: both are named, or what is named cannot be read.
    """
    if args.bag is not None and args.dataroot is not None:
        raise UserError("expected one recording to play, got a dataset and a bag; name DATAROOT or BAG, not both.")
    if args.bag is not None:
        return describe(args.bag, str(args.bag))
    dataroot, version = args.dataroot, args.version
    if dataroot is None:
        dataroot, version = built_in_world(args), BUILT_IN_VERSION
    with absence_as_user_error():
        from tinybev_ros.nuscenes2bag import convert_scene  # the devkit is only needed here
        from tinybev_ros.nuscenes_dataset import open_dataset

    nusc = open_dataset(dataroot, version)
    scene = args.scene or nusc.scene[0]["name"]
    conversion = convert_scene(nusc, scene, args.out / "input" / scene, overwrite=True)
    print("\n".join(f"demo: {line}" for line in conversion.lines()))
    return describe(conversion.bag, f"{scene} of {version}")


def built_in_world(args: argparse.Namespace) -> Path:
    """Folder of the synthetic dataset, rendered when it is not there yet.

    Raises:
        UserError: it cannot be rendered, for the reason that is printed.
    """
    dataroot = Path(args.out / "world")
    print("demo: no DATAROOT and no BAG: playing a scene of the synthetic world")
    if run_command(BUILT_IN_WORLD, ["--out", str(dataroot)], "tinybev demo"):
        raise UserError(
            "the synthetic scene was not rendered, see above; name a recording instead: "
            "DATAROOT=<nuScenes-format folder> VERSION=<v1.0-mini> SCENE=<scene-0061>, or BAG=<rosbag2>."
        )
    return dataroot


def describe(path: Path, source: str) -> Input:
    """What is in a bag."""
    with open_bag(path) as bag:
        cameras = sum(topics.camera_image_topic(camera) in bag.topics for camera in CAMERAS)
        if cameras == 0:
            raise UserError(
                f"{path} has no images on {topics.camera_image_topic(CAMERAS[0])} and the like; "
                "expected a recording with camera pictures, check that the dataset's sample files are on the disk."
            )
        return Input(path, source, (bag.end_ns - bag.start_ns) / 1e9, cameras)


def play_and_record(
    graph: Sequence[Process], recording: Input, output_bag: Path, *, endless: bool
) -> tuple[Report, Mapping[str, int]]:
    """Runs the graph and records what the node says, from before the first frame to its last word.

    Args:
        graph: from ``bringup.processes``: the node first, the player last.
        recording: what is played.
        output_bag: the bag to write; one that exists is replaced.
        endless: until Ctrl-C.

    Returns:
        The node's last word on its run, and how many messages were received by topic.

    Raises:
        UserError: the node or the player ended before the recording did, or the node never said anything.
    """
    *others, player = graph
    with (
        writing_bag(output_bag, BagFormat(), overwrite=True) as bag,
        Recorder(bag, RECORDED, NODE) as recorder,
        running(others, sink=sys.stderr) as started,
    ):
        node = started[0].child
        try:
            while not recorder.sees_publishers:  # so that the first result is recorded too
                refuse_early_end(node)
                time.sleep(0.05)
            with running([player], sink=sys.stderr) as (playing,):
                follow(node, playing.child, recorder, recording, endless=endless)
        except KeyboardInterrupt:
            print("demo: stopped, going on with what there is", file=sys.stderr)
        # The node says its last word on /diagnostics when it stops: the recorder outlives it.
        stop([node])
    if recorder.report is None or recorder.report.weights is None:
        raise UserError(f"nothing of {NODE} came on {diagnostics.TOPIC}, so there is nothing to sum up; see above.")
    return recorder.report, recorder.counts


def follow(
    node: subprocess.Popen[str],
    player: subprocess.Popen[str],
    recorder: Recorder,
    recording: Input,
    *,
    endless: bool,
) -> None:
    """Waits, with a progress bar of the recording's time, until it has ended and the last result has come.

    Raises:
        UserError: the node or the player ended before the recording did.
    """
    with tqdm(total=None if endless else round(recording.duration_s, 1), unit="s", desc="playing", disable=None) as bar:
        first_ns = 0
        while player.poll() is None:
            refuse_early_end(node)
            now_ns = recorder.sim_time_ns
            first_ns = first_ns or now_ns
            bar.n = round((now_ns - first_ns) / 1e9, 1)
            bar.set_postfix(results=recorder.counts[LAST_OUTPUT])
            time.sleep(0.2)
    if player.returncode:
        raise UserError(f"playback ended with status {player.returncode}; see above.")
    last_change, seen, deadline = time.monotonic(), -1, time.monotonic() + DRAIN_TIMEOUT_S
    while time.monotonic() < min(last_change + QUIET_S, deadline) and node.poll() is None:
        if recorder.counts[LAST_OUTPUT] != seen:
            seen, last_change = recorder.counts[LAST_OUTPUT], time.monotonic()
        time.sleep(0.1)


def refuse_early_end(node: subprocess.Popen[str]) -> None:
    """Raises a UserError where the node is gone."""
    if node.poll() is not None:
        raise UserError(f"the node ended with status {node.returncode} before the recording did; see above.")


def summary(recording: Input, said: Report, received: Mapping[str, int]) -> dict[str, object]:
    """The content of ``summary.json``; ``received`` counts messages by topic."""
    import torch

    frames = ("assembled", "partial", "inferred", "dropped")
    return {
        "input": {"source": recording.source, "duration_s": recording.duration_s, "cameras": recording.cameras},
        "frames": {name: getattr(said.counts, name) for name in frames},
        "topics": dict(received),
        "latency_ms": {stage: asdict(times) for stage, times in said.stages.items()},
        "weights": asdict(said.weights) if said.weights else None,
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "torch": torch.__version__,
        },
    }


def write_json(path: Path, content: object) -> None:
    """Writes JSON that is whole or not there."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


def print_outcome(said: Report, pictures: Pictures, out: Path) -> None:
    """Prints rates and latencies, and where everything lies."""
    counts = said.counts
    print(
        f"demo: frames       {counts.assembled} assembled, {counts.partial} partial, {counts.inferred} inferred, "
        f"{counts.dropped} dropped for newer ones"
    )
    for stage, times in said.stages.items():
        print(f"demo: {stage:<12} p50 {times.p50:7.1f} ms   p95 {times.p95:7.1f} ms")
    if said.weights is not None:
        print(f"demo: weights      {said.weights.name}, trained on {said.weights.trained_on}")
    for path in (*pictures.frames, pictures.video, out / "outputs", out / "summary.json"):
        if path is not None:
            print(f"demo: wrote        {path}")
