"""Jobs as processes of their own, some at a time, each as soon as what it needs is there; what is done stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from tinybev.errors import UserError
from tinybev_training.eval.speed import device_name
from tinybev_training.reproduce.job import Job, Record, read_record, write_record

NOTED_EVERY_S = 60.0
"""How long a job has run is written down this often; killed, we lose no more of it."""


@dataclass
class Runner:
    """Runs jobs.

    Attributes:
        folder: of the experiment; logs and records go there.
        device: "cpu" or "cuda", for the records.
        at_once: jobs at the same time.
    """

    folder: Path
    device: str
    at_once: int
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)
    _stopped: bool = field(default=False, init=False)

    def run(self, jobs: Sequence[Job]) -> None:
        """Runs what is not done yet; SIGINT and SIGTERM let every running job stop in good order.

        Raises:
            UserError: a job failed; everything that does not need it has been run.
            KeyboardInterrupt: it was told to stop.
        """
        todo = [job for job in jobs if not job.makes.exists()]
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            with (
                tqdm(total=len(jobs), initial=len(jobs) - len(todo), unit="job", desc="reproducing") as bar,
                ThreadPoolExecutor(self.at_once) as pool,
            ):
                self._run(todo, pool, bar)
        finally:
            signal.signal(signal.SIGTERM, before)

    def _run(self, todo: list[Job], pool: ThreadPoolExecutor, bar: tqdm[None]) -> None:
        running: dict[Future[float], Job] = {}
        failures: dict[str, UserError] = {}
        try:
            while True:
                missing = {*(job.name for job in (*todo, *running.values())), *failures}
                ready = [job for job in todo if not missing.intersection(job.after)]
                for job in ready[: self.at_once - len(running)]:
                    todo.remove(job)
                    running[pool.submit(self._start, job)] = job
                if not running:
                    break
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = running.pop(future)
                    try:
                        bar.write(f"{job.name}: done in {future.result() / 60:.1f} min")
                    except UserError as error:  # other jobs may have run for hours
                        bar.write(str(error))
                        failures[job.name] = error
                    bar.update()
        except BaseException:
            self._stop()
            raise
        if failures:
            left_out = f"; left out after it: {', '.join(job.name for job in todo)}" if todo else ""
            raise UserError("; ".join(map(str, failures.values())) + left_out)

    def _stop(self) -> None:
        self._stopped = True
        for process in list(self._processes.values()):
            process.terminate()  # training writes a checkpoint; the others have whole files only

    def _start(self, job: Job) -> float:
        """Runs a job; returns the seconds it took, over all starts."""
        if self._stopped:
            raise UserError(f"{job.name}: not started.")
        log = self.folder / "logs" / f"{job.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // self.at_once)
        earlier = read_record(self.folder, job.name)
        # What was done once and is made again begins anew.
        before = earlier.seconds if earlier and not earlier.done else 0.0
        started = time.monotonic()

        def note(done: bool) -> float:
            seconds = before + time.monotonic() - started
            machine = device_name(self.device, threads)
            write_record(self.folder, job.name, Record(job.text, seconds, machine, self.at_once, done))
            return seconds

        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tinybev.cli", *job.command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                start_new_session=True,  # Ctrl-C comes to us alone, and we stop it
            )
            self._processes[job.name] = process
            while True:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(NOTED_EVERY_S)
                seconds = note(process.returncode == 0 and job.makes.exists())
                if process.returncode is not None:
                    break
            del self._processes[job.name]
        if process.returncode and not self._stopped:
            raise UserError(f"{job.name} ended with status {process.returncode}: {_last_line(log)} (all of it: {log}).")
        return seconds


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _last_line(log: Path) -> str:
    """The last thing a job said; progress bars rewrite their line with carriage returns."""
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
