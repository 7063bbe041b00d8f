"""How a network looks at a frame, and how that is chosen."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from detectors import detail
from detectors.network import MOST_BOXES, MOST_CANDIDATES, Candidates, Network, two_at_a_time
from detectors.options import NetworkOptions
from detectors.views import asked_view, fitted, fixed_views, free_views, parse_size
from tracker.core.types import Detections, Frame
from tracker.errors import ConfigError, DetectorError


def test_sizes_keep_the_frames_aspect_in_multiples_of_32():
    assert fitted((768, 576), 512) == (512, 384)
    assert fitted((640, 352), 512) == (512, 288)
    assert fitted((1080, 1920), 640) == (352, 640)
    assert fitted((4000, 100), 512) == (512, 64)


def test_free_views_go_from_coarse_to_about_the_frames_own_pixels():
    sizes = [v.size for v in free_views((768, 576))]
    assert sizes[0] == (320, 256) and sizes[-1] == (768, 576)
    assert [v.size for v in free_views((160, 120))] == [(320, 256), (384, 288)]
    assert max(v.size[0] for v in free_views((3840, 2160))) == 1280
    assert [v.size for v in free_views((1024, 576))][-2:] == [(960, 544), (1024, 576)]  # as it was filmed, too
    for frame in ((500, 280), (520, 400), (650, 360)):  # no size twice: what agrees with itself tells nothing
        sizes = [v.size for v in free_views(frame)]
        assert len(sizes) == len(set(sizes))
    costs = [v.cost for v in free_views((1920, 1080))]
    assert costs == sorted(costs)


def test_fixed_views_are_the_whole_and_tiles_of_a_large_frame():
    whole, tiled = fixed_views((1280, 720), (300, 300))
    assert whole.grid == (1, 1) and tiled.grid == (3, 2) and len(tiled.rects) == 7
    assert len(fixed_views((320, 240), (300, 300))) == 1
    assert fixed_views((640, 480), None)[0].size is None


@pytest.mark.parametrize(
    "text",
    ["640", "640x", "640x380", "0x32", "32x640", "640x99999", "640x384+96x32", "640x384+960x48@9", "640 x 384", "ax b"],
)
def test_an_input_size_that_is_none(text):
    with pytest.raises(ConfigError, match="multiples of 32, for example 640x384"):
        parse_size(text)


def test_what_options_leave_no_choice_about():
    frame = (1280, 720)
    assert asked_view(frame, "auto", None, (512, 512), free=True) is None
    assert asked_view(frame, "off", None, (512, 512), free=True) is None
    assert asked_view(frame, "off", None, (300, 300), free=False).size == (300, 300)
    assert asked_view(frame, "auto", (640, 384), (512, 512), free=True).size == (640, 384)
    tiled = asked_view(frame, "2x1", None, (512, 512), free=True)
    assert len(tiled.rects) == 3 and tiled.size == (512, 512)
    assert asked_view((640, 480), "2x1", None, (512, 512), free=True).size == (384, 512)
    assert asked_view((640, 480), "2x1", None, (300, 300), free=True, own_tiles=True).size == (300, 300)


class Eye(Network):
    """Sees objects (x, y, width, height as shares) that are at least `least` pixels high in its input.

    It knows where a picture was cut out by its first and last pixel: `frames` writes the row there.
    """

    def __init__(self, objects, least, options, **given):
        super().__init__("eye", "", ("thing",), options, (512, 512), **given)
        self.objects, self.height, self.looks, self.runtime = np.array(objects), least, [], "test"
        self._run, self.forgotten = self, set()

    def forget(self, sizes):
        self.forgotten |= sizes

    def look(self, images, size, confidence):
        self.looks.append(size)
        return [self.seen(image, size) for image in images]

    def seen(self, image, size):
        top, bottom = (256 * int(row[0, 0]) + int(row[0, 1]) for row in (image[0], image[-1]))
        share = bottom + 1 - top
        y = self.objects[:, 1::2] * ROWS - (top, 0)
        seen = (y[:, 1] / share * size[1] >= self.height) & (y[:, 0] >= 0) & (y.sum(axis=1) <= share)
        x, y = self.objects[seen, ::2], y[seen] / share
        xyxy = np.stack([x[:, 0], y[:, 0], x.sum(axis=1), y.sum(axis=1)], axis=1)
        return Candidates(xyxy, np.full(len(xyxy), 0.9), np.zeros(len(xyxy), np.int32))


ROWS = 720
OBJECTS = [[0.1 * i, 0.1 + 0.1 * i, 0.05, 0.1 + 0.001 * i] for i in range(8)]
FAR, NEAR = [[0.1 * i, 0.3, 0.02, 0.04] for i in range(8)], [[0.1, 0.5, 0.2, 0.3], [0.5, 0.55, 0.2, 0.3]]


def frames(count=6, size=(1280, 720)):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:, :, :2] = np.stack(np.divmod(np.arange(size[1]), 256), axis=1)[:, None]
    return [Frame(i + 1, i / 25, image, size) for i in range(count)]


@pytest.mark.parametrize("least, size", [(10, (320, 192)), (28, (512, 288)), (44, (768, 448))])
def test_the_cheapest_size_that_sees_what_is_there(least, size):
    eye = Eye(OBJECTS, least, NetworkOptions(), free=True)
    why = eye.choose_view(frames())
    assert eye.settings((1280, 720)) == {"input_size": f"{size[0]}x{size[1]}", "tiles": "off"}
    assert why.startswith(f"{size[0]}x{size[1]} finds 100%")
    large = {v.size for v in free_views((1280, 720)) if v.cost > detail.ORDINARY}
    assert eye.forgotten == set(eye.looks) - {size} | large
    eye.looks.clear()
    assert len(eye(frames(1)[0])) == 8 and eye.looks == [size]
    eye.tiled = False
    eye(frames(1)[0])
    assert eye.looks[-1] == ((384, 224) if size[0] > 384 else size)


def test_rows_of_far_things_are_looked_at_a_second_time():
    eye = Eye(FAR + NEAR, 16, NetworkOptions(), free=True)
    why = eye.choose_view(frames())
    assert why.startswith("320x192+768x64@") and why.endswith(" finds 100% of what all sizes together find in 6 frames")
    text = eye.settings((1280, 720))["input_size"]
    eye.looks.clear()
    found = eye(frames(1)[0])
    assert len(found) == 10 and eye.looks == [(320, 192), (768, 64)]
    x, y, width, height = np.array(FAR + NEAR).T
    right = np.stack([x, y, x + width, y + height], axis=1) * (1280, 720, 1280, 720)
    order = np.argsort(right @ (1, 2, 0, 0)), np.argsort(found.xyxy @ (1, 2, 0, 0))
    np.testing.assert_allclose(found.xyxy[order[1]], right[order[0]], atol=0.01)
    asked = Eye(FAR + NEAR, 16, NetworkOptions(input_size=text), free=True)
    assert asked.choose_view(frames()) == "" and len(asked(frames(1)[0])) == 10 and asked.looks == eye.looks
    assert asked.settings((1280, 720)) == eye.settings((1280, 720))


def test_rows_that_a_frame_has_not():
    eye = Eye(FAR, 16, NetworkOptions(input_size="320x192+768x64@720"), free=True)
    with pytest.raises(ConfigError, match="rows from 720 on; expected one of the 720 of the frame"):
        eye(frames(1)[0])


def test_what_was_measured_on_the_same_pictures_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "network"
    file.write_bytes(b"weights")

    def looks(pictures, objects=OBJECTS):
        eye = Eye(objects, 28, NetworkOptions(), free=True)
        eye.path = str(file)
        why = eye.choose_view(pictures)
        assert eye.view((1280, 720)).size == (512, 288)
        return len(eye.looks), why

    first, again = looks(frames()), looks(frames())
    assert first == (len(free_views((1280, 720))) * 6, again[1]) and again[0] == 0
    assert looks([replace(f, image=f.image + 1) for f in frames()]) == first  # other pictures
    file.write_bytes(b"other weights")
    assert looks(frames()) == first
    nothing = np.zeros((0, 4))
    file.write_bytes(b"of a network that sees nothing")
    assert looks(frames(), nothing) == (first[0], "") and looks(frames(), nothing) == (0, "")


def test_an_empty_start_chooses_nothing():
    eye = Eye(np.zeros((0, 4)), 10, NetworkOptions(), free=True)
    assert eye.choose_view(frames()) == ""
    assert eye.view((1280, 720)).size == (512, 288)
    assert eye.choose_view([]) == ""


def test_what_comes_after_an_empty_start_chooses_then():
    eye = Eye(np.zeros((0, 4)), 28, NetworkOptions(), free=True)
    eye.choose_view(frames())
    picture = frames(1)[0]
    for n in range(100):
        eye(replace(picture, index=n + 1, time_s=n / 10))
    assert set(eye.looks[-100:]) == {(512, 288)}, "nothing comes, nothing is measured"
    assert eye.settings((1280, 720))["input_size"] == "512x288"
    eye.objects, eye.height = np.array(OBJECTS), 44
    eye.looks.clear()
    eye.objects[0, 3] = 0.3  # seen at the usual size
    for n in range(100, 160):
        eye(replace(picture, index=n + 1, time_s=n / 10))
    assert eye.looks[-1] == (768, 448) and len(eye.looks) == 60 + 6 * len(free_views((1280, 720)))
    assert eye.settings((1280, 720)) == {}, "a run of this configuration chooses again"


def test_detail_and_size_as_asked_for():
    assert Eye(OBJECTS, 1, NetworkOptions(detail="fast"), free=True).view((1280, 720)).size == (384, 224)
    assert Eye(OBJECTS, 1, NetworkOptions(detail="fine"), free=True).view((1280, 720)).size == (1280, 704)
    asked = Eye(OBJECTS, 1, NetworkOptions(input_size="768x416"), free=True)
    assert asked.choose_view(frames()) == "" and asked.view((1280, 720)).size == (768, 416)
    with pytest.raises(ConfigError, match="takes 512x512 alone"):
        Eye(OBJECTS, 1, NetworkOptions(input_size="640x384"))
    with pytest.raises(ConfigError, match="expected auto, fast, fine"):
        Eye(OBJECTS, 1, NetworkOptions(detail="best"))


def test_what_one_view_alone_sees_is_no_object():
    box, other = np.array([[10, 10, 50, 90.0]]), np.array([[200, 10, 240, 90.0]])
    seen = Detections(box, np.array([0.8])), Detections(np.vstack([box, other]), np.array([0.8, 0.9]))
    frames_of = [[seen[0]] * 8, [seen[0]] * 8, [seen[1]] * 8]
    views = free_views((640, 360))[:3]
    assert detail.choose(views, frames_of, np.zeros(1, int), 0.4).view == 0
    # Of two views there is nobody else to ask: what tiles are sure of is an object.
    assert detail.choose(fixed_views((640, 360), (300, 300)), frames_of[1:], np.zeros(1, int), 0.4).view == 1


def test_many_boxes_are_bounded_and_told():
    class Swarm(Eye):
        def look(self, images, size, confidence):
            rng = np.random.default_rng(0)
            low = rng.random((20_000, 2)) * 0.99
            score = rng.random(20_000) * 0.9
            return [Candidates(np.hstack([low, low + 0.001]), score, np.zeros(20_000, np.int32)) for _ in images]

    swarm = Swarm(OBJECTS, 1, NetworkOptions(), free=True)
    found = swarm(frames(1)[0])
    assert len(found) == MOST_BOXES and found.score.min() > 0.85
    swarm(frames(2)[1])
    assert len(swarm.warnings) == 1 and f"the best {MOST_CANDIDATES} were compared" in swarm.warnings[0]


def test_views_are_looked_at_two_at_a_time_but_never_two_that_take_much_memory():
    views = free_views((1280, 720))
    costly = {v for v in views if v.cost > detail.ORDINARY}
    assert 2 <= len(costly) < len(views) - 2
    at_work, met, alone, together, lock = set(), [], [], threading.Barrier(2, timeout=20), threading.Lock()

    def look(view):
        with lock:
            at_work.add(view)
            met.append(len(at_work & costly))
            number = len(met)
        if number == 1:
            alone.append(view)
        elif number <= 3:
            together.wait()  # breaks where they are looked at one by one
        with lock:
            at_work.remove(view)
        return [view]

    assert two_at_a_time(look, views, workers=2) == [[v] for v in views]
    assert max(met) == 1 and len(met) == len(views) and alone == views[:1]
    assert two_at_a_time(lambda v: [v], views[:1], workers=2) == [views[:1]]
    assert two_at_a_time(lambda v: [v], views, workers=1) == [[v] for v in views]
    with pytest.raises(DetectorError, match="broken"):
        two_at_a_time(_breaks, views, workers=2)


def _breaks(view):
    raise DetectorError("broken")
