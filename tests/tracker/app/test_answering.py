"""What a run's configuration means for its answers."""

import time
from datetime import UTC, datetime, timedelta

from tests.runs import SceneSource
from tracker.app.answering import answer_writer
from tracker.app.config import RunConfig


def test_the_clock_of_a_camera_begins_with_its_time_not_with_the_first_frame_that_is_through():
    source = SceneSource(frames=1, live=True)
    make = answer_writer(RunConfig(), "0", source, ("person",), None, lambda line: None)
    source.started_s = time.monotonic() - 5
    before = datetime.now(UTC)
    clock = make().answers.counts.clock
    began = clock.start + timedelta(seconds=5)
    assert clock.source == "wall clock" and not clock.guessed
    assert before - timedelta(seconds=0.01) <= began <= datetime.now(UTC)
