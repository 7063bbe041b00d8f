"""The paper preset against the per-object oracle, number by number; the contract of `update` and its refusals."""

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tests.oracle import Oracle
from tracker import DeepSort, Detections
from tracker.errors import ConfigError, DetectionsError
from tracker.tracking.config import DeepSortConfig, OverlapConfig

DATA = os.environ.get("TRACKER_DATA")


def crowd(rng, frames=120, objects=25, dimension=16, area=600):
    """Boxes and features of a crowd that walks, stops being seen, looks alike, and is joined by false positives."""
    position = rng.uniform(0, area, (objects, 2))
    velocity = rng.normal(0, 4, (objects, 2))
    height = rng.uniform(60, 120, objects)
    look = rng.normal(size=(objects, dimension)) + 2 * rng.normal(size=dimension)
    hidden = np.zeros(objects, int)
    for _ in range(frames):
        position += velocity
        velocity = np.where((position < 0) | (position > area), -velocity, velocity)
        hides = (hidden == 0) & (rng.random(objects) < 0.05)
        hidden = np.where(hides, rng.integers(1, 40, objects), np.maximum(hidden - 1, 0))
        seen = np.flatnonzero(hidden == 0)
        false = rng.poisson(1.5)
        centre = np.vstack([position[seen] + rng.normal(0, 2, (len(seen), 2)), rng.uniform(0, area, (false, 2))])
        h = np.concatenate([height[seen] * rng.normal(1, 0.03, len(seen)), rng.uniform(60, 120, false)])
        half = np.column_stack([h * 0.4, h]) / 2
        noise = rng.normal(0, 0.4, (len(seen), dimension))
        feature = np.vstack([look[seen] + noise, rng.normal(size=(false, dimension))])
        order = rng.permutation(len(centre))
        yield np.hstack([centre - half, centre + half]).astype(np.float32)[order], feature.astype(np.float32)[order]


def assert_equal(tracks, expected, frame):
    assert tracks.id.tolist() == [t.id for t in expected], f"frame {frame}"
    assert tracks.detection_index.tolist() == [t.index for t in expected], f"frame {frame}"
    assert tracks.confirmed.tolist() == [t.confirmed for t in expected], f"frame {frame}"
    assert tracks.time_since_update.tolist() == [t.missed for t in expected], f"frame {frame}"
    if expected:
        np.testing.assert_allclose(tracks.xyxy, [t.box() for t in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_features", [True, False])
def test_paper_preset_is_the_oracle(seed, with_features):
    rng = np.random.default_rng(seed)
    overrides = dict(budget=int(rng.integers(1, 20)), max_age=int(rng.integers(1, 40)), n_init=int(rng.integers(1, 5)))
    tracker, oracle = DeepSort.from_preset("paper", **overrides), Oracle(**overrides)
    for frame, (boxes, features) in enumerate(crowd(rng)):
        if frame % 41 == 40:
            boxes, features = boxes[:0], features[:0]
        features = features if with_features else None
        assert_equal(tracker.update(Detections(boxes), features), oracle.update(boxes, features), frame)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="TRACKER_DATA is not set")
@pytest.mark.parametrize(
    "name, frames", [("TUD-Campus", 71), ("ETH-Bahnhof", 150), ("ADL-Rundle-6", 99), ("KITTI-13", 99)]
)
@pytest.mark.parametrize("with_features", [True, False])
def test_paper_preset_is_the_oracle_on_public_detections(name, frames, with_features):
    path = Path(DATA) / "mot" / name / "det" / "det.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    tracker, oracle = DeepSort.from_preset("paper"), Oracle()
    for frame in range(1, frames + 1):
        tlwh = rows[rows[:, 0] == frame, 2:6]
        boxes = np.hstack([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]]).astype(np.float32)
        features = position_features(boxes) if with_features else None
        assert_equal(tracker.update(Detections(boxes), features), oracle.update(boxes, features), frame)


