"""Streams through the steps: the same tracks with and without threads, order, batches, many streams, live sources."""

import time

import numpy as np
import pytest

from tests.runs import ColourMean, SceneDetector, SceneSource, make_pipeline
from tests.scenes import boxes, decodable, rows


@pytest.mark.parametrize("appearance", ["always", "auto", "off"])
@pytest.mark.parametrize("detect_every", [1, 3])
def test_threads_change_nothing(tmp_path, appearance, detect_every):
    written = []
    for threads in (False, True):
        folder = tmp_path / str(threads)
        pipeline = make_pipeline(
            folder,
            [SceneSource()],
            encoder=ColourMean(),
            appearance=appearance,
            threads=threads,
            detect_every=detect_every,
        )
        pipeline.run()
        assert pipeline.streams[0].ending.error is None
        written.append([(folder / "scene" / name).read_bytes() for name in ("tracks.txt", "tracks.csv", "tracks.mp4")])
    assert written[0] == written[1]
    assert len(written[0][0]) > 1000


class AbreastDetector(SceneDetector):
    """May be called by three threads at a time, and takes longer for some frames than for others."""

    concurrency = 3

    def __call__(self, frame):
        time.sleep(0.01 * (frame.index % 3 == 0))
        return super().__call__(frame)


@pytest.mark.parametrize("detect_every", [1, 2])
def test_detection_abreast_changes_nothing(tmp_path, detect_every):
    written = []
    for threads in (False, True):
        folder, seen = tmp_path / str(threads), []
        pipeline = make_pipeline(
            folder, [SceneSource(), SceneSource(17, "other")], detectors=[AbreastDetector(seen.append)] * 2,
            threads=threads, detect_every=detect_every, video=False,
        )  # fmt: skip
        assert pipeline.concurrency == (3 if threads else 1)
        pipeline.run()
        written.append([(folder / name / "tracks.txt").read_bytes() for name in ("scene", "other")])
        assert sorted(seen) == sorted([*range(1, 31, detect_every), *range(1, 18, detect_every)])
    assert written[0] == written[1]
    assert min(len(w) for w in written[0]) > 500


@pytest.mark.parametrize("threads", [True, False])
def test_crops_of_several_frames_go_in_batches_that_time_does_not_change(tmp_path, threads):
    encoder = ColourMean()
    detectors = [SceneDetector(lambda index: time.sleep(0.02 * (index == 7)))]
    pipeline = make_pipeline(
        tmp_path, [SceneSource()], detectors=detectors, encoder=encoder, threads=threads, together=4
    )
    pipeline.run()
    assert encoder.batches == [12] * 7 + [6]  # 30 frames of three
    assert pipeline.streams[0].counts.frames == 30 and decodable(tmp_path / "scene" / "tracks.mp4") == 30
    alone = make_pipeline(tmp_path / "alone", [SceneSource()], encoder=ColourMean(), video=False)
    alone.run()
    assert (tmp_path / "scene/tracks.txt").read_bytes() == (tmp_path / "alone/scene/tracks.txt").read_bytes()


@pytest.mark.parametrize("options", [{"appearance": "auto"}, {"live": True}])
def test_one_frame_a_batch_where_the_next_one_waits_for_it(tmp_path, options):
    encoder, live = ColourMean(), options.pop("live", False)
    pipeline = make_pipeline(tmp_path, [SceneSource(live=live)], encoder=encoder, together=4, video=False, **options)
    pipeline.run()
    assert max(encoder.batches) <= 3


@pytest.mark.parametrize("threads", [True, False])
def test_an_encoder_that_fails_amid_a_batch_costs_no_frame_before(tmp_path, threads):
    def fail(batch):
        if batch >= 3:
            raise ValueError("no more")

    pipeline = make_pipeline(
        tmp_path, [SceneSource()], encoder=ColourMean(fail), threads=threads, together=4, video=False
    )
    pipeline.run()
    assert (str(pipeline.streams[0].ending.error), pipeline.streams[0].counts.frames) == ("no more", 8)


def test_a_detector_that_fails_abreast_ends_the_stream_after_the_frame_before(tmp_path):
    def fail(index):
        if index >= 9:
            raise ValueError("no more")

    pipeline = make_pipeline(tmp_path, [SceneSource()], detectors=[AbreastDetector(fail)], video=False)
    pipeline.run()
    assert (str(pipeline.streams[0].ending.error), pipeline.streams[0].counts.frames) == ("no more", 8)


def test_rows_are_the_scene(tmp_path):
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=20)])
    pipeline.run()
    stream = pipeline.streams[0]
    found = np.array(rows(tmp_path / "scene" / "tracks.txt"), float)
    assert (stream.counts.frames, stream.counts.objects, stream.numbering.count) == (20, 60, 3)
    assert set(found[:, 0]) == set(range(1, 21))  # what is sure and alone is a track at once
    for frame in (5, 20):
        got = found[found[:, 0] == frame]
        np.testing.assert_allclose(np.sort(got[:, 2]), np.sort(boxes(frame)[:, 0]), atol=2.0)
    assert decodable(tmp_path / "scene" / "tracks.mp4") == 20
    assert stream.source.closed


def test_frames_without_detector_are_filled_by_the_filter(tmp_path):
    calls = []
    pipeline = make_pipeline(
        tmp_path, [SceneSource(frames=31)], detectors=[SceneDetector(calls.append)], detect_every=3, video=False
    )
    pipeline.run()
    assert calls == list(range(1, 32, 3))
    found = np.array(rows(tmp_path / "scene" / "tracks.txt"), float)
    assert set(found[:, 0]) == set(range(1, 32))
    between = found[found[:, 0] == 30]
    np.testing.assert_allclose(np.sort(between[:, 2]), np.sort(boxes(30)[:, 0]), atol=3.0)


