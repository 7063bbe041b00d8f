"""What freezing can fail with, and what it mends: every finding has a code, a cause, a place and a remedy."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.errors import TrackerError

SHOWN = 12  # names listed in a message before "and N more"


class FreezeError(TrackerError):
    """The encoder cannot be frozen as it is.

    Attributes
    ----------
    code : str
        Short constant name of the diagnosis, as listed in freeze/README.md.
    cause : str
        What was met and why it stops the freeze.
    places : Iterable[str]
        Node, variable, layer or file names.
    remedy : str
        What to do about it.
    shown : int or None
        How many places the message names; None: all, one a line.
    """

    def __init__(
        self, code: str, cause: str, remedy: str, places: Iterable[str] = (), *, shown: int | None = SHOWN
    ) -> None:
        self.code, self.cause, self.remedy, self.places, self.shown = code, cause, remedy, list(places), shown
        super().__init__(self.text())

    def text(self) -> str:
        """The whole message: code and cause, places, remedy."""
        lines = [f"{self.code}: {self.cause}"]
        if self.places and self.shown is None:
            lines += [f"  {'where:' if n == 0 else '':8}{place}" for n, place in enumerate(self.places)]
        elif self.places:
            lines.append(f"  where:  {listed(self.places, self.shown or SHOWN)}")
        lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)


class UsageError(TrackerError):
    """The request itself makes no sense (exit code 2)."""


@dataclass(frozen=True)
class Finding:
    """Something mended (`repair`), chosen (`note`) or doubtful (`warning`) on the way to a frozen graph."""

    code: str
    why: str
    nodes: tuple[str, ...] = ()
    kind: str = "repair"
    arithmetic: bool = False
    """The untouched model computes something else: refused under --no-repair."""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in contract and report."""
        return {"code": self.code, "why": self.why, "nodes": list(self.nodes), "kind": self.kind}


@dataclass
class Log:
    """Findings in the order in which they were met."""

    findings: list[Finding] = field(default_factory=list)

    def repair(self, code: str, nodes: Iterable[str], why: str) -> None:
        """A change to the graph or its values that the user should know of."""
        self.findings.append(Finding(code, why, tuple(nodes), "repair"))

    def note(self, code: str, why: str, nodes: Iterable[str] = ()) -> None:
        """A choice made where there were several."""
        self.findings.append(Finding(code, why, tuple(nodes), "note"))

    def warn(self, code: str, why: str, nodes: Iterable[str] = ()) -> None:
        """Something that is not wrong by itself and often is."""
        self.findings.append(Finding(code, why, tuple(nodes), "warning"))

    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {f.code for f in self.findings}


def tensorflow_words(error: BaseException, limit: int = 300) -> str:
    """What a TensorFlow error says itself, without the frame that sessions put around it."""
    text = getattr(error, "message", None) or str(error)
    lines = [line.strip() for line in text.split("Original stack trace")[0].splitlines() if line.strip()]
    frame = ("Graph execution error", "Detected at node", "Node:", "[[{{node", "File ", "Stack trace")
    own = [line for line in lines if not line.startswith(frame)]
    return " ".join(own or lines or [type(error).__name__])[:limit]


def unexpected(error: Exception) -> FreezeError:
    """An error that no diagnosis foresaw, with its place in this package."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "freeze" in Path(f.filename).parts] or frames
    return FreezeError(
        "UNEXPECTED",
        f"freezing met an error that it has no diagnosis for: {type(error).__name__}: {tensorflow_words(error)}",
        "please report it with the model; TRACKER_TRACEBACK=1 in the environment shows where it comes from",
        [f"{Path(f.filename).name}:{f.lineno} ({f.name})" for f in own[-1:]],
    )


def listed(names: Iterable[str], shown: int = SHOWN) -> str:
    """`a, b, c and 4 more`."""
    names = list(names)
    text = ", ".join(names[:shown])
    return text if len(names) <= shown else f"{text} and {len(names) - shown} more"