def position_features(boxes):
    """Features that change slowly along a walk: where a box is and how tall, as random cosine waves."""
    rng = np.random.default_rng(7)
    centre = np.column_stack([boxes[:, :2] + boxes[:, 2:], boxes[:, 3] - boxes[:, 1]])
    return (np.cos(centre @ rng.normal(0, 0.004, (3, 32)) + rng.uniform(0, 6, 32)) + 0.5).astype(np.float32)


# ---- the contract of update, and its refusals ----------------------------------------------------------------------

PRESETS = ["paper", "default"]
BOXES = np.array([[100, 100, 140, 200], [400, 100, 440, 200], [700, 300, 740, 400]], np.float32)
LOOKS = np.eye(3, 8, dtype=np.float32)


def settled(preset, **options):
    """A tracker with three confirmed tracks, numbers 1 to 3, on BOXES in this order."""
    tracker = DeepSort.from_preset(preset, **options)
    for _ in range(5):
        tracks = tracker.update(Detections(BOXES), LOOKS)
    assert tracks.id.tolist() == [1, 2, 3] and tracks.confirmed.all()
    return tracker


def state(tracker):
    bank = tracker.bank
    return {name: np.copy(value) for name, value in vars(bank).items() if isinstance(value, np.ndarray)}


def assert_whole(tracker):
    """No array of the bank is out of step or holds a number that is none."""
    bank = tracker.bank
    for name in ("mean", "covariance", "id", "hits", "confirmed", "votes"):
        assert len(getattr(bank, name)) == len(bank), name
    assert np.isfinite(bank.mean).all() and np.isfinite(bank.covariance).all()
    assert (bank.covariance[..., [0, 2]] > 0).all() and len(set(bank.id.tolist())) == len(bank)
    assert bank.id.max(initial=0) < bank.next_id
    if hasattr(bank, "slot"):
        assert len(set(bank.slot.tolist())) == len(bank)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "features, embedded, message",
    [
        (LOOKS[:2], None, "expected .3, D."),
        (LOOKS[0], None, "expected .3, D."),
        (np.zeros((3, 0)), None, "expected .3, D."),
        (np.ones((3, 5)), None, "length 5, those of earlier frames 8"),
        (LOOKS, np.ones(2, bool), "embedded"),
        (LOOKS, np.ones(3), "embedded"),
        (np.where(np.arange(3)[:, None] == 1, np.nan, LOOKS), None, "1 of 3 .* detection 1 is not finite"),
        (np.where(np.arange(3)[:, None] == 2, np.inf, LOOKS), None, "1 of 3 .* detection 2 is not finite"),
        (np.where(np.arange(3)[:, None] == 0, 0, LOOKS), None, "1 of 3 .* detection 0 is all zero"),
        (np.zeros_like(LOOKS), np.array([False, True, True]), "2 of 3 .* detection 1 is all zero"),
    ],
)
def test_refuses_features_that_do_not_fit_and_stays_as_it_was(preset, features, embedded, message):
    tracker = settled(preset)
    before = state(tracker)
    with pytest.raises(DetectionsError, match=message):
        tracker.update(Detections(BOXES), features, embedded=embedded)
    for name, value in state(tracker).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert tracker.update(Detections(BOXES), LOOKS).id.tolist() == [1, 2, 3]


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_that_are_not_embedded_are_matched_by_motion(preset):
    tracker = settled(preset)
    junk = np.full_like(LOOKS, 7)
    tracks = tracker.update(Detections(BOXES), junk, embedded=np.zeros(3, bool))
    assert tracks.detection_index.tolist() == [0, 1, 2]
    mixed = np.where([[True], [False], [True]], LOOKS, junk)
    tracks = tracker.update(Detections(BOXES), mixed, embedded=np.array([True, False, True]))
    assert tracks.detection_index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("preset", PRESETS)
