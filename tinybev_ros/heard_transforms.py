"""Messages of the transform tree -> the buffer; a transform that cannot be used is left out with a sentence."""

from __future__ import annotations

from tf2_msgs.msg import TFMessage

from tinybev.transform_buffer import TransformBuffer
from tinybev_ros.complaints import Complaints
from tinybev_ros.conversions import msg_to_frame_id, msg_to_stamp, msg_to_transform


def take_transforms(message: TFMessage, static: bool, transforms: TransformBuffer, complaints: Complaints) -> None:
    """Adds the transforms of one message of /tf_static (``static``) or /tf."""
    for transform in message.transforms:
        parent, child = msg_to_frame_id(transform.header), transform.child_frame_id.lstrip("/")
        subject = f"transform {parent} -> {child}"
        try:
            parent_T_child = msg_to_transform(transform.transform)
        except ValueError as error:
            complaints.raise_about(subject, f"{error}; it is ignored.")
            continue
        complaints.settle(subject)
        if static:
            transforms.set_static(parent, child, parent_T_child)
        else:
            transforms.set_dynamic(parent, child, msg_to_stamp(transform.header.stamp), parent_T_child)
