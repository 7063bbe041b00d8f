"""A finished run as tables: `tracker.load("runs/traffic").tracks`."""

from __future__ import annotations

import io
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.answers.files import COUNTS, CROSSINGS
from tracker.core.text import parse_json
from tracker.errors import BackendMissingError, SourceError
from tracker.video.sinks import CSV_HEADER

if TYPE_CHECKING:
    import pandas


def load(run: str | Path) -> Results:
    """The results of a run.

    Parameters
    ----------
    run : str or Path
        The folder that `python -m tracker run` wrote, such as `runs/traffic`.

    Returns
    -------
    Results

    Raises
    ------
    SourceError
        The folder holds no `tracks.csv`.
    BackendMissingError
        pandas is not installed.

    Examples
    --------
    >>> tracks = load("runs/traffic").tracks
    >>> tracks.groupby("class").id.nunique()
    """
    return Results(Path(run))


class Results:
    """Tables of a run, each read on first use.

    Attributes
    ----------
    folder : Path
        Where the run wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "tracks.csv").is_file():
            raise SourceError(f"{folder}: holds no tracks.csv; expected the folder of a run, such as runs/traffic")
        try:
            import pandas
        except ImportError:
            raise BackendMissingError(
                "tables need pandas, which is not installed; pip install 'deepsort-tracker[pandas]'"
            ) from None
        self._pandas: Any = pandas

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"

    @cached_property
    def tracks(self) -> pandas.DataFrame:
        """A row a box: frame, time_s, id, class, left, top, width, height (pixels), score."""
        return self._table("tracks.csv", CSV_HEADER)

    @cached_property
    def crossings(self) -> pandas.DataFrame:
        """A row a crossing: time_s, clock, line, direction, class, id, x, y, speed; empty without lines."""
        return self._table("crossings.csv", CROSSINGS)

    @cached_property
    def counts(self) -> pandas.DataFrame:
        """A row an interval, line, direction and class: start, end, ..., count; empty without lines.

        Intervals are moments where the run knew the time, else seconds since its first frame.
        """
        return self._table("counts.csv", COUNTS)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` tells; empty where it is missing."""
        try:
            data = parse_json((self.folder / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _table(self, name: str, header: str) -> Any:
        """A file of the run; its columns alone where it was not written."""
        path = self.folder / name
        source = path if path.is_file() else io.StringIO(header)
        try:
            table = self._pandas.read_csv(source)
        except (OSError, ValueError) as e:
            raise SourceError(f"{path}: cannot be read ({e}); expected a file that a run wrote") from None
        for column in ("clock", "start", "end"):
            if column in table and not self._pandas.api.types.is_numeric_dtype(table[column]):
                table[column] = self._pandas.to_datetime(table[column], format="ISO8601", utc=True)
        return table
