"""Everything that a run's answers write into its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.answers import pictures
from tracker.answers.background import Background
from tracker.answers.clock import LOCAL, Clock
from tracker.answers.database import Database
from tracker.answers.engine import INTERVAL_S, Answers
from tracker.answers.events import Events
from tracker.answers.files import TABLES, EventFiles, SumFiles, TrackRows, write_flows
from tracker.answers.flows import find_flows
from tracker.answers.objects import LEAST_LIFE_S, LEAST_SEEN
from tracker.answers.overlay import Overlay
from tracker.answers.scene import Scene, Size, to_toml
from tracker.core.files import failed, write_atomic, write_whole
from tracker.core.images import read_picture
from tracker.core.types import Frame, Tracks
from tracker.errors import TrackerError

PICTURES = ("background.jpg", "scene.jpg", "heatmap.png", "paths.png", "flows.png", "birds_eye.png")
WRITTEN = (*TABLES, *PICTURES, "scene.toml", "report.html")
"""Everything that answers may leave in a folder."""


class AnswerWriter:
    """Feeds tracks to `Answers` and writes what comes out.

    Parameters
    ----------
    folder : Path or None
        Where the files go; None: nowhere.
    scene, size, class_names, clock, interval_s : Scene, Size, Sequence[str], Clock or None, float
        As of `Answers`.
    database : Database or None
        Is given every row and event, too.
    segmented : bool
        The run goes on for days: events go to the folders that `segment` names, each with the sums of its own; the sums
        in `folder` are those of all segments, and go on where an earlier run stopped.
    """

    def __init__(
        self, folder: Path | None, scene: Scene, size: Size, class_names: Sequence[str], *, clock: Clock | None = None,
        interval_s: float = INTERVAL_S, database: Database | None = None, segmented: bool = False,
    ) -> None:  # fmt: skip
        self.answers = Answers(scene, size, class_names, clock=clock, interval_s=interval_s)
        self.overlay = Overlay(self.answers.counts, size)
        self.background = Background()
        self._folder, self._database = folder, database
        counts = self.answers.counts
        self._sums = SumFiles(folder, counts, goes_on=segmented) if folder is not None else None
        self._events = EventFiles(folder, counts) if folder is not None and not segmented else None
        self._segment_sums: SumFiles | None = None
        self._finished = False

    def segment(self, folder: Path) -> None:
        """Events go to another folder from now on; raises OutputError."""
        self._close_segment()
        counts = self.answers.begin_part()
        self._events, self._segment_sums = EventFiles(folder, counts), SumFiles(folder, counts)

    def _close_segment(self) -> None:
        events, self._events = self._events, None
        sums, self._segment_sums = self._segment_sums, None
        if events is not None:
            events.close()
        if sums is not None:
            sums.write()

    def update(self, tracks: Tracks, time_s: float, frame_index: int) -> Events:
        """One more frame with its written tracks; raises OutputError when the disk is full."""
        if self._database is not None:
            self._database.write_tracks(frame_index, time_s, tracks)
        return self._pass_on(self.answers.update(tracks, time_s))

    def look(self, frame: Frame) -> None:
        """See a frame before anything is drawn on it."""
        if frame.image is not None:
            self.background.add(frame.image, frame.time_s)

    def _pass_on(self, events: Events) -> Events:
        if self._events is not None:
            self._events.write(events)
        for sums in (self._segment_sums, self._sums):
            if sums is not None:
                sums.update()
        if self._database is not None:
            self._database.write_events(events, self.answers.counts.clock)
        return events

    def finish(self, last_s: float | None = None) -> Events:
        """What the end of the video settles, at `last_s` seconds; nothing the second time."""
        if self._finished:
            return Events()
        self._finished = True
        return self._pass_on(self.answers.finish(last_s))

    def close(self, last_s: float | None = None) -> None:
        """Write what is still open, and every table and picture; the others, too, where one fails.

        Raises
        ------
        OutputError
            A file could not be written.
        """
        errors: list[TrackerError] = []
        steps: list[Callable[[], object]] = [partial(self.finish, last_s)]
        if self._sums is not None and self._folder is not None:
            steps += [self._close_segment, self._sums.write, partial(_write_scene, self._folder, self.answers.scene)]
            steps.append(self._remove_old)
        if self._database is not None:
            steps += [self._describe, self._database.close]
        for step in steps:
            try:
                step()
            except TrackerError as e:
                errors.append(e)
        if errors:
            raise errors[0]

    def _remove_old(self) -> None:
        """Remove tables of an earlier scene, which this one asks nothing for."""
        lines, zones = bool(self.answers.scene.lines), bool(self.answers.scene.zones)
        asked = {"crossings.csv": lines, "counts.csv": lines, "visits.csv": zones, "occupancy.csv": zones}
        asked["hours.csv"] = lines and self.answers.counts.clock.start is not None
        for name, wanted in asked.items():
            if not wanted and self._folder is not None:
                with suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)

    def _describe(self) -> None:
        counts, size = self.answers.counts, self.answers.size
        if self._database is not None:
            self._database.describe(
                {"width": size[0], "height": size[1], "start_time": counts.clock.text(0.0) or None,
                 "first_s": counts.first_s, "last_s": counts.last_s}
            )  # fmt: skip

    def illustrate(self, folder: Path, *, ways: bool = True) -> None:
        """Write the pictures: background, scene, heat map, ways, flows with their table, and the ground from above.

        Parameters
        ----------
        folder : Path
            Of the run.
        ways : bool
            Those of the ways as well; False: the folder holds them.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        answers, size = self.answers, self.answers.size
        background = self.background.picture()
        if background is not None:
            _write_image(folder / "background.jpg", background)
        else:
            background = read_picture(folder / "background.jpg")
        if ways:
            self._illustrate_ways(folder, background)
        done = list(answers.ways.done)
        drawn = {
            "scene.jpg": pictures.drawn_scene(background, self.overlay, size) if answers.scene else None,
            "birds_eye.png": pictures.birds_eye(answers.ground, done) if answers.ground is not None else None,
        }
        for name, image in drawn.items():
            if image is not None:
                _write_image(folder / name, image)
            else:
                with suppress(OSError):
                    (folder / name).unlink(missing_ok=True)

    def _illustrate_ways(self, folder: Path, background: np.ndarray | None) -> None:
        ways, size = self.answers.ways, self.answers.size
        done = list(ways.done)
        flows = find_flows(done, size)
        _write_image(folder / "heatmap.png", pictures.heatmap(background, ways.heat, size))
        _write_image(folder / "paths.png", pictures.paths(background, done, size))
        _write_image(folder / "flows.png", pictures.flow_picture(background, flows, size))
        write_flows(folder, flows)  # last: where it is there, so are the pictures

    def told(self) -> list[str]:
        """Counts and standing objects, as lines for the end of a run."""
        counts = self.answers.counts
        found = []
        for line in counts.scene.lines:
            for direction in line.directions:
                ways = {c: n for (name, d, c), n in counts.crossings.items() if (name, d) == (line.name, direction)}
                parts = ", ".join(f"{c} {n}" for c, n in sorted(ways.items(), key=lambda w: -w[1]))
                found.append(f"{line.name}, {direction}: {sum(ways.values())}" + (f" ({parts})" if parts else ""))
        unit = self.answers.ground.unit if self.answers.ground is not None else ""
        for line_name, name, count, v50, v85 in counts.speed_rows():
            found.append(f"{line_name}, {name}: v50 {v50:.1f} {unit}, v85 {v85:.1f} {unit} ({count} measured)")
        if counts.standing:
            listed = ", ".join(f"{o.class_name} {o.id}" for o in counts.standing[:8])
            more = f" and {len(counts.standing) - 8} more" if len(counts.standing) > 8 else ""
            x1, y1, x2, y2 = (round(v) for v in counts.standing[0].box)
            found.append(
                f"never moved, not counted: {listed}{more}; "
                f'--ignore "NAME={x1},{y1},{x2},{y1},{x2},{y2},{x1},{y2}" leaves out what stands in an area'
            )
        if counts.uncounted and not counts.objects and not counts.standing:
            found.append(
                f"too short to count: {counts.uncounted} (an object is seen for {LEAST_LIFE_S:g} s and "
                f"in {LEAST_SEEN:.0%} of the frames of its life)"
            )
        return found

    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds of the answers."""
        counts = self.answers.counts
        clock = counts.clock
        found: dict[str, Any] = {
            "objects": dict(counts.objects.most_common()),
            "standing": [
                {"id": o.id, "class": o.class_name, "seconds": round(o.last_s - o.first_s, 1),
                 "box": [round(v, 1) for v in o.box]}
                for o in counts.standing
            ],
            "too_short": counts.uncounted,
            "joined": counts.joined,
            "first_s": counts.first_s,
            "last_s": counts.last_s,
            "interval_s": counts.interval_s,
            "start_time": clock.text(0.0) or None,
            "time_zone": LOCAL if clock.start is not None and clock.zone is None else getattr(clock.zone, "key", None),
            "start_time_from": clock.source or None,
            "start_time_guessed": clock.guessed,
        }  # fmt: skip
        if counts.scene.lines:
            found["counts"] = [
                {"line": line, "direction": direction, "class": name, "count": counts.crossings[line, direction, name]}
                for line, direction, name in counts.ways()
            ]
        if self.answers.ground is not None:
            found["speed_unit"] = self.answers.ground.unit
            found["speeds"] = [
                {"line": line, "class": name, "count": count, "v50": round(v50, 1), "v85": round(v85, 1)}
                for line, name, count, v50, v85 in counts.speed_rows()
            ]
        return found


def _write_scene(folder: Path, scene: Scene) -> None:
    path = folder / "scene.toml"
    if scene:
        write_whole(path, to_toml(scene))
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _write_image(path: Path, image: np.ndarray) -> None:
    """Replace a picture at once, JPEG or PNG by the name's ending; raises OutputError."""
    data = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 85] if path.suffix == ".jpg" else [])[1]
    try:
        write_atomic(path, data.tobytes())
    except OSError as e:
        raise failed(path, e) from None


def recount(
    folder: Path,
    scene: Scene,
    size: Size,
    *,
    clock: Clock | None,
    interval_s: float,
    last_s: float | None,
    first_s: float | None,
    database: Path | None = None,
) -> AnswerWriter:
    """The answers of a finished run from its `tracks.csv`, as the run itself would have given them.

    Parameters
    ----------
    folder : Path
        Of the run; its tables are written anew.
    database : Path or None
        File to write all into, too.
    first_s, last_s : float or None
        Seconds of its first and last frame, which may hold no track; None: those of the tracks.

    Raises
    ------
    DetectionsError
        `tracks.csv` is missing or broken.
    OutputError
        The tables cannot be written.
    """
    rows = TrackRows(folder / "tracks.csv")
    frames = list(rows)  # class names stand in the rows
    kept = Database(database, rows.class_names) if database is not None else None
    writer = AnswerWriter(folder, scene, size, rows.class_names, clock=clock, interval_s=interval_s, database=kept)
    if first_s is not None:
        writer.answers.counts.reach(first_s)
    for frame_index, time_s, tracks in frames:
        writer.update(tracks, time_s, frame_index)
    writer.close(last_s)
    return writer
