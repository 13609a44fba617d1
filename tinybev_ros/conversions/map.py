"""The map's polylines."""

from __future__ import annotations

from std_msgs.msg import Header

import tinybev_ros.msg as msgs
from tinybev.types import MapClass, MapSegment, MapSegments, WeightsInfo
from tinybev_ros.conversions.geometry import msg_to_points, points_to_msg
from tinybev_ros.conversions.objects import model_info_to_msg


def map_segments_to_msg(map_segments: MapSegments, header: Header, weights: WeightsInfo) -> msgs.MapSegments:
    """The polylines; the masks and their grid stay behind."""
    segments = [
        msgs.MapSegment(
            map_class=int(segment.map_class),
            class_name=segment.map_class.name.lower(),
            score=float(segment.score),
            closed=segment.closed,
            points=points_to_msg(segment.points),
        )
        for segment in map_segments.segments
    ]
    return msgs.MapSegments(header=header, model=model_info_to_msg(weights), segments=segments)


def msg_to_map_segments(message: msgs.MapSegments) -> tuple[MapSegment, ...]:
    """The polylines of a message."""
    return tuple(
        MapSegment(
            map_class=MapClass(segment.map_class),
            points=msg_to_points(segment.points),
            score=segment.score,
            closed=segment.closed,
        )
        for segment in message.segments
    )
