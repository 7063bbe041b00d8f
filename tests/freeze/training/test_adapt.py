"""Mining tracklets and adapting to a scene, on rows worked out by hand and on a drawn video."""

import cv2
import numpy as np
import pytest

from freeze.training import adapt, mine
from freeze.training.errors import TrainDataError
from freeze.training.finetune import folds
from freeze.training.mine import Tracklet

SIZE = (400, 300)


def rows_of(number, frames, left, top=100, step=6, width=30, height=60):
    """Rows of one track that moves to the right."""
    return [[f, number, left + step * k, top, left + step * k + width, top + height] for k, f in enumerate(frames)]


def test_long_moving_tracks_alone_become_tracklets():
    rows = np.array(
        rows_of(1, range(1, 21), 50)  # good
        + rows_of(2, range(1, 21), 50, top=180, step=0)  # stands still
        + rows_of(3, range(30, 36), 50)  # short
        + rows_of(4, range(40, 60), 50)  # covered by 5
        + rows_of(5, range(40, 60), 60)
        + rows_of(6, range(70, 90), 50, height=20)  # small
        + rows_of(7, [*range(100, 112), *range(130, 142)], 5),  # lost for long: two
        float,
    )
    found = mine.tracklets(rows, SIZE)
    assert [(int(t.frames[0]), int(t.frames[-1])) for t in found] == [(1, 20), (100, 111), (130, 141)]
    assert all(len(t.frames) == len(t.xyxy) <= mine.MOST for t in found)
    assert mine.tracklets(np.zeros((0, 6)), SIZE) == []


def test_boxes_cut_off_by_the_border_are_left_out():
    rows = np.array(rows_of(1, range(1, 31), 200), float)
    rows[:, 4] = np.minimum(rows[:, 4], SIZE[0])  # leaves to the right
    (found,) = mine.tracklets(rows, SIZE)
    assert found.left and not found.came
    assert (found.xyxy[:, 2] - found.xyxy[:, 0]).min() >= mine.WHOLE * 30


def tracklet(first, last, came=False, left=False):
    frames = np.arange(first, last + 1)
    return Tracklet(frames, np.zeros((len(frames), 4)), came, left)


def test_who_is_known_to_differ():
    found = [tracklet(1, 10), tracklet(8, 20), tracklet(30, 40), tracklet(50, 60, left=True), tracklet(70, 80),
             tracklet(90, 95, came=True)]  # fmt: skip
    differ = mine.known_to_differ(found)
    assert differ[0, 1]  # in view together
    assert not differ[0, 2] and not differ[1, 2]  # lost and found, perhaps
    assert differ[3, 4]  # the earlier left
    assert differ[:5, 5].all()  # the later came in
    np.testing.assert_array_equal(differ, differ.T)
    assert not differ.diagonal().any()
    assert mine.known_to_differ([]).shape == (0, 0)


