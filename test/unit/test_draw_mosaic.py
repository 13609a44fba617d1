"""The whole picture: tiles in their places, banner, missing and unreadable cameras, the real street."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_scene import camera_frame, colors, detections, frame_of

from tinybev.draw.camera_projection import CameraProjection
from tinybev.draw.layout import MIN_WIDTH, TILES, Layout
from tinybev.draw.legend import draw_legend, entries
from tinybev.draw.mosaic import draw_mosaic, read_scaled
from tinybev.draw.overlay import Overlay
from tinybev.draw.palette import BANNER, DETECTION_COLORS, MAP_COLORS, MISSING, bgr
from tinybev.geometry import BevGrid, invert, quaternion_from_wxyz, transform_from
from tinybev.types import (
    CAMERAS,
    DETECTION_CLASSES,
    CameraFrame,
    Frame,
    Goal,
    MapClass,
    MapSegment,
    MapSegments,
    Occupancy,
    Plan,
    Results,
    StageTimes,
    Trajectories,
    WeightsInfo,
)

FRAME = frame_of(*(camera_frame(camera, rgb) for camera, rgb in colors().items()))


def _tile(image: np.ndarray, camera: str, notice: bool = False) -> np.ndarray:
    return image[Layout.of_width(image.shape[1], notice).cameras[camera].slices]


def _without(*cameras: str) -> Frame:
    return replace(FRAME, images={name: image for name, image in FRAME.images.items() if name not in cameras})


def _encoded(image: np.ndarray, ending: str = ".jpg") -> bytes:
    return cv2.imencode(ending, image)[1].tobytes()


def test_each_camera_is_in_its_place_with_its_colours() -> None:
    image = draw_mosaic(FRAME, Overlay())
    for camera, (red, green, blue) in colors().items():
        height, width = _tile(image, camera).shape[:2]
        assert _tile(image, camera)[height // 2, width // 2].tolist() == [blue, green, red]


def test_the_tiles_are_as_one_sits_in_the_car() -> None:
    places = Layout.of_width(1920, with_banner=False).cameras
    assert sorted(places) == sorted(CAMERAS)
    for row in TILES:
        assert [places[c].x for c in row] == sorted(places[c].x for c in row)
        assert len({places[c].y for c in row}) == 1
    assert places["CAM_FRONT"].y < places["CAM_BACK"].y
    assert places["CAM_FRONT_LEFT"].x < places["CAM_FRONT_RIGHT"].x
    assert places["CAM_BACK_LEFT"].x < places["CAM_BACK_RIGHT"].x


@pytest.mark.parametrize("width", [1280, 1282, 1600, 1920, 2560])
@pytest.mark.parametrize("banner", [False, True])
def test_no_two_parts_overlap_and_all_sizes_are_even(width: int, banner: bool) -> None:
    layout = Layout.of_width(width, banner)
    assert layout.width % 2 == layout.height % 2 == 0
    covered = np.zeros((layout.height, layout.width), dtype=int)
    rects = [layout.caption, layout.legend, layout.bev, *layout.cameras.values(), *filter(None, [layout.banner])]
    for rect in rects:
        covered[rect.slices] += 1
    assert covered.max() == 1
    assert sum(rect.width * rect.height for rect in rects) == covered.sum()


@pytest.mark.parametrize("width", [0, MIN_WIDTH - 2, 1921])
def test_a_width_that_cannot_be_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="width"):
        draw_mosaic(FRAME, Overlay(), width)


def test_a_missing_camera_is_a_dark_tile_that_says_so() -> None:
    image = draw_mosaic(_without("CAM_BACK"), Overlay(detections=detections((12, 0, 1, 4, 2, 2, 0))))
    tile = _tile(image, "CAM_BACK")
    plain = (tile == bgr(MISSING)).all(axis=2)
    assert 0.9 < plain.mean() < 0.999  # dark, and something is written on it
    other = draw_mosaic(_without("CAM_FRONT_LEFT"), Overlay())
    assert (_tile(other, "CAM_FRONT_LEFT") != tile).any()  # what is written is the camera's own name
    assert (_tile(other, "CAM_BACK") != tile).any(axis=2).mean() > 0.9


@pytest.mark.parametrize("data", [b"", b"no image at all", _encoded(np.zeros((90, 160, 3), np.uint8))[:40]])
def test_an_image_that_cannot_be_decoded_is_a_dark_tile(data: bytes) -> None:
    broken = replace(FRAME.images["CAM_FRONT"], image=data)
    image = draw_mosaic(replace(FRAME, images={**FRAME.images, "CAM_FRONT": broken}), Overlay())
    tile = _tile(image, "CAM_FRONT")
    assert (tile == bgr(MISSING)).all(axis=2).mean() > 0.9
    missing = draw_mosaic(_without("CAM_FRONT"), Overlay())
    assert (_tile(missing, "CAM_FRONT") != tile).any()  # unreadable is not missing


def test_a_frame_without_any_image_is_drawn() -> None:
    image = draw_mosaic(_without(*CAMERAS), Overlay())
    assert all((_tile(image, camera) == bgr(MISSING)).all(axis=2).mean() > 0.9 for camera in CAMERAS)


def test_a_notice_is_a_red_banner_across_the_picture() -> None:
    layout = Layout.of_width(1920, with_banner=True)
    assert layout.banner is not None
    noticed = draw_mosaic(FRAME, Overlay(notice="UNTRAINED WEIGHTS (seed 0): the outputs mean nothing"))
    banner = noticed[layout.banner.slices]
    red = (banner == bgr(BANNER)).all(axis=2)
    assert banner.shape[1] == 1920
    assert 0.6 < red.mean() < 0.99
    assert (draw_mosaic(FRAME, Overlay(notice="Another"))[layout.banner.slices] != banner).any()
    plain = draw_mosaic(FRAME, Overlay())
    assert not (plain == bgr(BANNER)).all(axis=2).any()
    assert len(plain) == len(noticed) - layout.banner.height


def test_a_long_notice_is_made_to_fit() -> None:
    layout = Layout.of_width(1920, with_banner=True)
    assert layout.banner is not None
    banner = draw_mosaic(FRAME, Overlay(notice="word " * 100))[layout.banner.slices]
    assert (banner[:, :8] == bgr(BANNER)).all()
    assert (banner[:, -8:] == bgr(BANNER)).all()


def test_the_title_is_in_the_caption() -> None:
    one, other = draw_mosaic(FRAME, Overlay(title="scene 1")), draw_mosaic(FRAME, Overlay(title="scene 2"))
    rows, columns = np.nonzero((one != other).any(axis=2))
    assert rows.max() < Layout.of_width(1920, with_banner=False).caption.height
    assert columns.max() < 960


def test_the_input_is_left_as_it_was() -> None:
    before = FRAME.images["CAM_FRONT"].image.copy()
    draw_mosaic(FRAME, Overlay(detections=detections((12, 0, 1, 4, 2, 2, 0))))
    assert (FRAME.images["CAM_FRONT"].image == before).all()


def _with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation, as phones write it."""
    tiff = b"II*\x00" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("size", [(450, 800), (247, 440), (100, 178), (60, 107)])
