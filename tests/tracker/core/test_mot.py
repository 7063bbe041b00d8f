"""MOT rows and seqinfo.ini."""

import numpy as np
import pytest

from tests.scenes import write_sequence
from tracker.core.mot import format_rows, read_rows, read_seqinfo
from tracker.core.types import Tracks
from tracker.errors import DetectionsError, SourceError


def tracks(n):
    generator = np.random.default_rng(n)
    low = generator.uniform(-20, 500, (n, 2))
    return Tracks(
        np.arange(1, n + 1),
        np.hstack([low, low + generator.uniform(5, 99, (n, 2))]),
        generator.random(n).astype(np.float32),
        np.zeros(n, np.int32),
        np.arange(n),
        np.ones(n, bool),
        np.zeros(n, np.int64),
        np.ones(n, bool),
    )


@pytest.mark.parametrize("n", [0, 1, 7])
def test_rows_and_back(tmp_path, n):
    given = tracks(n)
    path = tmp_path / "tracks.txt"
    path.write_text(format_rows(12, given))
    back = read_rows(path)
    assert back.shape == (n, 7)
    np.testing.assert_array_equal(back[:, 0], 12)
    np.testing.assert_array_equal(back[:, 1], given.id)
    np.testing.assert_allclose(back[:, 2:4], given.xyxy[:, :2], atol=0.0051)
    np.testing.assert_allclose(back[:, 4:6], given.xyxy[:, 2:] - given.xyxy[:, :2], atol=0.0051)
    np.testing.assert_allclose(back[:, 6], given.score, atol=5.1e-5)


def test_row_has_ten_columns():
    assert format_rows(3, tracks(1)).strip().split(",")[7:] == ["-1", "-1", "-1"]


@pytest.mark.parametrize("line", ["1,2,3", "1,2,x,4,5,6", "<html>", "1;2;3;4;5;6"])
def test_names_the_broken_line(tmp_path, line):
    path = tmp_path / "t.txt"
    path.write_text("1,1,2,3,4,5,0.5\n\n" + line + "\n")
    with pytest.raises(DetectionsError, match=r"t\.txt, line 3: "):
        read_rows(path)


def test_reads_seqinfo(tmp_path):
    info = read_seqinfo(write_sequence(tmp_path / "walk", frames=4))
    assert (info.name, info.fps, info.frames, info.size, info.images) == ("walk", 10.0, 4, (160, 120), "img1")


@pytest.mark.parametrize(
    "text, part",
    [
        ("", "Sequence"),
        ("[Sequence]\nseqLength=3\n", "imWidth"),
        ("[Sequence]\nseqLength=x\nimWidth=3\nimHeight=3\n", "invalid literal"),
        ("[Sequence]\nseqLength=0\nimWidth=3\nimHeight=3\n", "expected positive"),
        ("nothing", "File contains no section"),
    ],
)
def test_refuses_broken_seqinfo(tmp_path, text, part):
    (tmp_path / "seqinfo.ini").write_text(text)
    with pytest.raises(SourceError, match=part):
        read_seqinfo(tmp_path)
