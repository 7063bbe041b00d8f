"""What a batch asks of its workers, and in which order; workers that answer at once stand in for a cluster."""

import json
import tomllib

import numpy as np
import pytest

from tests.scenes import write_video
from tracker.app.batch.driver import Batch
from tracker.app.batch.plan import find_videos
from tracker.app.batch.rows import Rows
from tracker.app.batch.store import Store
from tracker.app.batch.worker import Choice, Tracked
from tracker.app.config import RunConfig

CHOSEN = {"detector": "ssdlite", "tiles": "2x1"}
FACTS = {"detector": {"name": "ssdlite", "path": "", "runtime": ""}, "encoder": None, "device": "cpu"}


class AtOnce:
    """Does each task as it is asked for, up to a number of them."""

    def __init__(self, most=100):
        self.most, self.asked = most, []

    def run(self, waiting):
        while waiting and len(self.asked) < self.most:
            self.asked.append(waiting.popleft())
            yield self.asked[-1].key, self._answer(self.asked[-1])

    def _answer(self, task):
        if task.part is None:
            return Choice(CHOSEN, ["a warning"])
        frames = np.arange(task.part.start, (task.part.last or 130) + 1)
        n = len(frames)
        rows = Rows(
            frames, frames - 1.0, np.ones(n, int), np.zeros(n, np.int32), np.tile([5.0, 5, 25, 45], (n, 1)), np.ones(n)
        )
        times = frames[[0, -1]] - 1.0
        chosen = {k: v for k, v in CHOSEN.items() if k not in task.chosen}  # what was given was not chosen
        return Tracked(rows, n, *times.tolist(), (160, 120), 1.0, ("person",), FACTS, chosen, [], 1.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "long.mp4"
    write_video(path, 130, fps=1)
    return path


@pytest.fixture
def begin(video, tmp_path):
    """A batch of the one video, as the first or a later call begins it."""

    def begin(split_s=40.0, resume=False):
        store = Store(tmp_path / "out", resume=resume, overwrite=False)
        videos, _ = find_videos([str(video)])
        return Batch(videos, RunConfig(), store, split_s=split_s, overlap_s=10.0, say=lambda line: None)

    begin.results = tmp_path / "out" / "videos" / "long"
    return begin


def test_how_a_video_is_looked_at_is_chosen_once_for_all_its_parts(begin):
    cluster, seen = AtOnce(), []
    begin().run(cluster, lambda done, total: seen.append((done, total)))
    first, *parts = cluster.asked
    assert first.part is None and [t.chosen for t in parts] == [CHOSEN] * 3
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    settings = tomllib.loads((begin.results / "config.toml").read_text())["run"]
    assert {k: settings[k] for k in CHOSEN} == CHOSEN
    summary = json.loads((begin.results / "summary.json").read_text())
    assert summary["warnings"] == ["a warning"] and summary["tracks"] == 1 and summary["frames"] == 130


def test_what_was_chosen_holds_for_the_parts_of_a_later_call(begin):
    begin().run(AtOnce(most=2), lambda done, total: None)
    later = AtOnce()
    begin(resume=True).run(later, lambda done, total: None)
    assert [(t.part.first, t.chosen) for t in later.asked] == [(41, CHOSEN), (81, CHOSEN)]
    assert begin.results.is_dir() and not (begin.results.parents[1] / ".parts").exists()


def test_parts_whose_choice_is_lost_are_tracked_again(begin):
    begin().run(AtOnce(most=3), lambda done, total: None)
    for path in (begin.results.parents[1] / ".parts" / "long").glob("*.json"):
        path.write_text("{")
    later = AtOnce()
    begin(resume=True).run(later, lambda done, total: None)
    assert [t.part is None for t in later.asked] == [True, False, False, False]


def test_a_whole_video_chooses_for_itself(begin):
    cluster = AtOnce()
    begin(split_s=None).run(cluster, lambda done, total: None)
    assert [t.chosen for t in cluster.asked] == [{}]
    assert tomllib.loads((begin.results / "config.toml").read_text())["run"]["tiles"] == CHOSEN["tiles"]
