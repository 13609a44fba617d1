"""One command of ``tinybev`` with what it needs and what it leaves, and how it went."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tinybev.errors import UserError
from tinybev_training.long_work.write_file import write_text


@dataclass(frozen=True)
class Job:
    """What is run.

    Attributes:
        name: of the job, and of its log.
        command: the arguments of ``tinybev``.
        makes: is there when the job is done, and not before.
        after: names of the jobs whose results it reads.
        run: name of the training run that it is part of; "" for what several need.
    """

    name: str
    command: tuple[str, ...]
    makes: Path
    after: tuple[str, ...] = ()
    run: str = ""

    @property
    def text(self) -> str:
        """The command as one types it."""
        return shlex.join(("tinybev", *self.command))


@dataclass(frozen=True)
class Record:
    """How a job went, kept beside its log.

    Attributes:
        command: as one types it.
        seconds: that it ran, over all starts.
        machine: on which it ended.
        side_by_side: jobs that might run at the same time.
        done: whether it ended well.
    """

    command: str
    seconds: float
    machine: str
    side_by_side: int
    done: bool = False


def record_file(folder: Path, name: str) -> Path:
    """Where the record of a job is kept."""
    return folder / "jobs" / f"{name}.json"


def write_record(folder: Path, name: str, record: Record) -> None:
    """Replaces the record of a job."""
    write_text(record_file(folder, name), json.dumps(asdict(record), indent=1) + "\n")


def read_record(folder: Path, name: str) -> Record | None:
    """How a job went; None where it never ran.

    Raises:
        UserError: the file is damaged.
    """
    path = record_file(folder, name)
    if not path.is_file():
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: expected the record of a job, got {error}; remove it.") from error


def check_made(folder: Path, jobs: Iterable[Job]) -> None:
    """Refuses what an earlier version, or another scale, has made in other ways under the same names.

    Raises:
        UserError: the record of a job whose result is there has another command.
    """
    for job in jobs:
        record = read_record(folder, job.name) if job.makes.exists() else None
        if record is not None and _what(record.command) != _what(job.text):
            raise UserError(
                f"{job.makes}: expected the result of `{job.text}`, it was made by `{record.command}`; remove it and "
                "what was made from it, or name another --out."
            )


def _what(command: str) -> list[str]:
    """The command without how many processes share the work."""
    words = shlex.split(command)
    if "--processes" in words:
        at = words.index("--processes")
        del words[at : at + 2]
    return words
