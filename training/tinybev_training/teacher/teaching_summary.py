"""``teaching.json``: what a folder of ``tinybev teach`` holds. Written last, so a folder that has it is whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tinybev.errors import UserError
from tinybev_training.long_work.write_file import write_text
from tinybev_training.teacher.sample_files import SampleFiles

SUMMARY_FILE = "teaching.json"


@dataclass(frozen=True)
class TeachingSummary:
    """What was asked, and of whom.

    Attributes:
        teacher: folder of the network, as it was named.
        digest: of its weights.
        splits: whose samples it was asked about, by all calls so far.
        silent: tokens of those of which it says nothing, as they lack images or lidar points; they have no file.
        bf16: whether it computed in bfloat16.
    """

    teacher: str
    digest: str
    splits: tuple[str, ...]
    silent: tuple[str, ...]
    bf16: bool

    def after(self, earlier: TeachingSummary | None) -> TeachingSummary:
        """This call's summary, and what an earlier one of the same network says."""
        if earlier is None or earlier.digest != self.digest:
            return self
        splits, silent = (
            tuple(dict.fromkeys((*before, *now)))
            for before, now in ((earlier.splits, self.splits), (earlier.silent, self.silent))
        )
        return TeachingSummary(self.teacher, self.digest, splits, silent, self.bf16)

    def write(self, folder: Path) -> None:
        """Writes the file.

        Raises:
            UserError: it cannot be written.
        """
        write_text(folder / SUMMARY_FILE, json.dumps(vars(self), indent=1) + "\n")

    def check_asked(self, files: SampleFiles) -> None:
        """Refuses samples about which the teacher was not asked.

        Raises:
            UserError: some have no file though the teacher would have something to say.
        """
        if unasked := files.absent - set(self.silent):
            raise UserError(
                f"--teacher {files.folder}: expected what the teacher says of every sample, it was not asked about "
                f"{len(unasked)} of them (asked were {', '.join(self.splits)}); run `tinybev teach` with their split "
                "and the same --out."
            )


def read_summary(folder: Path) -> TeachingSummary | None:
    """The summary in ``folder``; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    path = folder / SUMMARY_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return TeachingSummary(
            str(values["teacher"]),
            str(values["digest"]),
            tuple(map(str, values["splits"])),
            tuple(map(str, values.get("silent", ()))),
            bool(values["bf16"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: expected what `tinybev teach` writes when it is done, it cannot be read ({error!r}); run "
            "`tinybev teach` again, which writes what is missing."
        ) from error