def test_boxes_outside_the_frame_are_counted(preset):
    tracker = settled(preset)
    outside = np.array([[-90, 10, -20, 90], [5000, 0, 5100, 100]], np.float32)
    boxes, looks = np.vstack([outside[:1], BOXES, outside[1:]]), np.vstack([LOOKS[:1], LOOKS, LOOKS[:1]])
    tracks = tracker.update(Detections(boxes), looks, frame_size=(800, 600))
    assert tracks.id[:3].tolist() == [1, 2, 3] and tracks.detection_index[:3].tolist() == [1, 2, 3]
    assert tracker.warnings["boxes outside the frame"] == 2
    assert len(tracks) == (3 if preset == "default" else 5)


@pytest.mark.parametrize("preset", PRESETS)
def test_time_going_backwards_is_counted_and_harmless(preset):
    tracker = DeepSort.from_preset(preset)
    for time_s in (0.0, 0.04, 0.08, 0.12, 0.16, 0.02, 0.06, 0.06, 1e9, -1e9, 0.0):
        tracks = tracker.update(Detections(BOXES), LOOKS, time_s=time_s)
        assert_whole(tracker)
    for time_s in (np.nan, np.inf, -np.inf, 1.0):
        tracks = tracker.update(Detections(BOXES), LOOKS, time_s=time_s)
        assert_whole(tracker)
    assert tracker.warnings["time ran backwards"] == 2
    assert tracks.id.tolist() == [1, 2, 3]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("features", [True, False])
def test_five_thousand_boxes_in_a_frame(preset, features):
    rng = np.random.default_rng(0)
    tracker = settled(preset)
    low = rng.uniform(0, 1800, (5000, 2))
    many = np.vstack([BOXES, np.hstack([low, low + rng.uniform(5, 60, (5000, 2))]).astype(np.float32)])
    looks = np.vstack([LOOKS, rng.normal(size=(5000, 8)).astype(np.float32)])
    for boxes, look in ((many, looks), (many, looks), (BOXES, LOOKS), (BOXES[:0], LOOKS[:0])):
        tracks = tracker.update(Detections(boxes), look if features else None)
        assert_whole(tracker)
    assert len(tracks) == 3


@pytest.mark.parametrize("preset", PRESETS)
def test_boxes_of_absurd_size_and_shape_leave_the_bank_whole(preset):
    odd = [[-1e6, -1e6, 1e6, 1e6], [5, 5, 5.001, 900], [5, 5, 900, 5.001], [1e7, 1e7, 1e7 + 9, 1e7 + 9]]
    odd = np.array(odd, np.float32)
    tracker = settled(preset)
    for boxes in (odd, odd, BOXES, odd[::-1], BOXES):
        tracker.update(Detections(boxes))
        assert_whole(tracker)


@pytest.mark.parametrize("preset", PRESETS)
def test_random_input_never_corrupts_the_bank(preset):
    rng = np.random.default_rng(8)
    tracker = DeepSort.from_preset(preset, max_age=6, class_names=("person", "car", "truck"))
    for _ in range(250):
        n = int(rng.integers(0, 12))
        low = rng.uniform(0, 300, (n, 2))
        boxes = np.hstack([low, low + rng.uniform(1, 200, (n, 2))])
        given = None if rng.random() < 0.1 else Detections(boxes, rng.uniform(-1, 2, n), rng.integers(-1, 5, n))
        looks = None if given is None or rng.random() < 0.3 else rng.normal(size=(n, 6))
        tracks = tracker.update(given, looks, embedded=None if looks is None else rng.random(n) < 0.7)
        assert_whole(tracker)
        index = tracks.detection_index[tracks.detection_index >= 0]
        assert len(set(index.tolist())) == len(index) and (index < n).all()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("warp", [np.eye(3), np.full((2, 3), np.nan), np.zeros(6)])
def test_refuses_what_is_no_affine_map(preset, warp):
    tracker = settled(preset)
    for call in (tracker.update, tracker.wants_feature):
        with pytest.raises(DetectionsError, match=r"expected a finite \(2, 3\) affine matrix"):
            call(Detections(BOXES), warp=warp)
    assert_whole(tracker)


