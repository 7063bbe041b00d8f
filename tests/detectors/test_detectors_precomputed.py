import json

import numpy as np
import pytest

from detectors.registry import open_detector
from tracker.core.types import Frame
from tracker.errors import DetectionsError, DetectorError, TrackerError


def frame(index):
    return Frame(index, index / 10, None, (640, 480))


def write(tmp_path, text):
    path = tmp_path / "det.txt"
    path.write_text(text)
    return path


def test_rows_come_back_by_frame(tmp_path):
    path = write(tmp_path, "3,-1,10,20,30,40,0.5,-1,-1,-1\n1,-1,1,2,3,4,0.9\n\n3 -1 0 0 5 5 2.5\n")
    detector = open_detector(path)
    first, second, third = (detector(frame(i)) for i in (1, 2, 3))
    np.testing.assert_allclose(first.xyxy, [[1, 2, 4, 6]])
    assert len(second) == 0
    np.testing.assert_allclose(third.xyxy, [[10, 20, 40, 60], [0, 0, 5, 5]])
    np.testing.assert_allclose(third.score, [0.5, 2.5])
    assert detector.warnings == [] and detector.runtime == "file"


def test_confidence_leaves_rows_out(tmp_path):
    path = write(tmp_path, "1,-1,1,2,3,4,0.2\n1,-1,1,2,3,4,0.6\n1,-1,1,2,3,4\n")
    np.testing.assert_allclose(open_detector(path, confidence=0.5)(frame(1)).score, [0.6, 1.0])


@pytest.mark.parametrize(
    "line",
    ["1,-1,1,2,3", "1,-1,1,two,3,4,1", "-1,-1,1,2,3,4,1", "1.5,-1,1,2,3,4,1", "nan,-1,1,2,3,4", "{}", "1,-1,,2,3,4,1"],
)
def test_a_broken_line_is_named(tmp_path, line):
    path = write(tmp_path, f"1,-1,1,2,3,4,1\n\n{line}\n1,-1,1,2,3,4,1\n")
    with pytest.raises(DetectionsError, match="line 3"):
        open_detector(path)


@pytest.mark.parametrize(
    "row", ["1,-1,nan,2,3,4,1", "1,-1,1,2,-3,4,1", "1,-1,1,2,3,0,1", "1,-1,1,2,3,4,inf", "1,-1,1e9,2,1,4,1"]
)
def test_unusable_boxes_are_dropped_and_counted(tmp_path, row):
    detector = open_detector(write(tmp_path, f"{row}\n1,-1,1,2,3,4,1\n"))
    assert len(detector(frame(1))) == 1
    assert "1 of 2 rows dropped" in detector.warnings[0]


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_a_warning(tmp_path, text):
    detector = open_detector(write(tmp_path, text))
    assert len(detector(frame(1))) == 0 and "no usable detections" in detector.warnings[0]


def test_a_missing_or_binary_file_is_one_message(tmp_path):
    with pytest.raises(DetectionsError, match="no such file"):
        open_detector(tmp_path / "none.txt")
    path = tmp_path / "b.txt"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DetectionsError, match="cannot be read as text"):
        open_detector(path)


def test_a_class_the_file_cannot_know_is_refused(tmp_path):
    path = write(tmp_path, "1,-1,10,20,30,40,0.9,-1,-1,-1\n")
    with pytest.raises(DetectorError, match=r"'persn'.*it knows: object"):
        open_detector(path, classes=["persn"])
    assert len(open_detector(path, classes=["object"])(frame(1))) == 1


CLIP = {f: [(40 + 3 * f, 30, 60, 80), (400 - 3 * f, 200, 90, 70)] for f in range(1, 31)}
"""Two boxes a frame: left, top, width, height in frames of 640x480."""


def run(detector, first=1, last=30):
    return [detector(frame(i)) for i in range(first, last + 1)]


def csv(header, row):
    return header + "\n" + "".join(row(f, *b) + "\n" for f, boxes in CLIP.items() for b in boxes)


def yolo(folder, start=1, line=lambda x, y, w, h: (x + w / 2, y + h / 2, w, h, 0.9)):
    """Labels of a folder; `line` takes and gives shares of the frame."""
    folder.mkdir()
    (folder / "classes.txt").write_text("person\ncar\n")
    for f, boxes in CLIP.items():
        shares = [(x / 640, y / 480, w / 640, h / 480) for x, y, w, h in boxes]
        lines = [" ".join(map(str, (k, *line(*share)))) for k, share in enumerate(shares)]
        (folder / f"clip_{f - 1 + start}.txt").write_text("\n".join(lines))
    return folder


def centre(x, y, w, h):
    return x + w / 2, y + h / 2, w, h


