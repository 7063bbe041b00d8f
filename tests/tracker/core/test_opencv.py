"""An OpenCV that does not load."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "reason, remedy",
    [
        ("libGL.so.1: cannot open shared object file", "opencv-python-headless"),
        ("No module named 'cv2'", "pip install opencv-python\n"),
    ],
)
def test_a_run_names_the_package_to_install(tmp_path, reason, remedy):
    (tmp_path / "cv2.py").write_text(f"raise ImportError({reason!r})\n")
    run = "from tracker.app.cli import main\nsys.exit(main(['a.mp4']))"
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{run}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: OpenCV does not load ({reason})") and remedy in done.stderr
