"""Jobs run as processes: in order, once, and stopped in good order."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tinybev_training.reproduce.job import Job, check_made, read_record, write_record
from tinybev_training.reproduce.runner import Runner

from tinybev.errors import UserError


def summary_job(name: str, folder: Path, *after: str, variant: str = "nano") -> Job:
    """A short command that leaves a file."""
    path = folder / f"{name}.json"
    return Job(name, ("model", variant, "--json", str(path)), path, after)


def test_what_is_needed_is_made_first_and_what_is_there_stays(tmp_path: Path) -> None:
    jobs = [
        summary_job("last", tmp_path, "first", "there"),
        summary_job("first", tmp_path),
        summary_job("there", tmp_path),
    ]
    (tmp_path / "there.json").write_text("as it was")
    Runner(tmp_path, "cpu", 2).run(jobs)
    assert (tmp_path / "there.json").read_text() == "as it was"
    first, last = (tmp_path / f"{name}.json" for name in ("first", "last"))
    assert first.stat().st_mtime_ns < last.stat().st_mtime_ns
    assert read_record(tmp_path, "there") is None
    record = read_record(tmp_path, "last")
    assert record is not None
    assert record.command == f"tinybev model nano --json {last}"
    assert record.seconds > 0
    assert record.side_by_side == 2
    assert record.done
    write_record(tmp_path, "last", replace(record, seconds=9999.0))
    (tmp_path / "last.json").unlink()
    Runner(tmp_path, "cpu", 2).run(jobs)
    again = read_record(tmp_path, "last")
    assert again is not None
    assert again.seconds < 9999  # what is made again begins anew
    assert "backbone" in (tmp_path / "logs" / "last.log").read_text()


def test_what_another_command_made_is_no_result(tmp_path: Path) -> None:
    job = summary_job("first", tmp_path)
    check_made(tmp_path, [job])  # nothing is there
    Runner(tmp_path, "cpu", 1).run([job])
    check_made(tmp_path, [job])
    record = read_record(tmp_path, "first")
    assert record is not None
    assert record.machine.endswith((f", {os.cpu_count()} threads", ", 1 thread"))
    write_record(tmp_path, "first", replace(record, command=f"{record.command} --processes 3"))
    check_made(tmp_path, [job])  # how many share the work changes no result
    write_record(tmp_path, "first", replace(record, command=record.command.replace("nano", "mini")))
    with pytest.raises(UserError, match=r"first\.json: expected the result of `tinybev model nano .*`, it was made by"):
        check_made(tmp_path, [job])


def test_a_job_that_fails_is_named_with_what_it_said_and_only_what_needs_it_is_left_out(tmp_path: Path) -> None:
    jobs = [
        summary_job("broken", tmp_path, variant="huge"),
        summary_job("next", tmp_path, "broken"),
        summary_job("last", tmp_path, "next"),
        summary_job("other", tmp_path),
    ]
    said = r"broken ended with status 2: .*got 'huge'.*broken\.log\)\.; left out after it: next, last"
    with pytest.raises(UserError, match=said):
        Runner(tmp_path, "cpu", 1).run(jobs)
    assert [(tmp_path / f"{name}.json").exists() for name in ("next", "last", "other")] == [False, False, True]


def test_told_to_stop_it_stops_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    started = tmp_path / "pipe"
    os.mkfifo(started)  # opening it waits for the other side: the job runs until it is stopped
    jobs = [
        Job("endless", ("eval", "--compare", str(started)), tmp_path / "never"),
        summary_job("next", tmp_path, "endless"),
    ]
    runner = Runner(tmp_path, "cpu", 1)

    def stop_when_it_reads() -> None:
        with started.open("w"):  # returns when the job has opened its end
            os.kill(os.getpid(), signal.SIGTERM)
            ended.wait()

    ended = threading.Event()
    watcher = threading.Thread(target=stop_when_it_reads)
    watcher.start()
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        runner.run(jobs)
    ended.set()
    watcher.join()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not (tmp_path / "next.json").exists()
    record = read_record(tmp_path, "endless")
    assert record is not None  # it was waited for
