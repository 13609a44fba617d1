"""Complaints about cameras that the synchronizer set aside, as their stamps are not on the clock of the others."""

from __future__ import annotations

from collections.abc import Mapping

from tinybev.types import CAMERAS
from tinybev_ros.complaints import Complaints


def complain_about_clocks(offsets_ns: Mapping[str, int], complaints: Complaints) -> None:
    """Complains about the cameras in ``offsets_ns``, and settles it with the others.

    Args:
        offsets_ns: how far the stamps of cameras that are set aside are ahead of the others'; negative: behind.
        complaints: that of a camera has the subject ``CAM_BACK clock`` and its like.
    """
    for camera in CAMERAS:
        subject = f"{camera} clock"
        if camera not in offsets_ns:
            complaints.settle(subject)
            continue
        offset_s = offsets_ns[camera] / 1e9
        complaints.raise_about(
            subject,
            f"its stamps are {abs(offset_s):.1f} s {'ahead of' if offset_s > 0 else 'behind'} those of the other "
            "cameras, frames go without it; expected the time of exposure on one clock in every header.stamp.",
        )