@pytest.mark.parametrize("orientation", [1, 3])
def test_reading_at_a_reduced_size_is_reading_and_scaling(size: tuple[int, int], orientation: int) -> None:
    row, column = np.mgrid[0:450, 0:800]
    image = np.stack([row * 255 // 449, column * 255 // 799, (row + column) % 64 + 90], axis=2).astype(np.uint8)
    jpeg = _with_orientation(_encoded(image), orientation)
    assert (cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[0, 0, 0] > 128) == (orientation == 3)
    camera = CameraFrame("CAM_FRONT", 0, jpeg, np.eye(3), (450, 800), np.eye(4))
    read = read_scaled(camera, size)
    assert read is not None
    assert read.shape == (*size, 3)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(read[..., :2].astype(int) - expected[..., :2]).mean() < 3


def test_the_legend_names_what_is_drawn_and_nothing_else() -> None:
    assert list(entries(Overlay())) == []
    boxes = detections((12, 0, 1, 4, 2, 2, 0), (20, 0, 1, 4, 2, 2, 0))
    named = {name: color for _, color, name in entries(Overlay(detections=boxes))}
    assert named["car 2"] == DETECTION_COLORS[0]
    assert named["traffic cone 0"] == DETECTION_COLORS[-1]
    assert len(named) == len(DETECTION_CLASSES)
    assert any("ground truth" in name for _, _, name in entries(Overlay(truth=boxes)))


def test_every_entry_of_the_fullest_legend_fits_above_the_notes() -> None:
    layout = Layout.of_width(1920, with_banner=True)
    grid = BevGrid((-50.0, 50.0, 0.5), (-50.0, 50.0, 0.5))
    full = replace(_overlay_of_everything(grid), truth=detections())
    legend = draw_legend(full, layout.legend.height, layout.legend.width, layout.scale)
    rows = (legend != legend[0, 0]).any(axis=2).any(axis=1)
    runs = np.count_nonzero(np.diff(rows.astype(int)) == 1)
    assert runs == 4  # three rows of entries and one of notes, with room between them


def test_every_class_and_map_class_has_a_colour_of_its_own() -> None:
    assert len(set(DETECTION_COLORS)) == len(DETECTION_COLORS) == len(DETECTION_CLASSES)
    assert set(MAP_COLORS) == set(MapClass)
    assert len({*MAP_COLORS.values(), *DETECTION_COLORS}) == len(MapClass) + len(DETECTION_CLASSES)


def _results(grid: BevGrid, trained_on: str) -> Results:
    zeros = np.zeros((3, 2))
    return Results(
        0,
        detections(),
        MapSegments((), np.zeros((4, *grid.shape)), grid),
        Trajectories(np.zeros((0, 6, 12, 2)), np.zeros((0, 6, 12, 2)), np.zeros((0, 6)), np.zeros(0), np.zeros(0), 0.5),
        Occupancy(np.zeros((5, *grid.shape)), np.zeros((5, *grid.shape), dtype=int), grid, 0.5),
        Plan(zeros, np.zeros(3), np.zeros(3), zeros, Goal(), 0.5),
        (),
        StageTimes(0, 0, 0, 0, 0),
        WeightsInfo("student", trained_on, "0"),
    )


def _overlay_of_everything(grid: BevGrid) -> Overlay:
    overlay = Overlay.of_results(_results(grid, "nothing (untrained, seed 0)"))
    return replace(overlay, segments=(MapSegment(MapClass.DIVIDER, np.array([[0.0, 0.0], [9.0, 0.0]]), 1.0),))


def test_untrained_weights_are_announced_and_trained_ones_are_not() -> None:
    grid = BevGrid((-50.0, 50.0, 0.5), (-50.0, 50.0, 0.5))
    notice = Overlay.of_results(_results(grid, "nothing (untrained, seed 7)")).notice
    assert notice is not None
    assert "UNTRAINED" in notice
    assert "seed 7" in notice
    assert Overlay.of_results(_results(grid, "v1.0-trainval")).notice is None


def test_the_real_annotations_fall_on_the_devkits_pixels(nuscenes_dataroot: Path) -> None:
    """The projection of every annotated box, camera by camera, against nuscenes-devkit's own."""
    nuscenes = pytest.importorskip("nuscenes.nuscenes")
    from nuscenes.utils.geometry_utils import BoxVisibility, view_points

    tables = nuscenes.NuScenes("v1.0-mini", str(nuscenes_dataroot), verbose=False)

    def pose(row: dict) -> np.ndarray:
        return transform_from(quaternion_from_wxyz(row["rotation"]), row["translation"])

    sample = tables.get("sample", tables.scene[0]["first_sample_token"])
    lidar = tables.get("sample_data", sample["data"]["LIDAR_TOP"])
    reference = pose(tables.get("ego_pose", lidar["ego_pose_token"]))
    compared = 0
    for camera in CAMERAS:
        token = sample["data"][camera]
        record = tables.get("sample_data", token)
        mounting = tables.get("calibrated_sensor", record["calibrated_sensor_token"])
        camera_pose = pose(tables.get("ego_pose", record["ego_pose_token"]))
        intrinsics = np.array(mounting["camera_intrinsic"])
        image = CameraFrame(camera, 0, b"", intrinsics, (900, 1600), pose(mounting), camera_pose)
        frame = Frame(0, {camera: image}, reference)
        projection = CameraProjection.of_camera(frame, image, (900, 1600))
        _, boxes, _ = tables.get_sample_data(token, box_vis_level=BoxVisibility.ALL)
        for box in boxes:
            expected = view_points(box.corners(), intrinsics, normalize=True)[:2].T
            annotated = tables.get_box(box.token).corners().T  # in the map
            ours, _ = projection.points(annotated @ invert(reference)[:3, :3].T + invert(reference)[:3, 3])
            np.testing.assert_allclose(ours, expected, atol=1e-4)
            compared += 1
    assert compared > 5
