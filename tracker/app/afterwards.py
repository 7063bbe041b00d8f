"""Commands beside `run`: `count`, `report` and `export` on finished runs, and `scene`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tracker.answers.clock import parse_interval
from tracker.answers.scene import Scene, SceneOptions, read_scene
from tracker.app import draw_scene
from tracker.app.run_folder import RunFolder
from tracker.errors import SourceError, TrackerError, first_line

FORMATS = ("coco", "cvat", "parquet", "geojson")
"""Those of `tracker.answers.export`, which is imported late."""


def add_commands(commands: Any, scene_options: Any) -> None:
    """Add the parsers of all commands on finished runs."""
    count = commands.add_parser(
        "count", help="count on a finished run", argument_default=argparse.SUPPRESS,
        description="Count crossings and visits on a finished run, as if it had been run with this scene. "
        "Without lines and zones the run's own scene is counted again, with what else is given.",
    )  # fmt: skip
    count.add_argument("run", metavar="RUN", type=Path, help="folder that a run wrote")
    scene_options(count.add_argument_group("what is asked"))
    count.add_argument("--database", metavar="FILE", type=Path, help="write all to a new SQLite file, too")
    count.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    report = commands.add_parser(
        "report", help="write report.html again", description="Write report.html from a run's tables and pictures."
    )  # fmt: skip
    report.add_argument("run", metavar="RUN", type=Path, help="folder that a run wrote")
    export = commands.add_parser(
        "export", help="write a run for other tools", description="Write a finished run in the format of another tool."
    )
    export.add_argument("run", metavar="RUN", type=Path, help="folder that a run wrote")
    export.add_argument("--format", required=True, choices=FORMATS, help="coco, cvat, parquet or geojson")
    draw_scene.add_command(commands)


def main(given: dict[str, Any]) -> int:
    """Run one of the commands; raises TrackerError."""
    if given["command"] == "scene":
        return draw_scene.main(given)
    try:
        return {"count": _count, "report": _report, "export": _export}[given["command"]](given)
    except (TrackerError, OSError, MemoryError):
        raise
    except Exception as e:  # tables and pages meet what they do not expect in as many ways as there are columns
        raise SourceError(
            f"{given['run']}: its tables or its summary.json do not hold what a run writes ({type(e).__name__}: "
            f"{first_line(e)}); they are damaged, or of another version: run again"
        ) from e


def _report(given: dict[str, Any]) -> int:
    from tracker.answers.report import write_report
    from tracker.core.text import tell

    run = RunFolder.open(given["run"])
    tell(write_report(run.path, run.summary))
    return 0


def _export(given: dict[str, Any]) -> int:
    from tracker.answers import export
    from tracker.core.text import tell

    run = RunFolder.open(given["run"])
    own = run.path / "scene.toml"
    scene = read_scene(own) if own.is_file() else Scene()
    name = str(run.summary.get("source") or run.path.name)
    frames = int(run.summary.get("frames") or 0)
    tell(export.FORMATS[given["format"]](run.path, run.size, scene, name, frames))
    return 0


def _scene(run: RunFolder, given: dict[str, Any]) -> Scene:
    """The scene of the options; where these name no lines and zones the run's own, with what they name besides."""
    file, own = Path(given["scene"]) if "scene" in given else None, run.path / "scene.toml"
    if file is None and not given.get("line") and not given.get("zone") and own.is_file():
        file = own
    options = SceneOptions(
        file, given.get("line", ()), given.get("zone", ()), given.get("ignore", ()), given.get("ground"),
        given.get("unit"),
    )  # fmt: skip
    return options.scene(run.size)


def _objects(folder: Path) -> bytes | None:
    """The table of a run's objects: where it stays as it was, so do their ways and flows, which take long to find."""
    file = folder / "objects.csv"
    return file.read_bytes() if file.is_file() else None


def _count(given: dict[str, Any]) -> int:
    from tracker.answers.engine import INTERVAL_S
    from tracker.answers.report import write_report
    from tracker.answers.writer import recount
    from tracker.app.report import as_json
    from tracker.core.files import write_whole
    from tracker.core.text import tell

    run = RunFolder.open(given["run"])
    before = _objects(run.path)
    interval_s = parse_interval(given["interval"]) if "interval" in given else run.seconds("interval_s") or INTERVAL_S
    clock = run.clock(given.get("start_time"))
    writer = recount(
        run.path, _scene(run, given), run.size, clock=clock, interval_s=interval_s,
        first_s=run.seconds("first_s"), last_s=run.seconds("last_s"), database=given.get("database"),
    )  # fmt: skip
    kept = {k: v for k, v in run.summary.items() if k not in ("counts", "speed_unit", "speeds")}
    summary = kept | writer.summary()
    write_whole(run.path / "summary.json", as_json(summary))
    same = before is not None and before == _objects(run.path)
    if not same:
        (run.path / "flows.csv").unlink(missing_ok=True)
    writer.illustrate(run.path, ways=not (same and (run.path / "flows.csv").is_file()))
    write_report(run.path, summary)
    if not given.get("quiet"):
        told = [f"clock: {clock.doubt}"] if clock.doubt else []
        tell("\n".join([*told, *writer.told(), f"written to {run.path}"]))
    return 0
