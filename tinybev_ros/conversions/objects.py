"""Detected objects, their predicted trajectories, and the weights that every result names."""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import Vector3
from std_msgs.msg import Header

import tinybev_ros.msg as msgs
from tinybev.geometry import Array
from tinybev.types import ATTRIBUTES, DETECTION_CLASSES, Detections, Trajectories, WeightsInfo
from tinybev_ros.conversions.geometry import points_to_msg, pose_to_msg, yaw_from_msg


def model_info_to_msg(weights: WeightsInfo) -> msgs.ModelInfo:
    """The weights of a result."""
    return msgs.ModelInfo(
        name=weights.name, trained_on=weights.trained_on, trained=weights.trained, sha256=weights.sha256
    )


def msg_to_model_info(message: msgs.ModelInfo) -> WeightsInfo:
    """The inverse of :func:`model_info_to_msg`; ``trained`` follows from ``trained_on``."""
    return WeightsInfo(name=message.name, trained_on=message.trained_on, sha256=message.sha256)


def detections_to_msg(detections: Detections, header: Header, weights: WeightsInfo) -> msgs.DetectedObjects:
    """Boxes in base_link, in the order in which they come (highest score first)."""
    objects = []
    for n in range(len(detections)):
        attribute = int(detections.attribute_ids[n])
        length, width, height = (float(value) for value in detections.sizes[n])
        vx, vy = (float(value) for value in detections.velocities[n])
        objects.append(
            msgs.DetectedObject(
                track_id=int(detections.track_ids[n]),
                class_id=int(detections.class_ids[n]),
                class_name=DETECTION_CLASSES[int(detections.class_ids[n])],
                attribute=ATTRIBUTES[attribute] if attribute >= 0 else "",
                score=float(detections.scores[n]),
                pose=pose_to_msg(detections.centers[n], float(detections.yaws[n])),
                size=Vector3(x=length, y=width, z=height),
                velocity=Vector3(x=vx, y=vy, z=0.0),
            )
        )
    return msgs.DetectedObjects(header=header, model=model_info_to_msg(weights), objects=objects)


def msg_to_detections(message: msgs.DetectedObjects) -> Detections:
    """The inverse of :func:`detections_to_msg`; yaws come back in (-pi, pi]."""
    objects = message.objects
    return Detections(
        centers=_rows([(o.pose.position.x, o.pose.position.y, o.pose.position.z) for o in objects], 3),
        sizes=_rows([(o.size.x, o.size.y, o.size.z) for o in objects], 3),
        yaws=np.array([yaw_from_msg(o.pose) for o in objects], dtype=np.float64),
        velocities=_rows([(o.velocity.x, o.velocity.y) for o in objects], 2),
        scores=np.array([o.score for o in objects], dtype=np.float64),
        class_ids=np.array([o.class_id for o in objects], dtype=np.int64),
        attribute_ids=np.array([ATTRIBUTES.index(o.attribute) if o.attribute else -1 for o in objects], dtype=np.int64),
        track_ids=np.array([o.track_id for o in objects], dtype=np.int64),
    )


def trajectories_to_msg(
    trajectories: Trajectories, detections: Detections, header: Header, weights: WeightsInfo
) -> msgs.PredictedTrajectories:
    """The futures of the agents, most probable mode first; height and score of an agent are its detection's."""
    agents = []
    for n in range(len(trajectories)):
        modes = []
        for k in np.argsort(-trajectories.probabilities[n], kind="stable"):
            modes.append(
                msgs.PredictedMode(
                    probability=float(trajectories.probabilities[n, k]),
                    positions=points_to_msg(trajectories.positions[n, k], z=float(detections.centers[n, 2])),
                    sigma_x=array("f", trajectories.sigmas[n, k, :, 0].tolist()),
                    sigma_y=array("f", trajectories.sigmas[n, k, :, 1].tolist()),
                )
            )
        agents.append(
            msgs.PredictedTrajectory(
                track_id=int(trajectories.track_ids[n]),
                class_id=int(trajectories.class_ids[n]),
                class_name=DETECTION_CLASSES[int(trajectories.class_ids[n])],
                score=float(detections.scores[n]),
                modes=modes,
            )
        )
    return msgs.PredictedTrajectories(
        header=header,
        model=model_info_to_msg(weights),
        time_step=float(trajectories.time_step_s),
        trajectories=agents,
    )


def msg_to_trajectories(message: msgs.PredictedTrajectories) -> Trajectories:
    """The inverse of :func:`trajectories_to_msg`; modes stay most probable first."""
    agents = message.trajectories
    modes = len(agents[0].modes) if agents else 0
    steps = len(agents[0].modes[0].positions) if modes else 0
    positions = [[[(p.x, p.y) for p in mode.positions] for mode in agent.modes] for agent in agents]
    sigmas = [[list(zip(mode.sigma_x, mode.sigma_y, strict=True)) for mode in agent.modes] for agent in agents]
    shape = (len(agents), modes, steps, 2)
    return Trajectories(
        positions=np.array(positions, dtype=np.float64).reshape(shape),
        sigmas=np.array(sigmas, dtype=np.float64).reshape(shape),
        probabilities=np.array(
            [[mode.probability for mode in agent.modes] for agent in agents], dtype=np.float64
        ).reshape(shape[:2]),
        track_ids=np.array([agent.track_id for agent in agents], dtype=np.int64),
        class_ids=np.array([agent.class_id for agent in agents], dtype=np.int64),
        time_step_s=message.time_step,
    )


def _rows(rows: list[tuple[float, ...]], columns: int) -> Array:
    """(N, columns), also where N is 0."""
    return np.array(rows, dtype=np.float64).reshape(-1, columns)
