"""A progress bar for training, and TensorBoard's file where one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

EVERY = 20
"""Steps between values written for TensorBoard."""


class Progress:
    """A context that gives the function to report to after each step.

    Parameters
    ----------
    title : str
        Shown before the bar.
    log : Path or None
        Folder for TensorBoard, or None.
    """

    def __init__(self, title: str, log: Path | None) -> None:
        self.title, self.log = title, log

    def __enter__(self) -> Callable[[int, int, dict[str, float]], None]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
        )
        self._task = self._bar.add_task(self.title, total=None, values="")
        self._writer = None
        if self.log is not None:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self.log))
        self._bar.start()
        return self._report

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def _report(self, done: int, steps: int, values: dict[str, float]) -> None:
        loss = f"loss {values['total']:.2f}" if "total" in values else ""
        self._bar.update(self._task, completed=done, total=steps, values=loss)
        if "score" in values:
            measures = {k: v for k, v in values.items() if "/" in k or k in ("area", "threshold")}
            self._bar.console.print(f"step {done}: " + ", ".join(f"{k} {v:.3f}" for k, v in measures.items()))
        if self._writer is not None and (done % EVERY == 0 or "score" in values):
            import tensorflow as tf

            with self._writer.as_default(step=done):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
