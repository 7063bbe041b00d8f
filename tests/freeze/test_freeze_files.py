"""Wrong files are named for what they are, without TensorFlow; the command's exit codes, and what it leaves behind."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from freeze import cli
from freeze.errors import FreezeError
from freeze.sniff import check_kind, sniff

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 11224180\n"
# GraphDef.node{name:"images" op:"Placeholder"}, MetaGraphDef.meta_info_def{stripped_op_list...}, SavedModel{version 1}
GRAPH = b"\n\x15\n\x06images\x12\x0bPlaceholder"
META = b"\n\x85\x01\x12\x10\n\x0e\n\x03Add\x12\x06\n\x01x2\x02" + b"\x00" * 120
SAVED_MODEL = b"\x08\x01\x12\x20\n\x10\x12\x08"


@pytest.mark.parametrize(
    "name, data, kind, word",
    [
        ("a.pb", b"", "empty", "0 bytes"),
        ("a.pb", b"  <!DOCTYPE html><html>", "html", "web page"),
        ("a.keras", LFS, "git-lfs", "git-lfs pointer"),
        ("a.pb", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10", "onnx", "ONNX"),
        ("a.onnx", b"\x08\x07\x12\x0bkeras2onnx\x20", "onnx", "ONNX"),
        ("a.pb", b"\x1c\0\0\0TFL3" + b"\0" * 20, "tflite", "Lite"),
        ("a.t7", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle", "PyTorch"),
        ("a.xml", b'<?xml version="1.0"?><net name="x">', "openvino", "OpenVINO"),
        ("a.json", b'{"class_name": "Functional"}', "json", "architecture"),
        ("a.pbtxt", b'node {\n name: "x"\n}', "pbtxt", "text form"),
        ("a.pb", GRAPH, "graphdef", "GraphDef"),
        ("renamed.pb", META, "meta", "MetaGraph"),
        ("old.meta", b"\n\x07*\x051.4.0\x12\x17" + GRAPH, "meta", "MetaGraph"),
        ("renamed.pb", SAVED_MODEL, "saved_model_pb", "SavedModel"),
        ("noise.bin", b"\xfe\xfd\xfc\x00\x01\x02", "unknown", "fe fd fc"),
    ],
)
def test_a_file_is_named_by_its_bytes(tmp_path: Path, name: str, data: bytes, kind: str, word: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    found = sniff(path)
    assert found.name == kind
    assert word in found.text
    assert found.option or found.remedy


def test_zips_tell_what_is_inside(tmp_path: Path) -> None:
    for member, kind in (("archive/data.pkl", "pytorch"), ("mars-small128.pb", "zip")):
        with zipfile.ZipFile(tmp_path / "x.pb", "w") as archive:
            archive.writestr(member, b"x")
        found = sniff(tmp_path / "x.pb")
        assert found.name == kind
    assert "mars-small128.pb" in found.text
    (tmp_path / "x.pb").write_bytes((tmp_path / "x.pb").read_bytes()[:20])
    assert "truncated" in sniff(tmp_path / "x.pb").text


def test_folders(tmp_path: Path) -> None:
    assert sniff(tmp_path).name == "folder"
    (tmp_path / "1699").mkdir()
    (tmp_path / "1699" / "saved_model.pb").write_bytes(SAVED_MODEL)
    assert "1699" in sniff(tmp_path).text
    assert str(tmp_path / "1699") in sniff(tmp_path).remedy
    assert sniff(tmp_path / "1699").name == "saved_model"
    (tmp_path / "1699" / "variables").mkdir()
    assert str(tmp_path / "1699") in sniff(tmp_path / "1699" / "variables").remedy
    (tmp_path / "1699" / "saved_model.pb").write_bytes(LFS)
    assert sniff(tmp_path / "1699").name == "git-lfs"


def test_missing_file_lists_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other.pb").write_bytes(GRAPH)
    with pytest.raises(FreezeError, match="does not exist") as e:
        check_kind(tmp_path / "encoder.pb", "graphdef", "--graphdef")
    assert e.value.code == "FILE_MISSING"
    assert "other.pb" in str(e.value)


def test_the_right_option_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.pb"
    path.write_bytes(META)
    with pytest.raises(FreezeError, match="use --meta"):
        check_kind(path, "graphdef", "--graphdef")


@pytest.mark.parametrize("command", [["--help"], ["inspect", "page.pb"], ["--graphdef", "page.pb", "--out", "x.pb"]])
def test_help_and_wrong_files_load_no_tensorflow(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "page.pb").write_text("<html></html>")
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from freeze.cli import main\n"
        "try: rc = main(sys.argv[1:])\n"
        "except SystemExit as e: rc = e.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; sys.exit(rc)"
    )
    root = str(Path(__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", code, root, *command], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == (0 if command == ["--help"] else 1), run.stderr
    if command != ["--help"]:
        assert "web page" in run.stdout + run.stderr
        assert "Traceback" not in run.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["page.pb"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--graphdef", "a.pb"],
        ["--graphdef", "a.pb", "--keras", "b.keras", "--out", "x.pb"],
        ["--graphdef", "a.pb", "--out", "x.bin"],
        ["--graphdef", "a.pb", "--out", "x.pb", "--bind", "temperature=warm"],
        ["--graphdef", "a.pb", "--out", "x.pb", "--image-shape", "tall"],
        ["--graphdef", "a.pb", "--out", "x.pb", "--scale", "1/0"],
        ["--graphdef", "a.pb", "--out", "x.pb", "--precision", "f8"],
        ["--graphdef", "a.pb", "--out", "x.pb", "--report", "x.pdf"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_is_exit_code_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main(options)
    except SystemExit as e:
        code = int(str(e.code))
    assert code == 2
    assert "error" in capsys.readouterr().err


def test_failure_leaves_an_earlier_graph_untouched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "encoder.pb"
    out.write_bytes(b"an earlier, good graph")
    (tmp_path / "encoder.json").write_text(json.dumps({"earlier": True}))
    (tmp_path / "page.pb").write_text("<html></html>")
    assert cli.main(["--graphdef", str(tmp_path / "page.pb"), "--out", str(out)]) == 1
    assert out.read_bytes() == b"an earlier, good graph"
    assert json.loads((tmp_path / "encoder.json").read_text()) == {"earlier": True}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.json", "encoder.pb", "page.pb"]
    assert "WRONG_FILE" in capsys.readouterr().err


def test_an_unforeseen_error_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(path: Path, wanted: str, option: str) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("freeze.load.graphdef.check_kind", broken)
    (tmp_path / "a.pb").write_bytes(GRAPH)
    assert cli.main(["--graphdef", str(tmp_path / "a.pb"), "--out", str(tmp_path / "x.pb")]) == 1
    said = capsys.readouterr().err
    assert "UNEXPECTED" in said
    assert "surprise" in said
    assert "load_graphdef.py" in said or "test_freeze_files.py" in said
