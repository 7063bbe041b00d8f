"""Small footage for tests: coloured blocks that move on a plain ground, as a video, as images, as detections."""

from pathlib import Path

import av
import cv2
import numpy as np

SIZE = (160, 120)
BLOCKS = ((10, 20, 3, 0, (40, 40, 220)), (120, 60, -2, 0, (60, 200, 60)), (60, 80, 1, -1, (220, 120, 40)))
"""x, y, speed in x and y (pixels a frame), BGR colour; all blocks are 20 wide and 30 high."""


def boxes(index):
    """Corners (3,4) of the blocks in frame `index` (1-based)."""
    t = index - 1
    return np.array([[x + u * t, y + v * t, x + u * t + 20, y + v * t + 30] for x, y, u, v, _ in BLOCKS], np.float32)


def image(index, size=SIZE):
    """uint8 BGR picture of frame `index`."""
    picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    picture[::8, ::8] = 140
    for (x1, y1, x2, y2), block in zip(boxes(index).astype(int).tolist(), BLOCKS, strict=True):
        cv2.rectangle(picture, (x1, y1), (x2, y2), block[4], -1)
    return picture if size == SIZE else cv2.resize(picture, size)


def there_and_back(index):
    """For `write_video`: the blocks turn round every 28 frames and stay in the picture."""
    return 1 + abs((index - 1 + 28) % 56 - 28)


def write_video(path, frames=30, fps=10, shows=lambda index: index):
    """A video through PyAV: MJPEG for .avi, H.264 otherwise; frame i holds the picture of frame `shows(i)`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg" if Path(path).suffix == ".avi" else "libx264", rate=fps)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if Path(path).suffix == ".avi" else "yuv420p"
        for index in range(1, frames + 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image(shows(index)), format="bgr24")))
        container.mux(stream.encode(None))
    return path


def write_images(folder, frames=10, sizes=None):
    """frame1.png, frame2.png, ... in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(1, frames + 1):
        cv2.imwrite(str(folder / f"frame{index}.png"), image(index, (sizes or {}).get(index, SIZE)))
    return folder


def write_detections(path, frames=30, score=0.9):
    """MOT rows of the blocks, exact."""
    rows = []
    for index in range(1, frames + 1):
        for x1, y1, x2, y2 in boxes(index).tolist():
            rows.append(f"{index},-1,{x1},{y1},{x2 - x1},{y2 - y1},{score},-1,-1,-1\n")
    path.write_text("".join(rows))
    return path


def write_sequence(folder, frames=20, images=False):
    """A MOT sequence folder, with or without its pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=10\nseqLength={frames}\n"
        f"imWidth={SIZE[0]}\nimHeight={SIZE[1]}\nimExt=.png\n"
    )
    if images:
        write_images(folder / "img1", frames)
    write_detections(folder / "det.txt", frames)
    return folder


def decodable(path):
    """Number of frames that can be decoded from a video."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def rows(path):
    """Rows of a MOT or CSV file as lists of strings; every line is checked to be whole."""
    text = Path(path).read_text()
    assert text == "" or text.endswith("\n"), "the last row is cut off"
    return [line.split(",") for line in text.splitlines()]