def test_appearance_off_encodes_nothing_and_always_everything(tmp_path):
    for appearance, share in (("always", 1.0), ("off", 0.0)):
        encoder = ColourMean()
        pipeline = make_pipeline(
            tmp_path / appearance, [SceneSource()], encoder=encoder, appearance=appearance, video=False
        )
        pipeline.run()
        stream = pipeline.streams[0]
        assert stream.counts.embedded == share * stream.counts.objects
        assert sum(encoder.batches) == stream.counts.embedded


def test_streams_share_an_encoder_and_keep_their_own_ids(tmp_path):
    encoder = ColourMean(lambda n: time.sleep(0.01))
    sources = [SceneSource(frames=40, name="a"), SceneSource(frames=25, name="b")]
    pipeline = make_pipeline(tmp_path, sources, encoder=encoder, video=False)
    pipeline.run()
    alone = make_pipeline(tmp_path / "alone", [SceneSource(frames=40, name="a")], encoder=ColourMean(), video=False)
    alone.run()
    assert (tmp_path / "a/tracks.txt").read_bytes() == (tmp_path / "alone/a/tracks.txt").read_bytes()
    first = rows(tmp_path / "b/tracks.txt")
    assert {r[1] for r in first} == {"1", "2", "3"} and {r[0] for r in first} == {str(i) for i in range(1, 26)}
    assert sum(encoder.batches) == 3 * 65
    assert max(encoder.batches) == 6, "crops of both streams never went together"


@pytest.mark.parametrize("threads", [True, False])
def test_a_stream_that_fails_does_not_stop_the_others(tmp_path, threads):
    def fail(index):
        if index == 8:
            raise RuntimeError("detector broke")

    sources = [SceneSource(name="good"), SceneSource(name="bad")]
    pipeline = make_pipeline(
        tmp_path, sources, detectors=[SceneDetector(), SceneDetector(fail)], threads=threads, encoder=ColourMean()
    )
    pipeline.run()
    good, bad = pipeline.streams
    assert good.ending.error is None and good.counts.frames == 30
    assert str(bad.ending.error) == "detector broke" and bad.counts.frames == 7
    assert decodable(tmp_path / "bad" / "tracks.mp4") == 7
    assert {r[0] for r in rows(tmp_path / "bad" / "tracks.txt")} == {"1", "2", "3", "4", "5", "6", "7"}


def test_files_wait_and_lose_nothing(tmp_path):
    slow = SceneDetector(lambda index: time.sleep(0.005))
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=60)], detectors=[slow], video=False)
    pipeline.run()
    assert pipeline.streams[0].counts.frames == 60 and pipeline.dropped == [0]


def test_live_sources_give_the_newest_frame_and_count_the_rest(tmp_path):
    seen = []

    def look(index):
        seen.append(index)
        time.sleep(0.03)

    source = SceneSource(frames=100, live=True, hook=lambda index: time.sleep(0.005))
    pipeline = make_pipeline(tmp_path, [source], detectors=[SceneDetector(look)], video=False)
    pipeline.run()
    stream = pipeline.streams[0]
    assert stream.counts.frames == len(seen) and seen == sorted(seen)
    assert pipeline.dropped[0] > 30 and stream.counts.frames + pipeline.dropped[0] == 100
    assert pipeline.steps.timing.latency.quantile(0.95) < 0.5


def test_stop_finishes_what_is_on_its_way(tmp_path):
    pipeline = make_pipeline(tmp_path, [SceneSource(frames=10_000)])
    pipeline.run(lambda: pipeline.stop() if pipeline.streams[0].counts.frames > 20 else None, every_s=0.01)
    stream = pipeline.streams[0]
    assert stream.ending.error is None and 20 < stream.counts.frames < 10_000
    assert decodable(tmp_path / "scene" / "tracks.mp4") == stream.counts.frames


def test_time_is_counted_per_stage(tmp_path):
    pipeline = make_pipeline(tmp_path, [SceneSource()], encoder=ColourMean())
    pipeline.run()
    found = pipeline.steps.timing.summary()
    assert set(found) == {"decode", "detect", "crop", "encode", "associate", "answer", "draw", "write"}
    np.testing.assert_allclose(sum(s["share"] for s in found.values()), 1, atol=0.01)
    assert all(s["p95_ms"] >= s["p50_ms"] > 0 for s in found.values())


@pytest.mark.parametrize("appearance", ["always", "auto"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_features_without_direction_are_counted_and_cost_no_frame(tmp_path, value, appearance):
    encoder = ColourMean()
    encode = encoder.encode

    def broken(crops):
        features = encode(crops)
        features[:1] = value
        return features

    encoder.encode = broken
    pipeline = make_pipeline(tmp_path, [SceneSource()], encoder=encoder, appearance=appearance, video=False)
    pipeline.run()
    stream = pipeline.streams[0]
    assert stream.ending.error is None and stream.counts.frames == 30
    assert stream.counts.featureless == len(encoder.batches) > 0
    assert stream.counts.embedded == sum(encoder.batches) - len(encoder.batches)
    assert {r[1] for r in rows(tmp_path / "scene" / "tracks.txt")} == {"1", "2", "3"}