def test_nothing_before_anything():
    for preset in PRESETS:
        tracker = DeepSort.from_preset(preset)
        for given in (None, Detections.empty(), None):
            tracks = tracker.update(given)
            assert len(tracks) == len(tracks.seen) == 0 and tracks.xyxy.shape == (0, 4)
        assert tracker.wants_feature(Detections.empty()).shape == (0,)


def test_snapshots_do_not_change_afterwards():
    tracker = settled("paper")
    first = tracker.update(Detections(BOXES), LOOKS)
    kept = {name: getattr(first, name).copy() for name in first.__slots__}
    tracker.update(Detections(BOXES[::-1] + 3), LOOKS[::-1])
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(first, name), value)


@pytest.mark.parametrize("preset", PRESETS)
def test_asking_what_to_embed_changes_nothing(preset):
    tracker = settled(preset)
    before = state(tracker)
    wanted = tracker.wants_feature(Detections(BOXES + 1), time_s=1.0)
    assert wanted.shape == (3,) and wanted.dtype == bool
    for name, value in state(tracker).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_the_paper_embeds_all():
    assert settled("paper").wants_feature(Detections(BOXES)).all()


def test_what_motion_settles_is_embedded_now_and_then_only():
    tracker, shares = DeepSort.from_preset("default"), []
    for _ in range(60):
        wanted = tracker.wants_feature(Detections(BOXES))
        tracker.update(Detections(BOXES), np.where(wanted[:, None], LOOKS, 0), embedded=wanted)
        shares.append(wanted.mean())
    assert shares[:3] == [1, 1, 1] and 0.05 < np.mean(shares[10:]) < 0.2


def test_contested_new_and_returning_boxes_are_embedded():
    tracker = DeepSort.from_preset("default")
    for _ in range(25):
        tracker.update(Detections(BOXES), LOOKS)
    tracker.bank.age[:] = 11 - tracker.bank.id  # none is due for its refresh
    assert not tracker.wants_feature(Detections(BOXES)).any()
    near, new = (BOXES[:1] + np.array(step, np.float32) for step in ([15, 0, 15, 0], [150, 300, 150, 300]))
    assert tracker.wants_feature(Detections(np.vstack([BOXES, near, new]))).tolist() == [True, False, False, True, True]
    tracker.update(Detections(BOXES[1:]), LOOKS[1:])
    tracker.bank.age[:] = 11 - tracker.bank.id
    assert tracker.wants_feature(Detections(BOXES)).tolist() == [True, False, False]


def test_what_is_too_faint_for_any_track_is_not_embedded():
    tracker = DeepSort.from_preset("default")
    for _ in range(25):
        tracker.update(Detections(BOXES), LOOKS)
    tracker.bank.age[:] = 11 - tracker.bank.id
    aside, away = BOXES[:1] + np.float32(30), BOXES[:1] + np.array([150, 300, 150, 300], np.float32)
    boxes = np.vstack([BOXES, aside, away])
    for faint, wanted in ((1.0, [True, False, False, True, True]), (0.3, [False] * 5)):
        score = np.array([1, 1, 1, faint, faint], np.float32)
        assert tracker.wants_feature(Detections(boxes, score)).tolist() == wanted


# ---- classes -------------------------------------------------------------------------------------------------------


def test_class_is_the_one_with_most_votes():
    tracker = DeepSort.from_preset("paper")
    classes = [tracker.update(Detections(BOXES[:1], class_id=[c])).class_id[0] for c in (2, 7, 7, 2, 7, 7)]
    assert classes == [2, 2, 7, 7, 7, 7], "a tie changes nothing"


