"""What is known of each object when its track ends: class, life, whether it stood, and whether it counts."""

from __future__ import annotations

import numpy as np

from tracker.answers.events import ObjectRow
from tracker.answers.memory import Columns, Memory

LEAST_LIFE_S = 0.5
LEAST_SEEN = 0.5
"""A track counts as an object that lived for so long and was seen in this share of the frames of its life."""
STANDING = 0.5
"""An object stands whose foot point, smoothed, stays within this share of its height; one that the picture's lower
border cuts off is judged by the upper edge of its box, since its foot is not seen."""
SMOOTH_S, SEVERAL = 0.25, 3
"""Time constant of that smoothing, and looks before it tells anything: one jump of a box moves nothing."""


class ObjectLog:
    """Keeps what `ObjectRow` needs.

    Parameters
    ----------
    lowest : float
        Pixels from the frame's upper border below which a box counts as cut off.
    """

    def __init__(self, lowest: float) -> None:
        self._lowest = lowest
        self.names: list[str] = []
        self._number: dict[str, int] = {}

    def columns(self) -> Columns:
        """What must be remembered of each track.

        `calm` is its foot point and its upper edge, `reached` the largest and the negative of the least of these.
        """
        return {
            "votes": ((8,), 0.0), "boxes": ((), 0), "first_frame": ((), 0), "last_frame": ((), 0),
            "xyxy": ((4,), 0.0), "start": ((2,), 0.0), "height": ((), 0.0),
            "looks": ((), 0), "look_s": ((), 0.0), "calm": ((3,), 0.0), "reached": ((6,), -np.inf),
            "cut_off": ((), False),
        }  # fmt: skip

    def number(self, name: str) -> int:
        """Of a class, in the order in which they were met."""
        if name not in self._number:
            self._number[name] = len(self.names)
            self.names.append(name)
        return self._number[name]

    def update(
        self,
        memory: Memory,
        rows: np.ndarray,
        new: np.ndarray,
        foot: np.ndarray,
        xyxy: np.ndarray,
        score: np.ndarray,
        classes: np.ndarray,
        frame: int,
    ) -> None:
        """Add the boxes of a frame; `classes` (N,) are numbers of `number`.

        `frame` counts frames with rows, so that none counts as missed which was left out or dropped.
        """
        memory.widen("votes", len(self.names))
        memory["votes"][rows, classes] += score
        memory["boxes"][rows] += 1
        memory["last_frame"][rows], memory["xyxy"][rows] = frame, xyxy
        if np.count_nonzero(new):
            memory["first_frame"][rows[new]], memory["start"][rows[new]] = frame, foot[new]

    def look(self, memory: Memory, rows: np.ndarray, foot: np.ndarray, height: np.ndarray, time_s: float) -> None:
        """Now and then: where tracks are, without the trembling of boxes, how far they got, and their mean height."""
        looks = memory["looks"][rows] + 1
        gain = 1 - np.exp((memory["look_s"][rows] - time_s) / SMOOTH_S)
        gain = np.maximum(gain, 1 / looks)[:, None]  # the mean, while there are few
        calm, lower = memory["calm"].take(rows, axis=0), foot[:, 1]
        now = np.empty_like(calm)
        now[:, :2], now[:, 2] = foot, lower - height
        calm += gain * (now - calm)
        memory["looks"][rows], memory["look_s"][rows], memory["calm"][rows] = looks, time_s, calm
        memory["cut_off"][rows] |= lower >= self._lowest
        memory["height"][rows] += (height - memory["height"][rows]) / looks
        reached = np.concatenate([calm, -calm], axis=1)
        reached[looks < SEVERAL] = -np.inf
        memory["reached"][rows] = np.maximum(memory["reached"].take(rows, axis=0), reached)

    def class_of(self, memory: Memory, row: int) -> str:
        """The class that most of the score was given to."""
        return self.names[int(memory["votes"][row].argmax())]

    def standing(self, memory: Memory, rows: np.ndarray) -> np.ndarray:
        """(N,) bool: tracks that have not left their place so far."""
        reached = memory["reached"][rows]
        across, down, top = np.maximum(reached[:, :3] + reached[:, 3:], 0).T
        extent = np.hypot(across, np.where(memory["cut_off"][rows], np.maximum(down, top), down))
        still: np.ndarray = extent < STANDING * memory["height"][rows]
        return still

    def lived(self, memory: Memory, rows: np.ndarray) -> np.ndarray:
        """(N,) bool: tracks that have lived and were seen for long enough so far."""
        life = memory["last_s"][rows] - memory["first_s"][rows]
        frames = memory["last_frame"][rows] - memory["first_frame"][rows] + 1
        enough: np.ndarray = (life >= LEAST_LIFE_S) & (memory["boxes"][rows] >= LEAST_SEEN * frames)
        return enough

    def rows(self, memory: Memory, rows: np.ndarray, *, metres: bool, per_second: float) -> list[ObjectRow]:
        """Tracks that are over; `per_second` makes metres a second the unit of speeds."""
        standing, lived = self.standing(memory, rows), self.lived(memory, rows)
        found = []
        for n, row in enumerate(rows.tolist()):
            frames = memory["last_frame"][row] - memory["first_frame"][row] + 1
            x1, y1, x2, y2 = memory["xyxy"][row].tolist()
            way = float(memory["metres"][row]) if metres and memory["samples"][row] else None
            took = float(memory["measured_s"][row]) if metres else 0.0
            moved = bool(lived[n] and not standing[n])
            stood = bool(standing[n] and memory["last_s"][row] - memory["first_s"][row] >= LEAST_LIFE_S)
            found.append(
                ObjectRow(
                    int(memory.id[row]), self.class_of(memory, row),
                    float(memory["first_s"][row]), float(memory["last_s"][row]), float(memory["boxes"][row] / frames),
                    stood, moved,
                    tuple(memory["start"][row].tolist()), ((x1 + x2) / 2, y2), (x1, y1, x2, y2),
                    way, way / took * per_second if way and took else None,
                )
            )  # fmt: skip
        return found
