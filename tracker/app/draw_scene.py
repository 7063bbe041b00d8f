"""`python -m tracker scene`: the picture to draw on, lines to suggest, and the page."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from tracker.answers.scene import Line, Scene, Size, read_scene
from tracker.app.run_folder import RunFolder
from tracker.core.files import failed
from tracker.errors import SourceError, TrackerError


def add_command(commands: Any) -> None:
    """Add the parser of `scene`."""
    scene = commands.add_parser(
        "scene", help="draw lines, zones and ground on a page", argument_default=argparse.SUPPRESS,
        description="Open a page on this machine to draw lines, zones, ignored areas and four ground points; it saves "
        "a scene file for run --scene and count --scene. Needs pip install 'deepsort-tracker[scene]'.",
    )  # fmt: skip
    scene.add_argument(
        "source",
        metavar="SOURCE",
        help="video, camera, or the folder of a finished run, whose flows it offers lines for",
    )
    scene.add_argument("-o", "--output", metavar="FILE.toml", type=Path, help="scene file (default: scene.toml)")
    scene.add_argument("--port", metavar="N", type=int, help="port on 127.0.0.1 (default: a free one)")
    scene.add_argument(
        "--no-browser", dest="browser", action="store_false", help="open no browser, for ssh -L PORT:127.0.0.1:PORT"
    )


def main(given: dict[str, Any]) -> int:
    """Serve the page until it is done.

    Raises
    ------
    TrackerError
        The source cannot be read, the page cannot be served, or the file cannot be written.
    """
    from tracker.answers.editor import Editor, listen
    from tracker.core.text import tell

    output = given.get("output", Path("scene.toml"))
    _check_writable(output)
    picture, suggested = _seen(given["source"])
    size = (picture.shape[1], picture.shape[0])
    editor = Editor(_jpeg(picture), output, _begun(Path(given["source"]), output, size), suggested)
    editor.app()  # says what is missing before a port is taken
    with listen(given.get("port", 0)) as listener:
        port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}/?token={editor.token}"
        tell(f"draw at {address} (once, in one browser); Ctrl-C ends", hides=False)
        if given.get("browser", True):
            import webbrowser

            webbrowser.open(address)
        try:
            editor.serve(listener)
        except KeyboardInterrupt:
            tell("ended")
    tell(f"saved: {output}" if editor.saved else "nothing was saved")
    return 0


def _check_writable(path: Path) -> None:
    """Raise OutputError before anything is drawn that could not be saved."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as e:
        raise failed(path, e) from None


def _begun(source: Path, output: Path, size: Size) -> Scene:
    """The scene to go on with: that of the output file, else that of the run."""
    for path in (output, source / "scene.toml"):
        if path.is_file():
            scene = read_scene(path)
            scene.check_fits(size)
            return Scene(scene.lines, scene.zones, scene.ignored, scene.ground, size)
    return Scene(size=size)


def _seen(text: str) -> tuple[np.ndarray, Sequence[Line]]:
    """The median picture, uint8 (H,W,3) BGR at the size of the frames, and lines across the main flows of a run."""
    import cv2

    from tracker.answers.background import Background
    from tracker.core.images import read_picture
    from tracker.video.sources import open_source

    folder = Path(text)
    if (folder / "tracks.csv").is_file():
        run = RunFolder.open(folder)
        picture = read_picture(folder / "background.jpg")
        if picture is None:
            picture = np.full((run.size[1], run.size[0], 3), 90, np.uint8)
        return cv2.resize(picture, run.size), _suggested(folder, run.size)
    background = Background()
    with open_source(text) as source:
        for frame in source.primer():
            if frame.image is not None:
                background.add(frame.image, frame.time_s)
        size = source.info.size
    picture = background.picture()
    if picture is None:
        raise SourceError(f"{text}: holds no pictures to draw on")
    kept = Path("runs") / Path(text).stem  # where run puts a video's results unless told otherwise
    with suppress(TrackerError):  # nothing is suggested from a run that cannot be read
        if (kept / "tracks.csv").is_file() and RunFolder.open(kept).size == size:
            return cv2.resize(picture, size), _suggested(kept, size)
    return cv2.resize(picture, size), ()


def _suggested(folder: Path, size: Size) -> Sequence[Line]:
    from tracker.answers.engine import Answers
    from tracker.answers.files import TrackRows
    from tracker.answers.flows import find_flows, suggest_lines

    rows = TrackRows(folder / "tracks.csv")
    frames = list(rows)
    answers = Answers(Scene(), size, rows.class_names)
    for _, time_s, tracks in frames:
        answers.update(tracks, time_s)
    answers.finish()
    return suggest_lines(find_flows(list(answers.ways.done), size).flows, size)


def _jpeg(picture: np.ndarray) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
