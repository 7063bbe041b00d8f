"""The end of a stream: summary, configuration and report beside its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracker.answers.report import write_report
from tracker.app.report import as_json, camera_moved, saw_nothing, summary
from tracker.core.files import write_whole
from tracker.core.text import printable
from tracker.errors import SourceError

if TYPE_CHECKING:
    from tracker.app.pipeline import Pipeline
    from tracker.app.session import Session
    from tracker.app.stream import Stream


def finish(
    session: Session, pipeline: Pipeline, stream: Stream, *, stops: int = 0, more: dict[str, Any] | None = None
) -> list[str]:
    """Write what stands beside a stream's rows; what fails becomes its error, where it has none.

    Parameters
    ----------
    stops : int, optional
        How often the run was asked to end before its time: after the second request no pictures are made.
    more : dict, optional
        What `summary.json` holds besides.

    Returns
    -------
    list of str
        What went wrong and was survived.
    """
    warnings = [*session.warnings(stream), *pipeline.warnings]
    dropped = pipeline.dropped[stream.number]
    if dropped:
        warnings.append(f"{dropped} frames gave way to newer ones")
    warnings += [told for told in (saw_nothing(stream), camera_moved(stream)) if told is not None]
    try:
        if stream.counts.frames:
            data = summary(stream, session.timing, encoder=session.encoder_summary(), warnings=warnings,
                           device=session.device(), dropped=dropped, interrupted=stops > 0, **(more or {}))  # fmt: skip
            _write(session, stream, data, illustrated=stops < 2)
        else:
            stream.output.discard()
            if not stops:
                first = session.config.start
                why = f": there is none from --start {first} on" if first > 1 else ""
                nothing = SourceError(f"no frame was tracked{why}; nothing was written")
                stream.ending.error = stream.ending.error or nothing
    except Exception as e:  # the other streams' results are written all the same
        stream.ending.error = stream.ending.error or e
    return warnings


def _write(session: Session, stream: Stream, data: dict[str, object], *, illustrated: bool) -> None:
    folder = stream.output.folder
    write_whole(folder / "summary.json", as_json(data))
    effective = session.effective(stream)
    name = printable(stream.detector.name)
    text = f"# the detector was {name}, a callable: give it to tracker.track\n" if session.custom else ""
    write_whole(folder / "config.toml", text + effective.to_toml(), private=effective.holds_secret)
    if stream.output.answers is not None and illustrated:
        stream.output.answers.illustrate(folder)
        write_report(folder, data)
    if session.config.smooth:
        write_whole(folder / "tracks_smooth.txt", session.smoothed(stream))
