"""``tinybev up``: starts what the launch file starts, from the same list, on machines without ``ros2 launch``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import IO

from tinybev.errors import UserError
from tinybev_ros.bringup import ARGUMENTS, Process, processes, ros_arguments

STOP_TIMEOUT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The launch file's arguments, as options."""
    for argument in ARGUMENTS:
        parser.add_argument(
            f"--{argument.name.replace('_', '-')}",
            dest=argument.name,
            default=argument.default,
            choices=argument.choices or None,
            help=argument.description,
        )


def run(args: argparse.Namespace) -> int:
    """Runs the graph until Ctrl-C, or until a required process ends; returns that one's status."""
    graph = processes({argument.name: getattr(args, argument.name) for argument in ARGUMENTS})
    with running(graph) as started:
        alive = list(started)
        while True:
            for ended in [item for item in alive if item.child.poll() is not None]:
                alive.remove(ended)
                name, status = ended.process.name, ended.child.returncode
                if ended.process.required:
                    print(f"tinybev up: {name} ended with status {status}; stopping.", file=sys.stderr)
                    return 1 if status else 0
                print(f"tinybev up: {name} ended with status {status}; the rest goes on.", file=sys.stderr)
            time.sleep(0.2)


@dataclass(frozen=True)
class RunningProcess:
    """A process of the graph and the child that runs it."""

    process: Process
    child: subprocess.Popen[str]


@contextmanager
def running(graph: Sequence[Process], *, sink: IO[str] | None = None) -> Iterator[list[RunningProcess]]:
    """The processes of ``graph``, stopped at the end as Ctrl-C would; their output goes, prefixed, to ``sink``.

    Raises:
        UserError: a process belongs to a package that only a ROS 2 installation brings.
    """
    started: list[RunningProcess] = []
    with _ended_by_signals():
        try:
            for process in graph:
                started.append(RunningProcess(process, _start(process, sink or sys.stdout)))
            yield started
        finally:
            stop([running_process.child for running_process in started])


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into what Ctrl-C is, so that they too leave no process behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def stop(children: Sequence[subprocess.Popen[str]]) -> None:
    """Interrupts the children, and after ``STOP_TIMEOUT_S``, or at another Ctrl-C, kills those that do not end."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.kill()
            child.wait()


def _start(process: Process, sink: IO[str]) -> subprocess.Popen[str]:
    if process.module is None:
        raise UserError(
            f"{process.package} belongs to a ROS 2 installation and is started by "
            "`ros2 launch tinybev_ros tinybev.launch.py`; without one use --foxglove sdk."
        )
    child = subprocess.Popen(
        [sys.executable, "-m", process.module, *ros_arguments(process)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # Ctrl-C reaches us alone, and we stop the children in order
    )
    threading.Thread(target=_forward, args=(child, process.name, sink), daemon=True).start()
    return child


def _forward(child: subprocess.Popen[str], name: str, sink: IO[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        print(f"[{name}] {line.rstrip()}", file=sink, flush=True)
