"""The casters beside naive loops that try every ray with every triangle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tinybev_training.world.lidar import RINGS, STEPS, beam_directions, first_hits
from tinybev_training.world.materials import Material
from tinybev_training.world.raycast import clip_near, find_spans, nearest_hits, nearness_map
from tinybev_training.world.shadows import cast_shadows
from tinybev_training.world.shapes import box

HEIGHT, WIDTH, FOCAL = 40, 60, 45.0


def random_triangles(count: int, seed: int, spread: float) -> torch.Tensor:
    """(T, 3, 3) triangles in front of a camera, of many sizes, some cut by its edges and by the near plane."""
    g = torch.Generator().manual_seed(seed)
    center = torch.rand(count, 1, 3, generator=g) * torch.tensor([12.0, 8.0, 14.0]) - torch.tensor([6.0, 4.0, 0.5])
    return center + torch.randn(count, 3, 3, generator=g) * spread


def naive_hits(corners: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of, and distance factor to, the first triangle that each ray from the origin meets from its front."""
    best, index = np.full(len(directions), np.inf), np.full(len(directions), -1)
    for number, (a, b, c) in enumerate(corners):
        normal = np.cross(b - a, c - a)
        along = directions @ normal
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = (normal @ a) / along
            points = directions * reach[:, None]
            inside = along < 0
            for p, q in ((a, b), (b, c), (c, a)):
                inside &= np.cross(q - p, points - p) @ normal >= 0
        closer = inside & (reach > 0) & (reach < best)
        best[closer], index[closer] = reach[closer], number
    return index, best


def camera_rays() -> np.ndarray:
    v, u = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    cx, cy = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    return np.stack([(u - cx) / FOCAL, (v - cy) / FOCAL, np.ones_like(u, dtype=float)], axis=-1).reshape(-1, 3)


@pytest.mark.parametrize(("seed", "spread"), [(0, 0.3), (1, 1.5), (2, 6.0)])
def test_camera_rays_hit_what_a_naive_loop_hits(seed: int, spread: float) -> None:
    near = 0.2
    corners = random_triangles(150, seed, spread)
    piece, weights = clip_near(corners, near)
    cut = weights @ corners[piece]
    assert (cut[..., 2] > near - 1e-4).all()
    nearness = 1 / cut[..., 2]
    u = cut[..., 0] * nearness * FOCAL + (WIDTH - 1) / 2
    v = cut[..., 1] * nearness * FOCAL + (HEIGHT - 1) / 2
    hits = nearest_hits(find_spans(u, v, nearness, HEIGHT, WIDTH), HEIGHT, WIDTH)
    got = torch.where(hits.triangle >= 0, piece[hits.triangle.clamp(min=0)], -1).view(-1).numpy()

    rays = camera_rays()
    expected, depth = naive_hits(_beyond(corners.double().numpy(), near), rays)
    # A ray through an edge may go either way; there are few.
    same = got == expected
    assert same.mean() > 0.99
    hit = same & (expected >= 0)
    assert hit.sum() > 50
    np.testing.assert_allclose(1 / hits.nearness.view(-1).numpy()[hit], depth[hit], rtol=2e-3)


def _beyond(corners: np.ndarray, near: float) -> np.ndarray:
    """The naive loop has no near plane: only whole triangles are compared, the others are moved out of sight."""
    kept = corners.copy()
    cut = (corners[..., 2] <= near).any(axis=1)
    kept[cut] = corners[cut]
    return kept


def test_lidar_beams_hit_what_a_naive_loop_hits() -> None:
    g = torch.Generator().manual_seed(0)
    center = (torch.rand(200, 1, 3, generator=g) - 0.5) * torch.tensor([40.0, 40.0, 8.0])
    corners = center + torch.randn(200, 3, 3, generator=g) * 2
    beams = beam_directions()
    hit, reach = first_hits(corners, beams)
    expected, distance = naive_hits(corners.double().numpy(), beams.view(-1, 3).double().numpy())
    assert hit.shape == (RINGS, STEPS)
    same = hit.view(-1).numpy() == expected
    assert same.mean() > 0.9995
    seen = same & (expected >= 0)
    assert seen.sum() > 10_000
    np.testing.assert_allclose(reach.view(-1).numpy()[seen], distance[seen], rtol=1e-4)


def test_neighbouring_triangles_leave_no_gap() -> None:
    """A wall of two triangles, seen at any slant, covers what its outline covers: no ray slips through the diagonal."""
    g = torch.Generator().manual_seed(4)
    for _ in range(20):
        turn = float(torch.rand(1, generator=g)) - 0.5
        wall = torch.tensor([[-3.0, -2, 5], [3, -2, 5], [3, 2, 5], [-3, 2, 5]])
        wall[:, 2] += wall[:, 0] * turn
        u = wall[:, 0] / wall[:, 2] * FOCAL + WIDTH / 2 + 0.37
        v = wall[:, 1] / wall[:, 2] * FOCAL + HEIGHT / 2 + 0.21
        order = torch.tensor([[0, 3, 1], [1, 3, 2]])
        depth_map = nearness_map(find_spans(u[order], v[order], 1 / wall[:, 2][order], HEIGHT, WIDTH), HEIGHT, WIDTH)
        rows = (depth_map > 0).int()
        # Within every row the covered pixels are one run.
        assert ((rows[:, 1:] - rows[:, :-1]).abs().sum(dim=1) + rows[:, 0] + rows[:, -1] <= 2).all()


def test_a_box_throws_the_shadow_it_should() -> None:
    """Sun at 45 degrees along x: a box 2 m high darkens the ground up to 2 m beyond it, and not its roof."""
    corners = torch.from_numpy(box((2.0, 2.0, 2.0), Material.PAINT, (0, 0, 1.0)).corners).float()
    to_sun = torch.tensor([0.7071068, 0.0, 0.7071068])
    shadow = cast_shadows(corners, to_sun, torch.tensor([-8.0, -8.0]), torch.tensor([8.0, 8.0]), 0.05)
    x = torch.linspace(-6, 6, 241)
    lit = shadow.sunlit(torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)]))
    dark = x[lit < 0.5]
    assert float(dark.min()) == pytest.approx(-3.0, abs=0.15)
    assert float(dark.max()) == pytest.approx(-1.0, abs=0.2)  # the ground that the box stands on is nobody's to see
    roof = torch.tensor([[0.0], [0.0], [2.02]])
    assert float(shadow.sunlit(roof)) == 1.0
