"""What can stand or move in the world: every model of vehicle, person and street object that gets a box."""

from __future__ import annotations

from dataclasses import dataclass

from tinybev.types import DETECTION_CLASSES


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: what it is.
        category: nuScenes' category.
        detection_class: one of ``DETECTION_CLASSES``.
        size: length, width, height in metres; a rider counts to a two-wheeler.
        traffic_class: SUMO's vClass for the models that drive; empty for those that only stand.
        share: relative frequency in moving traffic.
        parks: relative frequency among what is parked at the kerb.
    """

    name: str
    category: str
    detection_class: str
    size: tuple[float, float, float]
    traffic_class: str = ""
    share: float = 0.0
    parks: float = 0.0

    @property
    def class_id(self) -> int:
        """Index into ``DETECTION_CLASSES``."""
        return DETECTION_CLASSES.index(self.detection_class)


MODELS: tuple[Model, ...] = (
    Model("hatchback", "vehicle.car", "car", (4.0, 1.76, 1.50), "passenger", 22, 26),
    Model("sedan", "vehicle.car", "car", (4.7, 1.84, 1.46), "passenger", 24, 24),
    Model("suv", "vehicle.car", "car", (4.65, 1.94, 1.72), "passenger", 18, 18),
    Model("van", "vehicle.car", "car", (5.1, 1.98, 1.98), "delivery", 6, 8),
    Model("pickup", "vehicle.car", "car", (5.4, 1.98, 1.82), "passenger", 4, 5),
    Model("box_truck", "vehicle.truck", "truck", (7.4, 2.45, 3.25), "truck", 6, 3),
    Model("tractor", "vehicle.truck", "truck", (6.0, 2.50, 3.50), "trailer", 3, 0),
    Model("trailer", "vehicle.trailer", "trailer", (9.6, 2.50, 3.80), "", 0, 1.5),
    Model("bus", "vehicle.bus.rigid", "bus", (11.6, 2.55, 3.15), "bus", 4, 0.7),
    Model("excavator", "vehicle.construction", "construction_vehicle", (6.4, 2.60, 3.10)),
    Model("motorcycle", "vehicle.motorcycle", "motorcycle", (2.1, 0.80, 1.68), "motorcycle", 6),
    Model("bicycle", "vehicle.bicycle", "bicycle", (1.78, 0.60, 1.74), "bicycle", 9),
    Model("parked_motorcycle", "vehicle.motorcycle", "motorcycle", (2.1, 0.76, 1.18), "", 0, 5),
    Model("parked_bicycle", "vehicle.bicycle", "bicycle", (1.78, 0.52, 1.08), "", 0, 4),
    Model("adult", "human.pedestrian.adult", "pedestrian", (0.78, 0.66, 1.74), "pedestrian", 1),
    Model("child", "human.pedestrian.child", "pedestrian", (0.58, 0.50, 1.28), "pedestrian", 0.12),
    Model("traffic_cone", "movable_object.trafficcone", "traffic_cone", (0.38, 0.38, 0.76)),
    Model("barrier", "movable_object.barrier", "barrier", (0.50, 1.90, 1.02)),
)
EGO_MODEL = Model("ego", "vehicle.car", "car", (4.1, 1.75, 1.56), "passenger")
EGO_REAR_AXLE_TO_CENTER = 1.2
"""base_link is on the ground under the rear axle, as nuScenes' ego frame; the middle of the car is this far ahead."""
EGO_WHEELBASE = 2.59
"""Of a Renault Zoe, the car of nuScenes."""

MODEL_IDS: dict[str, int] = {model.name: index for index, model in enumerate(MODELS)}
