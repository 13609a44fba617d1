"""Where the vehicle of each occupied cell came from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tinybev.geometry import BevGrid
from tinybev_training.data.batch import AgentBatch


class FlowTargets(NamedTuple):
    """See ``OccupancyOutputs.flow_BT2XY``; ``mask_BTXY`` is where there is a vehicle whose earlier centre is known."""

    flow_BT2XY: Tensor
    mask_BTXY: Tensor


def flow_targets(occupancy_BTXY: Tensor, agents: AgentBatch, grid: BevGrid) -> FlowTargets:
    """From each occupied cell to the centre that its vehicle had one step before, at step 0 that it has now; metres.

    A vehicle that is not annotated now has no known centres.
    """
    batch, steps = occupancy_BTXY.shape[:2]
    x, y = (torch.from_numpy(axis).to(agents.centers_BA3) for axis in grid.cell_centers())
    cell_2XY = torch.stack(torch.meshgrid(x, y, indexing="ij"))
    if not agents.mask_BA.shape[1]:
        flow = cell_2XY.new_zeros(batch, steps, *cell_2XY.shape)
        return FlowTargets(flow, torch.zeros_like(occupancy_BTXY, dtype=torch.bool))
    # Searching sorted ids needs no table as large as the largest id; padding, 0, is the id of free cells.
    track_BA, order_BA = agents.track_ids_BA.masked_fill(~agents.mask_BA, 0).sort(dim=1)
    id_BF = occupancy_BTXY.flatten(1).to(track_BA.dtype)
    found_BF = torch.searchsorted(track_BA, id_BF).clamp(max=track_BA.shape[1] - 1)
    is_agent_BTF = ((track_BA.gather(1, found_BF) == id_BF) & (id_BF > 0)).unflatten(1, (steps, -1))
    row_BTF = order_BA.gather(1, found_BF).unflatten(1, (steps, -1))
    now_BA12 = agents.centers_BA3[:, :, None, :2]
    before_BAT2 = torch.cat([now_BA12, now_BA12, agents.futures_BAT2], dim=2)[:, :, :steps]
    known_BA1 = agents.mask_BA[:, :, None]
    before_known_BAT = torch.cat([known_BA1, known_BA1, agents.futures_mask_BAT], dim=2)[:, :, :steps]
    before_BTF2 = before_BAT2.transpose(1, 2).gather(2, row_BTF[..., None].expand(-1, -1, -1, 2))
    mask_BTF = is_agent_BTF & before_known_BAT.transpose(1, 2).gather(2, row_BTF)
    before_BT2XY = before_BTF2.transpose(2, 3).unflatten(3, grid.shape)
    mask_BTXY = mask_BTF.unflatten(2, grid.shape)
    return FlowTargets(torch.where(mask_BTXY[:, :, None], before_BT2XY - cell_2XY, 0.0), mask_BTXY)
