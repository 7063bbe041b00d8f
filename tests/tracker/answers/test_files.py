"""Files for other tools: the database and the exports hold what the tables hold."""

import csv
import json
import sqlite3
from xml.etree import ElementTree

import pytest

from tests.scenes import write_detections, write_video
from tracker.app.cli import main

SCENE = [
    "--line", "gate=60,10,60,110:in/out", "--zone", "middle=40,5,100,5,100,115,40,115",
    "--ground", "32x24=0,0,160,0,160,120,0,120",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_video(folder / "clip.mp4", 50)
    write_detections(folder / "det.txt", 50)
    given = ["run", str(folder / "clip.mp4"), "--detector", str(folder / "det.txt"), "--encoder", "none", "-q"]
    more = ["--database", str(folder / "run.sqlite"), "--no-video", "--output", str(folder / "out")]
    assert main([*given, *SCENE, *more]) == 0
    return folder / "out"


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_database_holds_the_tables(run):
    with sqlite3.connect(run.parent / "run.sqlite") as db:
        tracks = db.execute("SELECT frame, id, class, left, score FROM tracks ORDER BY frame, id").fetchall()
        rows = table(run / "tracks.csv")
        told = sorted((int(r["frame"]), int(r["id"]), r["class"], float(r["left"]), float(r["score"])) for r in rows)
        assert tracks == told
        crossings = db.execute("SELECT time_s, line, direction, class, id FROM crossings").fetchall()
        rows = table(run / "crossings.csv")
        assert crossings == [(float(r["time_s"]), r["line"], r["direction"], r["class"], int(r["id"])) for r in rows]
        visits = db.execute("SELECT zone, id, entered_s, left_s FROM visits").fetchall()
        rows = table(run / "visits.csv")
        assert visits == [(r["zone"], int(r["id"]), float(r["entered_s"]), float(r["left_s"])) for r in rows]
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert dict(db.execute("SELECT key, value FROM run"))["schema"] == "2" and len(crossings) == 2 and visits
        assert db.execute("SELECT COUNT(*) FROM objects WHERE counted").fetchone() == (3,)


def test_afterwards_fills_the_same_database(run, tmp_path):
    assert main(["count", str(run), "-q", "--database", str(tmp_path / "again.sqlite")]) == 0
    dumps = []
    for path in (run.parent / "run.sqlite", tmp_path / "again.sqlite"):
        with sqlite3.connect(path) as db:
            dumps.append(list(db.iterdump()))
    assert dumps[0] == dumps[1]


def test_a_database_that_is_there_is_not_touched(run, tmp_path, capsys):
    before = (run.parent / "run.sqlite").read_bytes()
    given = ["run", str(run.parent / "clip.mp4"), "--detector", str(run.parent / "det.txt"), "--encoder", "none"]
    assert main([*given, "--database", str(run.parent / "run.sqlite"), "--output", str(tmp_path / "out")]) in (1, 2)
    assert "is there already" in capsys.readouterr().err
    assert before == (run.parent / "run.sqlite").read_bytes()


def test_coco(run):
    assert main(["export", str(run), "--format", "coco"]) == 0
    data = json.loads((run / "coco.json").read_text())
    rows = table(run / "tracks.csv")
    assert len(data["annotations"]) == len(rows) and {a["track_id"] for a in data["annotations"]} == {1, 2, 3}
    assert data["videos"] == [{"id": 1, "name": "clip", "width": 160, "height": 120, "length": 50}]
    images, names = {i["id"] for i in data["images"]}, {c["id"]: c["name"] for c in data["categories"]}
    for a, r in zip(data["annotations"], rows, strict=True):
        assert a["image_id"] in images and names[a["category_id"]] == r["class"]
        assert a["bbox"] == [float(r[k]) for k in ("left", "top", "width", "height")]


def test_cvat(run):
    assert main(["export", str(run), "--format", "cvat"]) == 0
    root = ElementTree.parse(run / "cvat.xml").getroot()  # noqa: S314 (our own file)
    boxes = root.findall("track/box")
    shown = [b for b in boxes if b.get("outside") == "0"]
    rows = table(run / "tracks.csv")
    assert root.findtext("version") == "1.1" and len(root.findall("track")) == 3 and len(shown) == len(rows)
    first = min(int(r["frame"]) for r in rows)
    assert min(int(b.get("frame")) for b in shown) == first - 1 and all(int(b.get("frame")) < 50 for b in boxes)


def test_parquet(run):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["export", str(run), "--format", "parquet"]) == 0
    found = parquet.read_table(run / "tracks.parquet").to_pylist()
    rows = table(run / "tracks.csv")
    assert len(found) == len(rows) and list(found[0]) == list(rows[0])
    assert all(
        f["id"] == int(r["id"]) and f["left"] == pytest.approx(float(r["left"]))
        for f, r in zip(found, rows, strict=True)
    )


def test_geojson_is_in_metres(run):
    assert main(["export", str(run), "--format", "geojson"]) == 0
    features = json.loads((run / "paths.geojson").read_text())["features"]
    assert features and all(f["geometry"]["type"] == "LineString" for f in features)
    first = next(f for f in features if f["properties"]["id"] == 1)["geometry"]["coordinates"]
    row = next(r for r in table(run / "tracks.csv") if r["id"] == "1" and float(r["score"]) > 0)
    x, y = float(row["left"]) + float(row["width"]) / 2, float(row["top"]) + float(row["height"])
    assert first[0] == pytest.approx([x * 32 / 160, y * 24 / 120], abs=0.02)


def test_no_ground_no_geojson(run, tmp_path, capsys):
    given = ["run", str(run.parent / "clip.mp4"), "--detector", str(run.parent / "det.txt"), "--encoder", "none", "-q"]
    assert main([*given, "--no-video", "--output", str(tmp_path / "out")]) == 0
    assert main(["export", str(tmp_path / "out"), "--format", "geojson"]) == 1
    assert "has no ground; count it with --ground" in capsys.readouterr().err
