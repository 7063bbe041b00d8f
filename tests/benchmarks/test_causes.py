"""Groups of sequences, and the causes of lost identities."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.causes import causes
from benchmarks.groups import UNITS, camera_motion, group_of
from benchmarks.metrics import Truth
from tracker.errors import SourceError
from tracker.tracking.trackers import configure


def truth_of(rows):
    rows = np.array(rows, float)
    return Truth("scene", int(rows[:, 0].max()), rows, np.ones(len(rows), bool), np.zeros(len(rows), bool))


def walk(number, x, frames):
    return [[f, number, x, 50, 20, 60] for f in frames]


@pytest.mark.parametrize(
    "neighbour, undetected, absent, cause",
    [(200, (), (), "other"), (208, (), (), "crossing"), (400, (10,), (), "detector gap"), (400, (), (9, 10), "exit")],
)
def test_a_switch_has_one_cause(neighbour, undetected, absent, cause):
    there = [f for f in range(1, 21) if f not in absent]
    neighbour = 400 if neighbour == 200 else neighbour
    truth = truth_of(walk(1, 200, there) + walk(2, neighbour, range(1, 21)))
    rows = truth.rows.copy()
    rows[(rows[:, 1] == 1) & (rows[:, 0] > 10), 1] = 7
    detections = []
    for f in range(1, 21):
        boxes = truth.rows[truth.rows[:, 0] == f]
        detections.append(boxes[(boxes[:, 1] == 2) | (f not in undetected), 2:6])
    rows = rows[~((rows[:, 1] != 2) & np.isin(rows[:, 0], undetected))]
    found = causes(truth, rows, detections)
    assert found["switches"] == {cause: 1} and not found["lost"]


def test_a_track_that_ends_while_its_object_is_there_is_lost():
    truth = truth_of(walk(1, 200, range(1, 31)))
    rows = truth.rows[truth.rows[:, 0] <= 15]
    found = causes(truth, rows, [truth.rows[[f], 2:6] for f in range(30)])
    assert found["lost"] == {"other": 1} and not found["switches"]


@pytest.mark.parametrize(
    "name, detections, public, camera, group",
    [
        ("MOT17-05-half2", "det_yolox.txt", True, False, "mot17"),
        ("MOT17-05-half2", "det_yolox.txt", True, True, "mot17-camera"),
        ("MOT17-05-half2", "det_FRCNN.txt", True, False, "mot17-frcnn"),
        ("MOT20-01", "det_yolox.txt", True, False, "mot20"),
        ("DanceTrack-0004", "det_yolox.txt", True, False, "dancetrack"),
        ("KITTI-tr11-people", "det_permatrack.txt", True, False, "kitti-people"),
        ("KITTI-tr11-vehicles", "det_permatrack.txt", True, False, "kitti-vehicles"),
        ("MOT17-04", "det_DPM.txt", True, False, "public"),
        ("TUD-Campus", "coco", False, False, "own"),
    ],
)
def test_groups(name, detections, public, camera, group):
    assert group_of(Path(name), detections, public=public, camera=camera) == group


def test_camera_motion_is_read_or_refused(tmp_path):
    assert camera_motion(tmp_path, 3) is None
    (tmp_path / "gmc").mkdir()
    (tmp_path / "gmc" / "gmc.txt").write_text("2,1,0,5,0,1,-3\n")
    maps = camera_motion(tmp_path, 3)
    assert maps[1].tolist() == [[1, 0, 5], [0, 1, -3]] and maps[0].tolist() == maps[2].tolist() == np.eye(2, 3).tolist()
    (tmp_path / "gmc" / "gmc.txt").write_text("1,2\n")
    with pytest.raises(SourceError, match="cannot be read"):
        camera_motion(tmp_path, 3)


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_switched_off_by_settings_there_are(unit):
    assert configure("default", **UNITS[unit]) != configure("default")
