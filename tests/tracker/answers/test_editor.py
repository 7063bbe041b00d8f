"""The scene editor in a real browser: what is drawn with the mouse is saved and counts; nobody else gets in."""

import http.client
import json
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from tests.scenes import image, write_detections, write_video
from tests.tracker.answers.browser import complaints, open_browser
from tracker.answers.editor import Editor, listen
from tracker.answers.scene import Line, Scene, read_scene
from tracker.app.cli import main
from tracker.errors import OutputError

starlette = pytest.importorskip("starlette")
SIZE = (160, 120)


@pytest.fixture
def editor(tmp_path):
    """A served editor: itself, its address and its thread."""
    picture = cv2.imencode(".jpg", image(1))[1].tobytes()
    suggested = [Line("AB", np.array([[0.2, 0.2], [0.2, 0.8]]), ("A to B", "back"))]
    it = Editor(picture, tmp_path / "scene.toml", Scene(size=SIZE), suggested)
    listener = listen()
    thread = threading.Thread(target=it.serve, args=(listener,), daemon=True)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/?token={it.token}"
    thread.start()
    yield it, address, thread
    it.stop()
    thread.join(5)


@pytest.fixture(scope="module")
def driver():
    driver = open_browser(width=1100, height=900)
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver):
    """The browser, which has told what it had to say of the test before."""
    complaints(driver)
    return driver


def drawer(browser):
    """A function that clicks at a share of the picture, or drags from one to another."""
    from selenium.webdriver import ActionChains

    canvas = browser.find_element("id", "canvas")

    def offset(x, y):
        return round((x - 0.5) * canvas.size["width"]), round((y - 0.5) * canvas.size["height"])

    def go(*places):
        chain = ActionChains(browser)
        chain.move_to_element_with_offset(canvas, *offset(*places[0]))
        if len(places) == 1:
            chain.click()
        else:
            chain.click_and_hold().move_to_element_with_offset(canvas, *offset(*places[1])).release()
        chain.perform()

    return go


def opened(browser, address):
    browser.get(address)
    ready = "const i = document.images[0]; return !!(i && i.complete && i.height > 50 && hint.textContent)"
    for _ in range(200):
        if browser.execute_script(ready):
            return drawer(browser)
        time.sleep(0.05)
    raise AssertionError("the page did not start")


def button(browser, text):
    return next(b for b in browser.find_elements("css selector", "button") if b.text == text)


