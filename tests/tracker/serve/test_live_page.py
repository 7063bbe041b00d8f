"""`run rtsp://... --serve` in a real browser, against a real RTSP server on loopback."""

import csv
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import cv2
import pytest

from tests.processes import start_hearing
from tests.scenes import image, there_and_back
from tests.tracker.answers.browser import complaints, open_browser

SYSTEM_PYTHON = "/usr/bin/python3"
BINDINGS = 'import gi; gi.require_version("GstRtspServer", "1.0"); from gi.repository import GstRtspServer'


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """Address of a camera that shows the blocks walking to and fro."""
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run([SYSTEM_PYTHON, "-c", BINDINGS], stderr=-3).returncode:
        pytest.skip(
            "no RTSP server here: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly"
        )
    folder = tmp_path_factory.mktemp("camera")
    for i in range(56):
        cv2.imwrite(str(folder / f"{i:05d}.jpg"), image(there_and_back(i + 1), (320, 240)))
    server = subprocess.Popen(
        [SYSTEM_PYTHON, str(Path(__file__).parent / "rtsp_server.py"), str(folder)], stdout=subprocess.PIPE, text=True
    )
    yield server.stdout.readline().strip()
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture
def run(camera, tmp_path):
    """A run of the camera with its page: the process, the page's address, the folder."""
    command = [
        sys.executable, "-m", "tracker", "run", camera, "--detector", "motion", "--encoder", "none", "--no-video",
        "--line", "gate=120,0,120,239:in/out", "--serve", "0", "--output", str(tmp_path / "out"),
    ]  # fmt: skip
    process = start_hearing(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = re.search(r"http://\S+", process.stdout.readline())[0]
    drain = threading.Thread(target=process.stdout.read, daemon=True)
    drain.start()
    yield process, address, tmp_path / "out"
    if process.poll() is None:
        process.kill()
    process.wait()
    drain.join(5)
    process.stdout.close()


def read(address, name):
    with urllib.request.urlopen(address + name, timeout=60) as answer:  # noqa: S310 (our own server)
        return json.load(answer)["sources"]


def _wait(done, seconds=90):
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_the_page_shows_what_the_run_counts(run, tmp_path):
    process, address, folder = run
    driver = open_browser()
    try:
        driver.get(address)
        _wait(lambda: (s := read(address, "counts.json")) and sum(r["count"] for r in s[0]["counts"]) >= 3)
        text = "return document.getElementById('{}').innerText"
        _wait(lambda: "gate" in driver.execute_script(text.format("counts")))
        assert _wait(lambda: driver.execute_script("return document.getElementById('picture').naturalWidth")) == 320
        assert _wait(lambda: driver.execute_script("return document.querySelectorAll('#hour rect').length"))
        assert driver.execute_script(
            "return document.getElementById('no-lines').hidden"
        )  # nobody who drew one is told how
        health = read(address, "health.json")[0]
        assert health["viewers"] == 1 and health["fps"] > 0 and health["delay_s"] is not None
        button = driver.find_element("id", "record")
        button.click()
        _wait(lambda: button.text == "Stop recording")
        time.sleep(0.5)
        button.click()
        _wait(lambda: button.text == "Start recording")
        driver.save_screenshot(str(tmp_path / "page.png"))
        assert complaints(driver) == []  # nothing was refused by the policy, nothing failed
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        _wait(lambda: "does not answer" in driver.execute_script(text.format("state")))
    finally:
        driver.quit()
    rows = list(csv.DictReader((folder / "counts.csv").read_text().splitlines()))
    counted = {d: sum(int(r["count"]) for r in rows if r["direction"] == d) for d in ("in", "out")}
    today = json.loads((folder / "today.json").read_text())
    assert {d: sum(c[3] for c in today["counts"] if c[1] == d) for d in ("in", "out")} == counted
    (recorded,) = (folder / "recordings").iterdir()
    assert recorded.stat().st_size > 1000
