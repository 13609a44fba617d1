"""Messages of recordings, which may be damaged."""

from __future__ import annotations

from typing import TypeVar

from rclpy.serialization import deserialize_message

from tinybev_ros.bag import BagMessage
from tinybev_ros.complaints import Complaints

T = TypeVar("T")


def read_message(message: BagMessage, message_type: type[T], complaints: Complaints) -> T | None:
    """The message; None, and a complaint about its topic, where it is damaged."""
    subject = f"{message.topic} message"
    try:
        read: T = deserialize_message(message.data, message_type)
    except RuntimeError as error:  # rclpy's RMWError, which has no public name
        said = str(error).splitlines()[0]
        complaints.raise_about(subject, f"expected one that can be deserialized, got {said}; it is skipped.")
        return None
    complaints.settle(subject)
    return read