def test_a_line_drawn_with_the_mouse_counts(editor, browser, tmp_path):
    it, address, thread = editor
    go = opened(browser, address)
    assert "token" not in browser.current_url
    go((0.375, 0.1))
    go((0.375, 0.9))
    name, right, left = browser.find_elements("css selector", "#shapes input")
    for box, text in ((name, "gate"), (right, "out"), (left, "in")):
        box.clear()
        box.send_keys(text)
    button(browser, "Save and close").click()
    thread.join(10)
    assert it.saved and not thread.is_alive() and complaints(browser) == []
    [line] = read_scene(tmp_path / "scene.toml").lines
    assert (line.name, line.directions) == ("gate", ("out", "in"))
    np.testing.assert_allclose(line.points, [[0.375, 0.1], [0.375, 0.9]], atol=0.01)

    write_video(tmp_path / "clip.mp4", 50)
    write_detections(tmp_path / "det.txt", 50)
    given = ["run", str(tmp_path / "clip.mp4"), "--detector", str(tmp_path / "det.txt"), "--encoder", "none", "-q"]
    scene = ["--scene", str(tmp_path / "scene.toml")]
    assert main([*given, *scene, "--output", str(tmp_path / "out"), "--no-video"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {(c["direction"], c["count"]) for c in summary["counts"]} == {("out", 1), ("in", 1)}


def test_zone_ground_drag_undo_and_suggestions(editor, browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    it, address, _ = editor
    go = opened(browser, address)
    button(browser, "Zone").click()
    for place in ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4)):
        go(place)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    go((0.4, 0.4), (0.5, 0.5))  # a corner is dragged
    button(browser, "Ground").click()
    for place in ((0.55, 0.55), (0.9, 0.55), (0.95, 0.95), (0.5, 0.95)):
        go(place)
    button(browser, "Line").click()
    go((0.6, 0.1))
    go((0.8, 0.1))
    button(browser, "Undo").click()  # the line goes again
    button(browser, "Suggested lines").click()
    button(browser, "Save").click()
    for _ in range(100):
        if it.saved:
            break
        time.sleep(0.05)
    scene = read_scene(tmp_path / "scene.toml")
    assert [line.name for line in scene.lines] == ["AB"] and scene.lines[0].directions == ("A to B", "back")
    np.testing.assert_allclose(scene.zones[0].points, [[0.1, 0.1], [0.4, 0.1], [0.5, 0.5], [0.1, 0.4]], atol=0.015)
    assert scene.ground.sides_m == (7.5, 30.0) and scene.size == SIZE and complaints(browser) == []


def test_what_makes_no_sense_is_told_on_the_page_and_not_saved(editor, browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    _, address, _ = editor
    go = opened(browser, address)
    button(browser, "Zone").click()
    for place in ((0.1, 0.1), (0.6, 0.6), (0.6, 0.1), (0.1, 0.6)):
        go(place)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    button(browser, "Save").click()
    for _ in range(100):
        if "cross" in browser.find_element("id", "hint").text:
            break
        time.sleep(0.05)
    assert "its sides cross each other" in browser.find_element("id", "hint").text
    assert not (tmp_path / "scene.toml").exists()


def ask(address, method="GET", path="/", **headers):
    parts = urlsplit(address)
    body = headers.pop("body", None)
    headers = {"Host": f"127.0.0.1:{parts.port}"} | {k.title(): v for k, v in headers.items()}
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer


def test_nobody_else_gets_in(editor):
    _, address, _ = editor
    path = "/?" + urlsplit(address).query
    for asked in ("/", "/scene.json", "/picture.jpg", "/?token=wrong", "/?token="):
        assert ask(address, path=asked)[0] == 403, asked
    assert ask(address, "POST", "/scene.json", body="{}")[0] == 403
    status, _, answer = ask(address, path=path)
    cookie = answer.getheader("set-cookie").split(";")[0]
    assert status == 303 and "httponly" in answer.getheader("set-cookie").lower()
    assert ask(address, path=path)[0] == 403  # the token opens once
    assert ask(address, path="/", cookie=cookie)[0] == 200
    assert ask(address, path="/", cookie=cookie, host="evil.example")[0] == 403  # DNS rebinding
    assert ask(address, path="/", cookie=cookie, host="localhost:9999")[0] == 200  # a forwarded port
    for body in ("{", "[]", "3", json.dumps({"lines": []}), "[" * 100_000):
        assert ask(address, "POST", "/scene.json", body=body, cookie=cookie)[0] == 415
        sent = {"cookie": cookie, "content-type": "application/json"}
        assert ask(address, "POST", "/scene.json", body=body, **sent)[0] == 400, body[:20]
    assert ask(address, "POST", "/scene.json", body="x" * 500_000, **sent)[0] == 413


def test_a_taken_port_is_told():
    with listen() as taken, pytest.raises(OutputError, match="cannot be used"):
        listen(taken.getsockname()[1])


def test_a_source_that_is_none_is_told(tmp_path, capsys):
    assert main(["scene", str(tmp_path / "none.mp4"), "--no-browser"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("name", ["missing/scene.toml", ".", "/proc/scene.toml"])
def test_what_could_not_be_saved_is_told_before_anything_is_drawn(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(Editor, "serve", lambda self, listener: pytest.fail("it was drawn"))
    video = write_video(tmp_path / "clip.mp4", 5)
    assert main(["scene", str(video), "--no-browser", "-o", str(tmp_path / name)]) == 1
    told = capsys.readouterr()
    assert "cannot be written" in told.err and not told.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]


@pytest.mark.parametrize("pattern", ["", "/*.mp4"])
def test_a_folder_of_videos_is_not_one_place(tmp_path, capsys, pattern):
    write_video(tmp_path / "b.mp4", 5)
    write_video(tmp_path / "a.mp4", 5)
    assert main(["scene", f"{tmp_path}{pattern}", "--no-browser"]) == 1
    assert f"names 2 videos; expected one of them here, such as {tmp_path / 'a.mp4'}" in capsys.readouterr().err


def test_the_address_that_is_told_is_the_one_that_opens(tmp_path, monkeypatch, capsys):
    """With its token: whoever draws over ssh has nothing else."""
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(Editor, "serve", lambda self, listener: None)
    video = write_video(tmp_path / "clip.mp4", 5)
    assert main(["scene", str(video), "-o", str(tmp_path / "scene.toml")]) == 0
    assert f"draw at {opened[0]} (once" in capsys.readouterr().out