YOLO = {
    "track ids": lambda *box: (*centre(*box), 0.9, 7),
    "outlines": lambda x, y, w, h: (x, y, x + w / 2, y, x + w, y + h / 3, x + w, y + h, x, y + h),
    "turned boxes": lambda x, y, w, h: (x, y, x + w, y, x + w, y + h, x, y + h),
    "keypoints": lambda x, y, w, h: (*centre(x, y, w, h), x + w / 3, y + h / 4, 2, 0, 0, 0, x + w, y + h, 1),
}


@pytest.mark.parametrize("form", YOLO)
def test_labels_of_yolo_s_other_tasks_are_boxes(tmp_path, form):
    detector = open_detector(yolo(tmp_path / "labels", line=YOLO[form]))
    assert len(detector.warnings) == (form in ("outlines", "turned boxes"))
    for f, found in enumerate(run(detector), 1):
        x, y, w, h = np.array(CLIP[f]).T
        np.testing.assert_allclose(found.xyxy, np.column_stack([x, y, x + w, y + h]), atol=1e-3)


def test_corners_in_labels_are_told(tmp_path):
    detector = open_detector(yolo(tmp_path / "labels", line=lambda x, y, w, h: (x, y, x + w, y + h)))
    run(detector)
    assert "right and bottom edges where width and height are expected?" in " ".join(detector.warnings)


def coco():
    boxes = [
        {"image_id": f, "category_id": k, "bbox": list(b), "score": 0.9}
        for f, bs in CLIP.items()
        for k, b in enumerate(bs)
    ]
    images = [{"id": f, "file_name": f"{f:06d}.jpg"} for f in CLIP]
    return boxes, {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 0, "name": "person"}, {"id": 1, "name": "car"}],
    }


FORMS = {
    "mot 10 columns": ("a.txt", csv("", lambda f, x, y, w, h: f"{f},-1,{x},{y},{w},{h},0.9,-1,-1,-1")),
    "mot 6 columns": ("a.txt", csv("", lambda f, x, y, w, h: f"{f} -1 {x} {y} {w} {h}")),
    "mot with tabs": ("a.txt", csv("", lambda f, x, y, w, h: f"{f}\t-1\t{x}\t{y}\t{w}\t{h}\t0.9")),
    "mot from 0": ("a.txt", csv("", lambda f, x, y, w, h: f"{f - 1},-1,{x},{y},{w},{h},0.9")),
    "csv sizes": ("a.csv", csv("frame_id,class,conf,x,y,w,h", lambda f, x, y, w, h: f"{f},car,0.9,{x},{y},{w},{h}")),
    "csv corners": (
        "a.csv",
        csv("Frame;xmin;ymin;xmax;ymax;label", lambda f, x, y, w, h: f"{f};{x};{y};{x + w};{y + h};car"),
    ),
    "csv centres": ("a.csv", csv("frame,cx,cy,w,h", lambda f, x, y, w, h: f"{f},{x + w / 2},{y + h / 2},{w},{h}")),
    "mot with a comment": ("a.txt", csv("# frame,id,...", lambda f, x, y, w, h: f"{f},-1,{x},{y},{w},{h},0.9")),
    "kitti": ("a.txt", csv("", lambda f, x, y, w, h: f"{f} 0 Car 0 0 0 {x} {y} {x + w} {y + h} 1 1 1 1 1 1 1 0.9")),
    "coco results": ("a.json", json.dumps(coco()[0])),
    "coco data set": ("a.json", json.dumps(coco()[1])),
}


@pytest.mark.parametrize("form", [*FORMS, "yolo", "yolo from 0"])
def test_the_forms_that_are_about_are_read(tmp_path, form):
    if form.startswith("yolo"):
        path = yolo(tmp_path / "labels", start=0 if "0" in form else 1)
    else:
        path = tmp_path / FORMS[form][0]
        path.write_text(FORMS[form][1])
    detector = open_detector(path)
    for f, found in enumerate(run(detector), 1):
        x, y, w, h = np.array(sorted(CLIP[f])).T
        order = np.argsort(found.xyxy[:, 0])
        np.testing.assert_allclose(found.xyxy[order], np.column_stack([x, y, x + w, y + h]), atol=1e-3)
    assert all("from 0" in w for w in detector.warnings)
    if form in ("yolo", "coco data set"):
        assert detector.class_names == ("person", "car")


