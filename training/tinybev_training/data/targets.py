"""Surroundings -> a sample: what is drawn onto grids, and onto which."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinybev.geometry import BevGrid
from tinybev_training.data import map_masks, occupancy
from tinybev_training.data.map_masks import map_targets
from tinybev_training.data.occupancy import CellRule, occupancy_targets
from tinybev_training.data.sample import Sample
from tinybev_training.data.surroundings import Surroundings

_MAP_MARGIN_M = 5.0
"""Beyond the grid's farthest corner, so that lines and polygons are cut where no cell shows it."""


@dataclass(frozen=True)
class TargetGrids:
    """The grids of the rasterised targets, and the rule for occupied cells; the defaults are UniAD's grids."""

    map: BevGrid = map_masks.UNIAD_GRID
    occupancy: BevGrid = occupancy.UNIAD_GRID
    rule: CellRule = CellRule.CENTERS

    @property
    def map_radius_m(self) -> float:
        """How far around the ego the map is needed, however it is turned."""
        farthest = [max(abs(low), abs(high)) for low, high, _ in (self.map.x_bound, self.map.y_bound)]
        return math.hypot(*farthest) + _MAP_MARGIN_M


UNIAD_GRIDS = TargetGrids()


def draw_targets(surroundings: Surroundings, grids: TargetGrids) -> Sample:
    """Draws occupancy and map onto their grids."""
    return Sample(
        scene=surroundings.scene,
        token=surroundings.token,
        frame=surroundings.frame,
        ego=surroundings.ego,
        agents=surroundings.agents,
        occupancy=occupancy_targets(surroundings.footprints, grids.occupancy, grids.rule),
        map=map_targets(surroundings.map, grids.map),
        plan=surroundings.plan,
        lidar_points=surroundings.lidar_points,
        sweep=surroundings.sweep,
        augmented_T_base=surroundings.augmented_T_base,
    )
