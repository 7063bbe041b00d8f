"""Parts become one video again."""

import numpy as np

from tracker.app.batch.rows import Rows, match, stitch


def walk(track, first, last, x, speed=2.0, y=10.0):
    """Rows of one object that walks to the right."""
    frame = np.arange(first, last + 1)
    left = x + speed * frame
    xyxy = np.column_stack([left, np.full(len(frame), y), left + 20, np.full(len(frame), y + 40.0)])
    n = len(frame)
    return Rows(frame, frame / 10, np.full(n, track), np.zeros(n, np.int32), xyxy, np.ones(n, np.float32))


def in_frames(*rows):
    whole = Rows.concatenate(rows)
    return whole[np.lexsort((whole.id, whole.frame))]


def test_objects_keep_their_numbers_over_a_cut():
    first = in_frames(walk(1, 1, 100, 0), walk(2, 50, 100, 300), walk(3, 1, 20, 600))
    second = in_frames(walk(1, 81, 160, 300), walk(2, 81, 200, 0), walk(3, 120, 200, 600))
    whole = stitch([first, second], [1, 101])
    assert np.unique(whole.id).tolist() == [1, 2, 3, 4]
    for track, (begin, end, x) in {1: (1, 200, 0), 2: (50, 160, 300), 3: (1, 20, 600), 4: (120, 200, 600)}.items():
        mine = whole[whole.id == track]
        np.testing.assert_array_equal(mine.frame, np.arange(begin, end + 1))
        np.testing.assert_allclose(mine.xyxy[:, 0], x + 2.0 * mine.frame)


def test_new_numbers_follow_the_order_of_first_sight():
    first, second = walk(1, 1, 100, 0), in_frames(walk(7, 150, 200, 500), walk(9, 120, 200, 900))
    whole = stitch([first, second], [1, 101])
    assert whole.id[whole.frame == 120].tolist() == [2] and sorted(whole.id[whole.frame == 150]) == [2, 3]


def test_what_both_parts_agree_on_last_goes_on():
    """In the earlier part the numbers of two objects changed over in the overlap."""
    earlier = in_frames(walk(1, 81, 88, 0), walk(2, 81, 88, 300), walk(2, 89, 100, 0), walk(1, 89, 100, 300))
    later = in_frames(walk(5, 81, 100, 0), walk(6, 81, 100, 300))
    assert match(earlier, later) == {5: 2, 6: 1}


def test_parts_without_objects():
    walked = walk(1, 1, 100, 0)
    assert len(stitch([], [])) == 0
    assert len(stitch([Rows.empty(), Rows.empty()], [1, 50])) == 0
    np.testing.assert_array_equal(stitch([walked, Rows.empty()], [1, 60]).frame, np.arange(1, 60))
    np.testing.assert_array_equal(stitch([Rows.empty(), walked], [1, 60]).id, np.ones(41))


def test_frame_by_frame():
    rows = in_frames(walk(1, 3, 5, 0), walk(2, 5, 6, 300))
    frames = [(frame.index, frame.time_s, tracks.id.tolist()) for frame, tracks in rows.frames((640, 480))]
    assert frames == [(3, 0.3, [1]), (4, 0.4, [1]), (5, 0.5, [1, 2]), (6, 0.6, [2])]
    assert list(Rows.empty().frames((640, 480))) == []
