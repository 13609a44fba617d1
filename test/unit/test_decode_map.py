"""Map polylines: drawn lines come back in metres, whatever their width; outlines enclose what was drawn."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch

from tinybev.geometry import BevGrid
from tinybev.runtime.decode.map import decode_map
from tinybev.runtime.decode.polylines import center_lines, outlines
from tinybev.runtime.decode.thinning import thin
from tinybev.types import MapClass, MapSegments

GRID = BevGrid((-51.2, 51.2, 0.512), (-25.6, 25.6, 0.512))


def decoded(map_class: MapClass, mask: np.ndarray, probability: float = 0.9) -> MapSegments:
    logit = float(np.log(probability / (1 - probability)))
    logits = torch.full((1, len(MapClass), *GRID.shape), -6.0, dtype=torch.float64)
    logits[0, map_class] = torch.where(torch.from_numpy(mask.astype(bool)), logit, -6.0)
    return decode_map(logits, GRID, 0.5)


def drawn(*points_xy: tuple[float, float], width: int, closed: bool = False) -> np.ndarray:
    """A polyline in metres, ``width`` cells wide."""
    mask = np.zeros(GRID.shape, np.uint8)
    cells = np.floor(GRID.metric_to_cell(points_xy)).astype(np.int32)
    cv2.polylines(mask, [cells[:, ::-1][:, None]], closed, 1, width)
    return mask


def distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """From each point to the nearest of the line's segments."""
    start, end = line[:-1], line[1:]
    along = ((points[:, None] - start) * (end - start)).sum(-1) / ((end - start) ** 2).sum(-1)
    nearest = start + np.clip(along, 0, 1)[..., None] * (end - start)
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1)


def dense(points: np.ndarray) -> np.ndarray:
    steps = np.linspace(0, 1, 50)[:, None]
    return np.concatenate([a + steps * (b - a) for a, b in itertools.pairwise(points)])


def thinned_by_loops(mask: np.ndarray) -> np.ndarray:
    """Zhang and Suen's algorithm as their paper words it."""
    image = np.pad(mask, 1).astype(int)
    changed = True
    while changed:
        changed = False
        for second in (False, True):
            gone = []
            for r, c in np.argwhere(image):
                ring = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
                p = [image[r + dr, c + dc] for dr, dc in ring]  # p2 to p9
                changes = sum(p[k] == 0 and p[(k + 1) % 8] == 1 for k in range(8))
                p2, p4, p6, p8 = p[0], p[2], p[4], p[6]
                one, two = (p2 * p4 * p8, p2 * p6 * p8) if second else (p2 * p4 * p6, p4 * p6 * p8)
                if 2 <= sum(p) <= 6 and changes == 1 and one == 0 and two == 0:
                    gone.append((r, c))
            for r, c in gone:
                image[r, c] = 0
            changed = changed or bool(gone)
    return image[1:-1, 1:-1]


@pytest.mark.parametrize("seed", range(4))
def test_thinning_is_zhang_and_suens(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(random.random((40, 50)), (0, 0), 2.0) > 0.5
    assert mask.any()
    assert np.array_equal(thin(mask.astype(np.uint8)), thinned_by_loops(mask))


@pytest.mark.parametrize("map_class", [MapClass.DIVIDER, MapClass.CROSSING, MapClass.BOUNDARY])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "line",
    [[(-40.0, 3.0), (40.0, 3.0)], [(-30.0, -20.0), (20.0, 15.0)], [(-40.0, -10.0), (0.0, -8.0), (25.0, 10.0)]],
    ids=["straight", "diagonal", "bent"],
)
def test_a_drawn_line_comes_back(map_class: MapClass, width: int, line: list) -> None:
    segments = decoded(map_class, drawn(*line, width=width)).segments
    assert len(segments) == 1
    segment = segments[0]
    assert segment.map_class == map_class
    assert not segment.closed
    assert segment.score == pytest.approx(0.9)
    assert 2 <= len(segment.points) <= 8
    # A line of an even number of cells has its middle between two; half a cell more for simplifying.
    assert distance_to_line(dense(segment.points), np.array(line)).max() < 1.5 * 0.512
    ends = np.array([line[0], line[-1]])
    assert distance_to_line(ends, segment.points).max() < (0.5 * width + 2) * 0.512


def test_a_ring_is_closed() -> None:
    ring = [(-10.0, -10.0), (10.0, -10.0), (10.0, 10.0), (-10.0, 10.0)]
    (segment,) = decoded(MapClass.CROSSING, drawn(*ring, width=3, closed=True)).segments
    assert segment.closed
    again = np.vstack([segment.points, segment.points[:1]])
    assert distance_to_line(dense(again), np.array([*ring, ring[0]])).max() < 1.5 * 0.512


def test_a_junction_gives_its_arms() -> None:
    mask = drawn((-30.0, 0.0), (30.0, 0.0), width=3) | drawn((0.0, 0.0), (0.0, 20.0), width=3)
    segments = decoded(MapClass.DIVIDER, mask).segments
    assert len(segments) == 3
    lengths = sorted(np.linalg.norm(np.diff(s.points, axis=0), axis=1).sum() for s in segments)
    assert lengths == pytest.approx([20.0, 30.0, 30.0], abs=3.0)


def test_two_lines_stay_two() -> None:
    mask = drawn((-30.0, -5.0), (30.0, -5.0), width=2) | drawn((-30.0, 5.0), (30.0, 5.0), width=2)
    assert len(decoded(MapClass.DIVIDER, mask).segments) == 2


