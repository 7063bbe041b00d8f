"""An OpenCV that does not load, two of them, and what is required besides."""

import subprocess
import sys
from importlib import metadata

import pytest

from tracker.core import opencv
from tracker.errors import BackendMissingError


def run(folder):
    """What a run says with the packages in a folder before all others."""
    code = (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom tracker.app.cli import main\nsys.exit(main(['a.mp4']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    "reason, packages, remedy",
    [
        ("libGL.so.1: cannot open shared object file", ["opencv_python-4.9.0"],
         "install --force-reinstall opencv-python-headless"),
        ("No module named 'cv2'", [], "pip install opencv-python"),
        ("no cv2.typing", ["opencv_python-4.9.0", "opencv_python_headless-4.8.1"],
         "opencv-python 4.9.0 and opencv-python-headless 4.8.1 overwrite each other's files; keep one: "),
    ],
)  # fmt: skip
def test_a_run_names_the_package_to_install(tmp_path, reason, packages, remedy):
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({reason!r})\n")
    for package in packages:
        (tmp_path / f"{package}.dist-info").mkdir()
    (line,) = run(tmp_path)
    assert line.startswith(f"error: OpenCV does not load ({reason})") and remedy in line


def test_two_that_differ_are_told_and_two_alike_are_not(tmp_path, monkeypatch, capsys):
    found = {"opencv-python": "4.9", "opencv-python-headless": "4.9"}
    monkeypatch.setattr(opencv, "installed", lambda: found)
    opencv.check_opencv()
    assert capsys.readouterr().err == ""
    found["opencv-python"] = "4.8"
    opencv.check_opencv()
    told = capsys.readouterr().err
    assert "opencv-python 4.8 and opencv-python-headless 4.9" in told
    assert "uninstall -y opencv-python opencv-python-headless && " in told


def test_what_is_required_besides(monkeypatch):
    required = ["numpy>=1.26", "opencv-python>=4.9", 'openvino>=2024.4; platform_machine == "x86_64"',
                'starlette>=0.37; extra == "live"', 'ray>=2.40; extra == "batch"']  # fmt: skip
    required.append("shows-windows==2")
    known = {opencv.OURS: required, "shows-windows": ["numpy", "opencv-python"]}
    monkeypatch.setattr(metadata, "requires", known.get)
    assert opencv.others() == [required[0], required[2]]
    assert opencv.others(["live"]) == [required[0], required[2], "starlette>=0.37"]


def test_requirements_of_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(opencv, "OURS", "no-such-package")
    with pytest.raises(BackendMissingError, match="install --no-deps"):
        opencv.others()
