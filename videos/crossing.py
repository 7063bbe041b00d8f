"""A road scene drawn by numbers: cars and pedestrians that cross, hide each other, leave and return, with ground truth.

Everything random comes from one seed: who wears what, who walks when, the texture of the ground, the camera's noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tracker.core.files import replacing
from tracker.errors import BackendMissingError, OutputError
from videos.figures import Look, draw_actor

FPS = 25
VISIBLE = 0.25
"""Share of an actor's part in the frame that must be seen for its box to count; below it the row has confidence 0."""
INSIDE = 0.2
"""Share of an actor that must lie in the frame for it to have a row at all."""


Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Actor:
    """One identity on its way: it sweeps a line to and fro for ever and pauses at both ends.

    Attributes
    ----------
    start, end : tuple[float, float]
        Feet at both ends, shares of the frame's width and height.
    height : float
        Of the figure, share of the frame's height, at the nearer end of the way.
    frames : int
        To walk the way once; `pause` : frames at each end; `phase` : where in that round trip frame 0 falls.
    """

    id: int
    look: Look
    start: tuple[float, float]
    end: tuple[float, float]
    height: float
    frames: int
    pause: int
    phase: float

    def at(self, t: int) -> tuple[float, float, int]:
        """Feet (x, y) as shares of the frame and heading at frame t, from 0."""
        leg = self.frames + self.pause
        when = (t + self.phase * 2 * leg) % (2 * leg)
        there = when < leg
        share = min(1.0, (when if there else when - leg) / self.frames)
        share = share if there else 1 - share
        (x0, y0), (x1, y1) = self.start, self.end
        heading = 1 if (x1 >= x0) == there else -1
        return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share, heading


@dataclass(frozen=True)
class Row:
    """One ground truth box of one frame, pixels; `visibility` 0 to 1."""

    id: int
    left: float
    top: float
    width: float
    height: float
    visibility: float


def cast(seed: int) -> list[Actor]:
    """The actors of a scene.

    Two far walkers who meet, three near ones of whom one overtakes, one who crosses the road, and two cars on each
    lane.
    """
    rng = np.random.default_rng(seed)
    hues = rng.permutation(np.arange(0, 180, 18))

    def colour(i: int, saturation: float = 220, value: float = 200) -> tuple[int, int, int]:
        pixel = np.array([[[hues[i % len(hues)], saturation, value]]], np.uint8)
        b, g, r = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].tolist()
        return b, g, r

    # kind, start, end, height, frames of one way, pause, phase of the round trip
    ways = [
        ("pedestrian", (-0.06, 0.44), (1.06, 0.44), 0.17, 210, 40, 0.08),
        ("pedestrian", (1.06, 0.43), (-0.06, 0.43), 0.17, 230, 35, 0.09),
        ("pedestrian", (-0.08, 0.97), (1.08, 0.97), 0.29, 190, 45, 0.06),
        ("pedestrian", (-0.08, 0.96), (1.08, 0.96), 0.28, 130, 50, 0.02),
        ("pedestrian", (1.08, 0.98), (-0.08, 0.98), 0.30, 200, 40, 0.10),
        ("pedestrian", (0.80, 0.40), (0.70, 1.36), 0.27, 260, 60, 0.03),
        ("car", (-0.20, 0.60), (1.20, 0.60), 0.14, 75, 40, 0.16),
        ("car", (-0.20, 0.61), (1.20, 0.61), 0.15, 95, 70, 0.87),
        ("car", (1.25, 0.77), (-0.25, 0.77), 0.18, 80, 55, 0.14),
        ("car", (1.25, 0.78), (-0.25, 0.78), 0.19, 110, 45, 0.90),
    ]
    actors = []
    for i, (kind, start, end, height, frames, pause, phase) in enumerate(ways):
        second = (90, 70, 50) if kind == "car" else colour(i + 4, rng.uniform(40, 160), rng.uniform(40, 130))
        look = Look(kind, colour(i, value=rng.uniform(130, 235)), second, (130, 160, int(rng.uniform(150, 225))))
        pace = round(frames * rng.uniform(0.92, 1.08))
        actors.append(Actor(i + 1, look, start, end, height, pace, pause, phase + rng.uniform(-0.01, 0.01)))
    return actors