@pytest.mark.parametrize(
    "name, row, words",
    [
        ("corners", lambda f, x, y, w, h: f"{f},-1,{x},{y},{x + 10 * w},{y + 10 * h},1", "right and bottom edges"),
        ("large", lambda f, x, y, w, h: f"{f},-1,{3 * x + 600},{3 * y},{w},{h},1", "frames of another size"),
        ("tiny", lambda f, x, y, w, h: f"{f},-1,{x},{y},1.1,1.2,1", "another unit"),
        ("other frames", lambda f, x, y, w, h: f"{f + 5000},-1,{x},{y},{w},{h},1", "no frame matches"),
        ("other rate", lambda f, x, y, w, h: f"{f * 10},-1,{x},{y},{w},{h},1", "another frame rate"),
        ("swapped", lambda f, x, y, w, h: f"{f},-1,{x},{y},{-w},{-h},1", "another order"),
        ("nan", lambda f, x, y, w, h: f"{f},-1,nan,{y},{w},{h},1", "60 of 60 rows dropped"),
        ("small", lambda f, x, y, w, h: f"{f},-1,{x / 3},{y / 3},{w / 3},{h / 3},1", "made for smaller frames"),
        ("no score", lambda f, x, y, w, h: f"{f},-1,{x},{y},{w},{h},0", "all rows score 0"),
        ("twice", lambda f, x, y, w, h: f"{f},-1,{x},{y},{w},{h},1\n" * 2, "60 of 120 rows repeat another"),
    ],
)
def test_what_does_not_fit_the_frames_is_told(tmp_path, name, row, words):
    detector = open_detector(write(tmp_path, csv("", row)))
    run(detector)
    assert any(words in w for w in detector.warnings), detector.warnings


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_shares_in_a_form_of_pixels_are_refused(tmp_path, scale):
    text = csv("", lambda f, x, y, w, h: f"{f},-1,{scale * x / 640},{y / 480},{w / 640},{h / 480},1")
    with pytest.raises(DetectionsError, match=r"shares of the frame.*folder of YOLO labels"):
        open_detector(write(tmp_path, text))


def test_nms_and_confidence_act_on_files(tmp_path):
    path = write(tmp_path, csv("", lambda f, x, y, w, h: f"{f},-1,{x},{y},{w},{h},0.9\n{f},-1,{x + 2},{y},{w},{h},0.4"))
    assert len(open_detector(path)(frame(1))) == 4 and len(open_detector(path, nms=0.5)(frame(1))) == 2
    detector = open_detector(path, confidence=0.95)
    assert any("all 120 rows score below --confidence 0.95: 0.4 to 0.9" in w for w in detector.warnings)


@pytest.mark.parametrize(
    "name, text",
    [("a.json", "[" * 100_000), ("a.json", '[{"bbox": [1, 2, 3]}]'), ("a.json", "{}"),
     ("a.json", '[{"image_id": [], "bbox": [1,2,3,4]}]'),
     ("a.csv", "frame,x,y,w,score\n1,2,3,4,5"), ("a.csv", 'frame,x,y,w,h\n1,"2,3,4'), ("a.csv", "frame,x,y,w,h\n1,2"),
     ("a.txt", "1 0 Dragon 0 0 0 1 2 3 4 1 1 1 1 1 1 1"), ("a.txt", "1e400,1,1,1,1,1")],
)  # fmt: skip
def test_broken_files_of_every_form_are_one_message(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DetectionsError):
        open_detector(tmp_path / name)


def test_scores_in_percent_are_told(tmp_path):
    rows = csv("", lambda f, x, y, w, h: f"{f},-1,{x},{y},{w},{h},91.5,-1,-1,-1")
    assert any("percent as it seems" in w for w in open_detector(write(tmp_path, rows)).warnings)
    assert not open_detector(write(tmp_path, rows.replace("91.5", "3.2"))).warnings


@pytest.mark.parametrize(
    "name, text, met",
    [("a.json", '[{"name": "f1", "labels": [{"box2d": {"x1": 1}}]}]', "no bbox, but name, labels"),
     ("a.json", '{"annotations": [{"image_id": 1, "segmentation": [[1, 2, 3]]}]}', "no bbox, but image_id"),
     ("a.xml", "<?xml version='1.0'?>\n<annotations><track id='0'/></annotations>", "XML of <annotations>, no network"),
     ("voc/1.xml", "<annotation/>", r"without label files \(.txt\) but with .xml"),
     ("a.xml", "<?xml version='1.0'?>\n<net name='yolo'/>", "an OpenVINO model")],
)  # fmt: skip
def test_annotations_of_other_tools_are_named(tmp_path, name, text, met):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(TrackerError, match=met):
        open_detector(path if path.parent == tmp_path else path.parent)


def test_a_name_tells_more_than_a_number(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("frame,xmin,ymin,xmax,ymax,confidence,class,name\n1,10,20,30,60,0.9,2,car\n")
    assert open_detector(path).class_names == ("car",)


def test_annotations_without_a_box_are_counted(tmp_path):
    path, entry = tmp_path / "a.json", {"image_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9}
    path.write_text(json.dumps([entry, {"image_id": 1, "segmentation": []}]))
    assert any("1 of 2 annotations have no bbox" in w for w in open_detector(path).warnings)