def drawn(path, objects, frames=70, seed=0):
    """A video of boxes in two colours that cross the scene one after the other, on a still background."""
    rng = np.random.default_rng(seed)
    background = cv2.resize(rng.integers(60, 200, (15, 20, 3)).astype(np.uint8), SIZE)
    colours = rng.integers(0, 256, (objects, 2, 3)).tolist()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, SIZE)
    for f in range(frames):
        image = background.copy()
        for i in range(objects):
            x, y = (f - 30 * (i // 3)) * 9 - 50, 10 + 95 * (i % 3)
            cv2.rectangle(image, (x, y), (x + 40, y + 40), colours[i][0], -1)
            cv2.rectangle(image, (x, y + 40), (x + 40, y + 75), colours[i][1], -1)
        writer.write(image)
    writer.release()
    return path


def crops_of(found, tmp_path):
    return mine.crops_of([(drawn(tmp_path / "v.avi", 3, 30), found)], (128, 64))


def test_crops_come_from_their_boxes(tmp_path):
    boxes = np.array([[20, 10, 60, 85], [29, 10, 69, 85]], float)
    crops = crops_of([Tracklet(np.array([9, 10]), boxes, True, False)], tmp_path)
    assert crops.images.shape == (2, 128, 64, 3) and crops.camera.tolist() == [0, 1]
    np.testing.assert_allclose(crops.images[0].astype(float), crops.images[1], atol=60)
    assert crops.images[0, 20:60].std() < crops.images[0].std()


@pytest.mark.parametrize(
    "count, message", [(0, "0 objects"), (3, "3 objects"), (8, "known to be different"), (12, "known to be different")]
)
def test_too_little_is_refused(tmp_path, count, message):
    crops = crops_of([], tmp_path)
    crops.held_out, crops.differ = np.zeros(count, bool), np.zeros((count, count), bool)
    crops.names = [str(i) for i in range(count)]
    with pytest.raises(TrainDataError, match=message):
        folds(crops, 0)


def test_every_tracklet_judges_once_and_with_its_group(tmp_path):
    crops = crops_of([], tmp_path)
    crops.held_out, crops.differ = np.zeros(10, bool), ~np.eye(10, dtype=bool)
    crops.names = ["a", "a", "c", "d", "e", "f", "g", "h", "i", "j"]
    assert len(set(crops.names)) == mine.MANY
    parts = folds(crops, 0)
    np.testing.assert_array_equal(np.sum(parts, 0), np.ones(10))
    assert all(p[0] == p[1] and p.sum() >= 3 for p in parts)
    assert any((a != b).any() for a, b in zip(parts, folds(crops, 1), strict=True))


def test_of_few_objects_every_pair_known_to_differ_judges(tmp_path):
    crops = crops_of([], tmp_path)
    crops.held_out, crops.differ = np.zeros(5, bool), ~np.eye(5, dtype=bool)
    crops.names = ["a", "a", "c", "d", "e"]
    crops.differ[2, 3] = crops.differ[3, 2] = False  # may be one object: they cannot judge
    parts = {tuple(np.flatnonzero(p)) for p in folds(crops, 0)}
    assert parts == {(0, 1, 2), (0, 1, 3), (0, 1, 4), (2, 4), (3, 4)}


def test_boxes_that_never_leave_the_border_or_show_bare_road_are_no_objects(tmp_path):
    rows = np.array(rows_of(1, range(1, 31), 0, top=100, step=0), float)
    rows[:, 3:6:2] += 5 * np.arange(30)[:, None]  # down along the left border
    assert mine.tracklets(rows, SIZE) == []

    video = drawn(tmp_path / "v.avi", 3, 30)
    boxes = np.array([[20, 10, 60, 85], [29, 10, 69, 85]], float)
    seen = Tracklet(np.array([9, 10]), boxes, True, False)
    within = Tracklet(np.array([9, 10]), np.add(boxes, [5, 5, -5, -40]), True, False)  # one colour
    assert mine.textured(video, [seen, within]) == [seen]


@pytest.mark.timeout(300)
def test_adapting_on_a_drawn_video(tmp_path, capfd):
    from freeze.training.files import read_weights
    from freeze.training.model import variable_shapes

    video, out = drawn(tmp_path / "scene.avi", 24, 280), tmp_path / "adapted"
    code = adapt.main([str(video), "--detector", "motion", "--minutes", "0.02", "--out", str(out)])
    said = capfd.readouterr()
    assert "tracklets to learn from" in said.out, said.err
    if code == 0:  # better, and written whole
        assert "written" in said.out
        weights = read_weights(out, variable_shapes())
        assert all(np.isfinite(w).all() for w in weights.values())
        before, after = adapt.facts_of(out)["decidability"]
        assert after > before
    else:  # no better: nothing is written, and that is said
        assert code == 1 and "no better" in said.err and not list(tmp_path.glob("adapted*"))


def test_wrong_input_is_one_line(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("no video")
    out = str(tmp_path / "a")
    assert adapt.main([str(tmp_path / "text.mp4"), "--out", out]) == 1
    assert "not a video that can be read" in capfd.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        adapt.main([str(tmp_path / "text.mp4"), "--out", out, "--minutes", "0"])


def test_the_threshold_stays_near_the_old_one():
    assert adapt.threshold(0.6, 0.62) == 0.62
    assert adapt.threshold(0.6, 0.1) == pytest.approx(0.45)
    assert adapt.threshold(0.6, float("nan")) == 0.6
    assert adapt.threshold(None, 0.5) is None


def test_a_way_taken_up_again_is_one_group():
    def at(first, last, x):
        frames = np.arange(first, last + 1)
        return Tracklet(frames, np.tile([x, 0.0, x + 30, 60.0], (len(frames), 1)), False, False, first)

    found = [at(1, 10, 0), at(14, 20, 40), at(22, 30, 900), at(400, 410, 40)]
    number = mine.groups(found, mine.known_to_differ(found))
    assert number[0] == number[1]  # nearby, soon after
    assert len(set(number[1:])) == 3  # far off; long after
    together = np.ones((4, 4), bool)
    assert len(set(mine.groups(found, together))) == 4