def test_specks_are_no_map() -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[50, 50] = mask[80:82, 20:22] = 1
    for map_class in MapClass:
        assert decoded(map_class, mask).segments == ()


def test_the_drivable_area_is_its_outline_and_its_holes() -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[20:120, 10:60] = 1
    mask[50:80, 25:45] = 0
    segments = decoded(MapClass.DRIVABLE, mask, probability=0.8).segments
    assert len(segments) == 2
    assert all(segment.closed and segment.map_class == MapClass.DRIVABLE for segment in segments)
    assert all(segment.score > 0.5 for segment in segments)
    hole, outer = sorted(segments, key=lambda segment: np.ptp(segment.points[:, 0]))
    for segment, cells in ((outer, [[20, 10], [120, 60]]), (hole, [[50, 25], [80, 45]])):
        low, high = GRID.cell_to_metric(cells)
        assert segment.points.min(axis=0) == pytest.approx(low, abs=0.05)
        assert segment.points.max(axis=0) == pytest.approx(high, abs=0.05)


def test_a_narrow_road_is_as_long_and_wide_as_it_was_drawn() -> None:
    coarse = BevGrid((-51.2, 51.2, 0.8), (-51.2, 51.2, 0.8))
    logits = torch.full((1, len(MapClass), *coarse.shape), -6.0)
    logits[0, MapClass.DRIVABLE, 40:80, 60:65] = 6.0
    (road,) = decode_map(logits, coarse, 0.5).segments
    assert np.ptp(road.points, axis=0) == pytest.approx([32.0, 4.0])


def enclosed(points: np.ndarray) -> float:
    """What a closed polyline encloses, below 0 around a hole."""
    after = np.roll(points, -1, axis=0)
    return float((points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]).sum()) / 2


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_an_area_at_any_angle_and_its_hole_are_as_large_as_their_cells(degrees: float) -> None:
    angle, (rows, columns) = np.radians(degrees), np.mgrid[0:120, 0:120] - 60.0
    along, across = np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows
    is_hole = (np.abs(along) < 20) & (np.abs(across) < 10)
    mask = ((np.abs(along) < 45) & (np.abs(across) < 25) & ~is_hole).astype(np.uint8)
    inner, outer = sorted(enclosed(outline.points) for outline in outlines(mask))
    assert -inner == pytest.approx(is_hole.sum(), rel=0.03)
    assert outer == pytest.approx(mask.sum() + is_hole.sum(), rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_ragged_areas_enclose_their_cells(seed: int) -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(GRID.shape), (0, 0), 3.0)
    mask = (noise > 0.5).astype(np.uint8)
    assert sum(enclosed(outline.points) for outline in outlines(mask)) == pytest.approx(mask.sum(), rel=0.03)


def test_what_is_one_cell_wide_keeps_its_width() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:15, 5:15] = mask[10, 15:30] = 1  # a square with a spike
    (outline,) = outlines(mask)
    assert outline.points.max(axis=0) == pytest.approx([15.0, 30.0])
    assert enclosed(outline.points) == pytest.approx(mask.sum(), rel=0.05)


def test_masks_are_probabilities_on_their_grid() -> None:
    result = decoded(MapClass.DIVIDER, drawn((-40.0, 3.0), (40.0, 3.0), width=2), probability=0.7)
    assert result.masks.shape == (4, *GRID.shape)
    assert result.grid == GRID
    assert result.masks.max() == pytest.approx(0.7)


@pytest.mark.parametrize("seed", range(3))
def test_noise_gives_lines_within_the_grid(seed: int) -> None:
    mask = (np.random.default_rng(seed).random(GRID.shape) > 0.6).astype(np.uint8)
    for polyline in (*center_lines(mask), *outlines(mask)):
        assert len(polyline.points) >= 2
        assert (polyline.points >= 0).all()
        assert (polyline.points <= GRID.shape).all()
        assert mask[polyline.cells[:, 0], polyline.cells[:, 1]].all()


def test_an_all_filled_mask_ends() -> None:
    assert len(list(outlines(np.ones(GRID.shape, np.uint8)))) == 1
    list(center_lines(np.ones(GRID.shape, np.uint8)))


def test_polylines_survive_our_messages() -> None:
    pytest.importorskip("tinybev_ros.msg", reason="needs the built messages")
    from std_msgs.msg import Header

    from tinybev.types import WeightsInfo
    from tinybev_ros import conversions

    result = decoded(MapClass.BOUNDARY, drawn((-40.0, -10.0), (0.0, -8.0), (25.0, 10.0), width=2))
    message = conversions.map_segments_to_msg(result, Header(), WeightsInfo("n", "nothing", "0" * 64))
    (segment,) = conversions.msg_to_map_segments(message)
    assert segment.points == pytest.approx(result.segments[0].points, abs=1e-9)
    assert segment.map_class == MapClass.BOUNDARY


def test_lines_that_nobody_asks_for_are_not_looked_for() -> None:
    logits = torch.full((1, len(MapClass), *GRID.shape), 3.0)
    whole, masks_alone = decode_map(logits, GRID, 0.5), decode_map(logits, GRID, 0.5, segments=False)
    assert whole.segments
    assert masks_alone.segments == ()
    assert np.array_equal(masks_alone.masks, whole.masks)
