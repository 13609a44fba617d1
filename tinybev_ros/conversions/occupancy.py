"""Occupancy, now and forecast.

Our tensors are [row = x, column = y]; ROS lays a grid out row by row with x running fastest. So cell (row, column) is
``data[column * width + row]``, with ``width`` the number of cells along x. Probabilities are rounded to a per cent.
"""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import Point, Pose
from nav_msgs.msg import MapMetaData, OccupancyGrid
from numpy.typing import NDArray
from std_msgs.msg import Header

import tinybev_ros.msg as msgs
from tinybev.geometry import BevGrid
from tinybev.types import Floats, Ints, Occupancy, WeightsInfo
from tinybev_ros.conversions.objects import model_info_to_msg

MAX_INSTANCE = 0xFFFF


def tracks_to_instances(track_ids: Ints) -> NDArray[np.uint16]:
    """Track ids of any shape as ``OccupancyForecast.instances`` holds them: ``(track_id - 1) % 65535 + 1``, 0 where 0.

    A track id has 32 bits and an instance 16. They are equal for 65535 tracks; then instances come again, from 1 on, so
    that no object becomes 0, which is none.
    """
    instances = np.zeros(track_ids.shape, dtype=np.uint16)
    occupied = np.nonzero(track_ids > 0)  # few cells are
    instances[occupied] = (track_ids[occupied] - 1) % MAX_INSTANCE + 1
    return instances


def grid_to_msg(grid: BevGrid, header: Header) -> MapMetaData:
    """Cell size, extent and origin of a grid.

    Raises:
        ValueError: the cells are not square; the message has one size for both sides.
    """
    (x_min, _, x_step), (y_min, _, y_step) = grid.x_bound, grid.y_bound
    if x_step != y_step:
        raise ValueError(f"occupancy grid: expected square cells, got {x_step} x {y_step} m")
    rows, columns = grid.shape
    origin = Pose(position=Point(x=float(x_min), y=float(y_min), z=0.0))
    return MapMetaData(map_load_time=header.stamp, resolution=float(x_step), width=rows, height=columns, origin=origin)


def msg_to_grid(info: MapMetaData) -> BevGrid:
    """The inverse of :func:`grid_to_msg`, for a grid along the axes of its frame."""
    x, y, step = info.origin.position.x, info.origin.position.y, float(info.resolution)
    return BevGrid((x, x + info.width * step, step), (y, y + info.height * step, step))


def occupancy_to_msg(occupancy: Occupancy, header: Header) -> OccupancyGrid:
    """Occupancy at the stamp (step 0) as what RViz, Nav2 and Foxglove read."""
    return OccupancyGrid(
        header=header, info=grid_to_msg(occupancy.grid, header), data=_percent(occupancy.probability[:1])
    )


def msg_to_occupancy(message: OccupancyGrid) -> tuple[Floats, BevGrid]:
    """The probability (X, Y) of an OccupancyGrid and its grid; unknown cells (-1) count as free."""
    return _probability(message.data, 1, message.info)[0], msg_to_grid(message.info)


def forecast_to_msg(occupancy: Occupancy, header: Header, weights: WeightsInfo) -> msgs.OccupancyForecast:
    """Every step of the occupancy, with the occupying objects as :func:`tracks_to_instances` says."""
    return msgs.OccupancyForecast(
        header=header,
        model=model_info_to_msg(weights),
        time_step=float(occupancy.time_step_s),
        steps=len(occupancy.probability),
        info=grid_to_msg(occupancy.grid, header),
        data=_percent(occupancy.probability),
        instances=array("H", _ros_layout(tracks_to_instances(occupancy.instances)).tobytes()),
    )


def msg_to_forecast(message: msgs.OccupancyForecast) -> Occupancy:
    """The inverse of :func:`forecast_to_msg`, to the per cent; of an occupying object its instance, not its track."""
    shape = (message.steps, message.info.height, message.info.width)
    instances = np.asarray(message.instances, dtype=np.int64).reshape(shape).swapaxes(1, 2)
    return Occupancy(
        probability=_probability(message.data, message.steps, message.info),
        instances=instances,
        grid=msg_to_grid(message.info),
        time_step_s=message.time_step,
    )


def _ros_layout(steps_TXY: NDArray) -> NDArray:
    """(T, X, Y) -> [step][y][x], contiguous."""
    return np.ascontiguousarray(steps_TXY.swapaxes(1, 2))


def _percent(probability_TXY: Floats) -> array[int]:
    percent = np.rint(np.clip(probability_TXY, 0.0, 1.0) * 100.0).astype(np.int8)
    return array("b", _ros_layout(percent).tobytes())


def _probability(data: array[int], steps: int, info: MapMetaData) -> Floats:
    percent = np.asarray(data, dtype=np.float64).reshape(steps, info.height, info.width)
    return np.maximum(percent, 0.0).swapaxes(1, 2) / 100.0