def test_a_track_takes_its_own_class_or_one_easily_taken_for_it():
    names = ("person", "bicycle", "car", "bus", "truck")
    for first, second, same in ((2, 4, True), (3, 2, True), (0, 2, False), (0, 1, False)):
        tracker = DeepSort.from_preset("default", class_names=names)
        for _ in range(5):
            tracker.update(Detections(BOXES[:1], class_id=[first]))
        tracks = tracker.update(Detections(BOXES[:1], class_id=[second])).seen
        assert (tracks.id.tolist() == [1]) is same


def test_the_paper_does_not_know_classes():
    tracker = settled("paper")
    assert tracker.update(Detections(BOXES, class_id=[5, 6, 7]), LOOKS).seen.id.tolist() == [1, 2, 3]


# ---- presets -------------------------------------------------------------------------------------------------------


def test_paper_preset_has_the_published_numbers():
    c = DeepSort.from_preset("paper").config
    assert (c.max_age, c.n_init, c.max_cosine_distance, c.max_iou_distance, c.budget) == (30, 3, 0.2, 0.7, 100)


@pytest.mark.parametrize(
    "preset, overrides, message",
    [
        ("deepsort", {}, "expected one of default, paper"),
        ("paper", {"max_agee": 3}, "unknown tracker setting 'max_agee'"),
        ("paper", {"max_age": 0}, "max_age is 0; expected at least 1"),
        ("default", {"min_iou": 1.5}, "expected 0 to 1"),
        ("paper", {"max_cosine_distance": float("nan")}, "expected 0 to 2"),
        ("paper", {"budget": -1}, "at least 1"),
        ("default", {"max_lost_s": "2"}, "max_lost_s is '2'; expected a number"),
        ("default", {"n_init": 2.5}, "n_init is 2.5; expected a whole number"),
        ("default", {"n_init": True}, "n_init is True; expected a whole number"),
        ("paper", {"class_aware": 1}, "class_aware is 1; expected true or false"),
        ("paper", {"max_cosine_distance": None}, "max_cosine_distance is None"),
        ("paper", {"min_iou": 0.3}, "unknown tracker setting 'min_iou'"),
    ],
)
def test_refuses_settings(preset, overrides, message):
    with pytest.raises(ConfigError, match=message):
        DeepSort.from_preset(preset, **overrides)


@pytest.mark.parametrize("name", [name for config in (OverlapConfig, DeepSortConfig) for name in
                                  ((config, f.name) for f in fields(config))])  # fmt: skip
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", [1], -1])
def test_no_field_takes_what_is_no_number_or_out_of_bounds(name, value):
    config, field = name
    with pytest.raises(ConfigError, match=f"{field} is "):
        config(**{field: value})


def test_old_names_of_settings_are_understood_with_a_warning():
    with pytest.warns(FutureWarning, match="max_iou_distance = 0.8 is taken for min_iou = 0.2"):
        assert OverlapConfig.of(max_iou_distance=0.8).min_iou == pytest.approx(0.2)
    with pytest.warns(FutureWarning, match="youth_weight = 0.1 does nothing any more; leave it out"):
        assert OverlapConfig.of(youth_weight=0.1) == OverlapConfig()
    with pytest.raises(ConfigError, match="max_iou_distance is 'x'; expected a number"):
        OverlapConfig.of(max_iou_distance="x")


def test_the_example_of_the_readme():
    from tracker import DeepSort, Detections

    tracker = DeepSort.from_preset("paper")
    for frame in range(5):
        xyxy = np.array([[100 + 4 * frame, 50, 160 + 4 * frame, 210], [300, 60, 350, 200]])
        score, class_id = np.array([0.9, 0.8]), np.array([0, 0])
        features = np.eye(2, 128)
        tracks = tracker.update(Detections(xyxy, score, class_id), features)
    assert tracks.id.tolist() == [1, 2] and tracks.confirmed.all()
    assert tracks.detection_index.tolist() == [0, 1] and tracks.class_id.tolist() == [0, 0]
    np.testing.assert_allclose(tracks.xyxy, xyxy, atol=3)
