"""The report page: what it says is what the tables say, in a real browser, whatever names it is given."""

import csv
import json
from collections import Counter

import cv2
import numpy as np
import pytest

from tests.scenes import write_detections, write_video
from tests.tracker.answers.browser import complaints, open_browser
from tracker.answers.files import FLOWS, OCCUPANCY, VISITS
from tracker.answers.report import MOST_BYTES, moments, render, write_report
from tracker.app.cli import main
from tracker.errors import SourceError

EVIL = "<img src=x onerror=alert(1)> \"q\" 'a' =cmd, &amp; {{7*7}}</script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_video(folder / "clip.mp4", 50)
    write_detections(folder / "det.txt", 50)
    scene = folder / "scene.toml"
    scene.write_text(
        "[[line]]\nname = '''" + EVIL[:78] + "'''\npoints = [[0.375, 0.1], [0.375, 0.9]]\ndirections = ['in', 'out']\n"
        "[[line]]\nname = 'slant'\npoints = [[0.1, 0.9], [0.9, 0.5]]\n"
        "[[zone]]\nname = 'middle'\npoints = [[0.25, 0.05], [0.6, 0.05], [0.6, 0.95], [0.25, 0.95]]\n"
        "[ground]\npoints = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]\nsides_m = [32.0, 24.0]\n"
    )
    given = ["run", str(folder / "clip.mp4"), "--detector", str(folder / "det.txt"), "--encoder", "none", "-q"]
    asked = ["--scene", str(scene), "--interval", "1s", "--start-time", "2026-11-27T08:00+01:00"]
    assert main([*given, *asked, "--output", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def browser():
    driver = open_browser()
    yield driver
    driver.quit()


def counts(run):
    with open(run / "counts.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_moments_tell_the_day_and_the_offset_where_these_change():
    assert moments(["0.000", "6.600", "4500.000"]) == {"0.000": "0:00", "6.600": "0:06.6", "4500.000": "1:15:00"}
    same = ["2026-10-25T02:45:00.000+02:00", "2026-10-25T02:59:50.000+02:00"]
    assert list(moments(same).values()) == ["02:45:00", "02:59:50"]
    assert list(moments([*same, "2026-10-25T02:00:00.000+01:00"]).values())[1:] == [
        "02:59:50 +02:00",
        "02:00:00 +01:00",
    ]
    assert list(moments([*same, "2026-10-26T02:45:00.000+02:00"]).values())[::2] == ["10-25 02:45:00", "10-26 02:45:00"]


def test_pictures_are_there(run):
    for name in ("background.jpg", "heatmap.png", "paths.png", "flows.png", "birds_eye.png"):
        assert (run / name).stat().st_size > 500, name


def test_the_page_is_small_and_asks_for_nothing(run):
    text = (run / "report.html").read_text()
    assert len(text.encode()) <= MOST_BYTES
    assert "http://" not in text and "https://" not in text and 'src="//' not in text


def test_numbers_on_the_page_are_those_of_the_tables(run, browser):
    browser.get((run / "report.html").as_uri())
    by = Counter()
    for row in counts(run):
        by[row["line"].removeprefix("'"), row["direction"]] += int(row["count"])
    heads = [h.text for h in browser.find_elements("css selector", "main section h3") if " visits" not in h.text]
    assert heads == [f"{line}, {direction}: {total}" for (line, direction), total in by.items()]
    total = sum(by.values())
    assert total and sum(int(f.text.split()[-1]) for f in browser.find_elements("css selector", "tfoot tr")) == total
    cells = browser.find_elements("css selector", "tbody button[data-name='']")
    assert sum(int(c.text) for c in cells) == total
    assert complaints(browser) == []


def test_a_click_on_a_count_jumps_the_video_to_the_crossing(run, browser):
    browser.get((run / "report.html").as_uri())
    with open(run / "crossings.csv", newline="") as file:
        times = sorted(float(c["time_s"]) for c in csv.DictReader(file) if c["line"] == "slant")
    button = next(
        b for b in browser.find_elements("css selector", ".card button") if "slant" in b.get_attribute("aria-label")
    )
    for number, time_s in enumerate(times[:2], 1):
        browser.execute_script("document.querySelector('video').pause(); arguments[0].focus()", button)
        browser.switch_to.active_element.send_keys("\n")  # by the keyboard
        assert f"{number} of" in browser.find_element("id", "said").text
        assert f"{time_s:.1f} s into the video" in browser.find_element("id", "said").text
    assert browser.execute_script("return document.querySelector('video').error") is None


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out_sideways(run, browser, width):
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)  # a window is never so narrow
    browser.get((run / "report.html").as_uri())
    page, inner = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    tall = browser.execute_script(
        "return Math.max(...[...document.querySelectorAll('dd,td')].map(e => e.clientHeight))"
    )
    bars, text = browser.execute_script(
        "return [Math.max(...[...document.querySelectorAll('figure > svg rect, figure > svg text')].map("
        "e => e.getBoundingClientRect().right)), "
        "document.querySelector('figure > svg text').getBoundingClientRect().height]"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert inner == width and page <= inner and tall < 200
    assert 0 < bars <= inner and text >= 9  # charts are seen whole, without being pushed, and can be read


def test_dark_mode_is_dark(run):
    driver = open_browser(dark=True)
    try:
        driver.get((run / "report.html").as_uri())
        colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    finally:
        driver.quit()
    assert colour == "rgb(20, 24, 28)"


def test_names_of_strangers_do_nothing(run, browser):
    browser.get((run / "report.html").as_uri())
    assert browser.execute_script("return document.querySelectorAll('main img[src=x]').length") == 0
    assert EVIL[:78] in browser.find_element("css selector", "main").text
    assert complaints(browser) == []


def test_the_report_is_the_same_again(run):
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_bytes() == before


def test_a_run_without_anything_still_has_a_page(tmp_path):
    assert "0</b><span>objects followed" in render(tmp_path, {"source": "empty"})


@pytest.mark.parametrize(
    "times, told",
    [
        (1, "1 entry and 1 exit were seen; half of the visits took less than 1.5 s, the longest 1.5 s; at most 1 was"),
        (
            2,
            "2 entries and 2 exits were seen; half of the visits took less than 1.5 s, the longest 1.5 s; at most 2 we",
        ),
        (0, "Nothing was inside."),
    ],
)
def test_one_of_a_thing_is_told_as_one(tmp_path, times, told):
    (tmp_path / "visits.csv").write_text(VISITS + "yard,3,car,1.000,2.500,1.500,1.000,2.500,yes,yes\n" * times)
    (tmp_path / "occupancy.csv").write_text(OCCUPANCY + f"0.000,9.000,yard,{times},{times},0.1,{times}\n")
    assert told in render(tmp_path, {"source": "clip", "duration_s": 9.0})


def test_a_picture_of_no_flow_is_left_out(tmp_path):
    for name in ("flows.png", "paths.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((36, 64, 3), np.uint8))
    title = "where objects come from and go to"
    for row, shown in (("", False), ("A,B,left,right,car,3\n", True)):
        (tmp_path / "flows.csv").write_text(FLOWS + row)
        page = render(tmp_path, {"source": "clip"})
        assert (title in page) == shown and "The way of every object" in page


def test_speeds_are_those_of_the_crossings(run):
    summary = json.loads((run / "summary.json").read_text())
    with open(run / "crossings.csv", newline="") as file:
        rows = [c for c in csv.DictReader(file) if c["speed"]]
    assert rows and sum(s["count"] for s in summary["speeds"]) == len(rows)
    for told in summary["speeds"]:
        mine = [
            float(c["speed"])
            for c in rows
            if (c["line"].removeprefix("'"), c["class"]) == (told["line"], told["class"])
        ]
        assert told["v50"] == pytest.approx(np.median(mine), abs=0.06)
        assert f"<td>{told['v85']:.1f}</td>" in (run / "report.html").read_text()


def test_many_intervals_and_crossings_stay_within_the_limit(tmp_path):
    """A month of quarters of an hour, 20,000 crossings."""
    rows = [f"{900 * n}.000,{900 * (n + 1)}.000,gate,in,car,7\n" for n in range(2880)]
    (tmp_path / "counts.csv").write_text("start,end,line,direction,class,count\n" + "".join(rows))
    crossings = [f"{900 * n + k}.000,,gate,in,car,{n * 7 + k + 1},10.0,10.0,\n" for n in range(2880) for k in range(7)]
    header = "time_s,clock,line,direction,class,id,x,y,speed\n"
    (tmp_path / "crossings.csv").write_text(header + "".join(crossings))
    page = write_report(tmp_path, {"source": "month", "first_s": 0.0, "last_s": 900.0 * 2880})
    assert page.stat().st_size <= MOST_BYTES
    assert f"gate, in: {2880 * 7}" in page.read_text()


def test_no_run_is_told(tmp_path):
    with pytest.raises(SourceError, match=r"holds no summary\.json"):
        write_report(tmp_path)
    assert json.dumps(main(["report", str(tmp_path)])) == "1"