def background(width: int, height: int, seed: int) -> np.ndarray:
    """uint8 (H,W,3): houses, pavement, a road with markings, pavement; textured, as a matcher of patches likes it."""
    rng = np.random.default_rng([seed, 1])
    image = np.zeros((height, width, 3), np.float32)
    bands = [(0.0, (150, 165, 170)), (0.36, (150, 150, 150)), (0.47, (95, 92, 90)), (0.83, (160, 155, 150))]
    for top, colour in bands:
        image[round(top * height) :] = colour
    for i in range(9):
        x, w = round((i + 0.15) * width / 9), round(0.6 * width / 9)
        tone = rng.uniform(40, 110, 3)
        cv2.rectangle(image, (x, round(0.05 * height)), (x + w, round(0.27 * height)), tone.tolist(), -1)
    for i in range(14):
        x = round(i * width / 14)
        cv2.rectangle(image, (x, round(0.665 * height)), (x + width // 28, round(0.675 * height)), (215, 215, 215), -1)
    coarse = cv2.resize(rng.normal(0, 9, (height // 12 + 1, width // 12 + 1)).astype(np.float32), (width, height))
    fine = cv2.GaussianBlur(rng.normal(0, 12, (height, width)).astype(np.float32), (0, 0), 0.8)
    return np.clip(image + (coarse + fine)[..., None], 0, 255).astype(np.uint8)


def scene(frames: int, seed: int = 0, width: int = 640, height: int = 360) -> Iterator[tuple[np.ndarray, list[Row]]]:
    """Frames uint8 (H,W,3) BGR with the rows of their ground truth, drawn from the farthest actor to the nearest."""
    rng = np.random.default_rng([seed, 2])
    ground, actors = background(width, height, seed).astype(np.float32), cast(seed)
    # A few fields of noise, shifted at random: a fresh one for each frame would cost more than all the drawing.
    noise = rng.normal(0, 2.5, (4, height, width, 3)).astype(np.float32)
    kiosk = (round(0.44 * width), round(0.52 * height), round(0.50 * width), height)
    for t in range(frames):
        placed = sorted(((a, *a.at(t)) for a in actors), key=lambda p: p[2])
        shade = np.ones((height, width), np.float32)
        for actor, x, y, _ in placed:
            _shadow(shade, actor, x * width, y * height, height)
        light = cv2.GaussianBlur(shade, (0, 0), 2) * np.float32(1 + 0.02 * np.sin(t / 40))
        image = ground * light[..., None]
        owner: np.ndarray = np.zeros((height, width), np.int32)
        sizes = {}
        for actor, x, y, heading in placed:
            patch, mask = draw_actor(actor.look, actor.height * height, t / 4 + actor.id, heading)
            sizes[actor.id] = _paste(image, owner, patch, mask, x * width, y * height, actor.id)
        left, top, right, bottom = kiosk
        image[top:bottom, left:right] = (70, 95, 60)
        image[top + 6 : top + 40, left + 5 : right - 5] = (170, 200, 190)
        owner[top:bottom, left:right] = 0
        image += np.roll(noise[t % 4], rng.integers(0, (height, width)), axis=(0, 1))
        yield cv2.convertScaleAbs(np.maximum(image, 0)), _rows(owner, sizes)


def _shadow(shade: np.ndarray, actor: Actor, x: float, y: float, height: int) -> None:
    size = actor.height * height
    wide = 1.25 if actor.look.kind == "car" else 0.3
    centre = (round(x + 0.25 * size), round(y))
    cv2.ellipse(shade, centre, (round(wide * size), max(2, round(0.1 * size))), 0, 0, 360, (0.62,), -1)


def _paste(
    image: np.ndarray, owner: np.ndarray, patch: np.ndarray, mask: np.ndarray, x: float, y: float, number: int
) -> tuple[Box, int, int]:
    """Blend a figure whose feet stand at (x, y); returns its box clipped to the frame, its area there and in all."""
    height, width = owner.shape
    h, w = mask.shape
    left, top = round(x - w / 2), round(y - h)
    solid = mask > 127
    total = int(solid.sum())
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + w, width), min(top + h, height)
    if x1 <= x0 or y1 <= y0:
        return (0, 0, 0, 0), 0, total
    cut = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = (mask[cut] / np.float32(255))[..., None]
    image[y0:y1, x0:x1] = image[y0:y1, x0:x1] * (1 - alpha) + patch[cut] * alpha
    owner[y0:y1, x0:x1][solid[cut]] = number
    bx, by, bw, bh = cv2.boundingRect(solid[cut].astype(np.uint8))
    return (x0 + bx, y0 + by, bw, bh), int(solid[cut].sum()), total


def _rows(owner: np.ndarray, sizes: dict[int, tuple[Box, int, int]]) -> list[Row]:
    seen = np.bincount(owner.ravel(), minlength=max(sizes, default=0) + 1)
    return [
        Row(number, *box, round(int(seen[number]) / inside, 3))
        for number, (box, inside, total) in sorted(sizes.items())
        if inside >= INSIDE * total
    ]


def make(
    folder: str | Path, frames: int = 300, seed: int = 0, size: tuple[int, int] = (640, 360), fps: int = FPS
) -> Path:
    """Write the scene as a MOTChallenge sequence folder.

    Parameters
    ----------
    folder : str or Path
        Gets `crossing.mp4` (H.264), `gt/gt.txt` (rows `frame,id,left,top,width,height,conf,-1,-1,-1`; conf 0 where less
        than a quarter of the actor is seen), `gt/objects.csv` (id and class) and `seqinfo.ini`.
    size : tuple[int, int]
        (width, height) in pixels, even numbers.

    Raises
    ------
    OutputError
        The folder cannot be written, or the numbers are out of range.
    """
    width, height = size
    if frames < 1 or fps < 1 or width < 160 or height < 90 or width % 2 or height % 2:
        met = f"{frames} frames of {width}x{height} at {fps} fps"
        raise OutputError(f"{met}; expected at least 1 frame of even sides from 160x90")
    folder = Path(folder)
    try:
        (folder / "gt").mkdir(parents=True, exist_ok=True)
        truth = _encode(folder / "crossing.mp4", scene(frames, seed, width, height), (width, height), fps)
        (folder / "gt" / "gt.txt").write_text("".join(truth))
        objects = "".join(f"{a.id},{a.look.kind}\n" for a in cast(seed))
        (folder / "gt" / "objects.csv").write_text("id,class\n" + objects)
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname=crossing\nimDir=img1\nframeRate={fps}\nseqLength={frames}\n"
            f"imWidth={width}\nimHeight={height}\nimExt=.jpg\n"
        )
        (folder / "README.txt").write_text(
            f"Drawn by `python -m videos make crossing --frames {frames} --seed {seed} --size {width}x{height} "
            f"--fps {fps}`.\n"
        )
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error}); choose another --output") from None
    return folder


def _encode(path: Path, pictures: Iterator[tuple[np.ndarray, list[Row]]], size: tuple[int, int], fps: int) -> list[str]:
    """Write the video, whole or not at all; returns the lines of the ground truth."""
    try:
        import av
    except ImportError as error:
        raise BackendMissingError(f"writing H.264 needs PyAV ({error}); run `pip install av`") from None
    lines: list[str] = []
    with replacing(path) as beside, av.open(str(beside), "w", format="mp4") as container:
        # One thread: the bytes then depend on nothing but the seed and the encoder's version.
        stream = container.add_stream(
            "libx264", rate=Fraction(fps), options={"crf": "20", "preset": "veryfast", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index, (image, rows) in enumerate(pictures, 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            lines += [
                f"{index},{r.id},{r.left},{r.top},{r.width},{r.height},{int(r.visibility >= VISIBLE)},-1,-1,-1\n"
                for r in rows
            ]
        container.mux(stream.encode())
    return lines
