"""Puts a run together from its configuration: sources, detectors, encoder, trackers, outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tracker.answers.files import SUMS
from tracker.app.answering import answer_writer, scene_of
from tracker.app.config import AUTO, RunConfig
from tracker.app.encoders import encoder_request, why_no_gpu
from tracker.app.gaps import Gaps
from tracker.app.models import Models
from tracker.app.outputs import FILES, RUNS, StreamOutput, Viewer, claim_folder, release_folder
from tracker.app.pace import Pace
from tracker.app.segments import Keeping, Segments, finish_cut_off, set_aside
from tracker.app.smoothing import smooth_file
from tracker.app.steps import Steps
from tracker.app.stream import Results, Stream
from tracker.app.timing import Timing
from tracker.core.address import Address
from tracker.core.autotune import alone
from tracker.core.files import unique
from tracker.core.folder import FolderLock
from tracker.core.interfaces import Detector, Say, Source, SourceInfo
from tracker.core.memory import return_large_blocks
from tracker.core.tensorflow import LOADER, cores, import_runtime, preload
from tracker.core.text import printable
from tracker.core.types import Detections, Frame
from tracker.errors import EncoderError, SourceError, TrackerError
from tracker.tracking.smooth import Smoothing
from tracker.tracking.tracker import DeepSort
from tracker.tracking.trackers import entry_of
from tracker.video.camera_motion import CameraMotion
from tracker.video.frame_source import FrameRange
from tracker.video.optical_flow import OpticalFlow
from tracker.video.repeats import Repeats
from tracker.video.sources import open_source

if TYPE_CHECKING:
    from tracker.encoder.runtime import FrozenEncoder

Doing = Callable[[str], AbstractContextManager[None]]
Look = Callable[[np.ndarray], Detections | None]
MakeViewers = Callable[[SourceInfo, Sequence[str], Path | None], Sequence[Viewer]]
TOGETHER = 4
"""Frames of a file whose crops share a batch where all are encoded: 24 crops take 0.86 of the time of 4 times 6."""


@dataclass(frozen=True)
class _Coming:
    """An encoder that a thread of its own freezes, or waits for, and loads."""

    path: Future[Path]
    encoder: Future[FrozenEncoder]


def _closed(encoder: Future[FrozenEncoder]) -> None:
    """Close an encoder once it is there."""
    if not encoder.cancelled() and encoder.exception() is None:
        encoder.result().close()


class Session:
    """Everything opened for a run; `close` gives it back.

    Parameters
    ----------
    config, output, overwrite, say : RunConfig, Path or None, bool, Say
        What to run, the folder for results, whether it may hold some, who is told.
    files : bool
        Whether results are written at all.
    detector : Look or None
        A callable to use in place of the configuration's detector.
    models : Models or None
        Networks that stay open for the next session; None: they are closed with this one.
    viewers : MakeViewers or None
        Makes those who are shown a stream's frames, from what is known of the source, its classes and
        its folder.
    doing : Doing or None
        A context in which a step that may take long is named.
    keeping : Keeping or None
        For runs that last for days: how rows and video are divided, and how much is kept.

    Attributes
    ----------
    streams : list[Stream]
        Those whose source could be opened.
    failed : list[TrackerError]
        Errors of the others; each names its source.
    custom : bool
        The detector is a callable, which no configuration can name.
    """

    def __init__(
        self,
        config: RunConfig,
        output: Path | None,
        *,
        overwrite: bool,
        say: Say,
        files: bool = True,
        detector: Look | None = None,
        models: Models | None = None,
        viewers: MakeViewers | None = None,
        doing: Doing | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        self.config, self._say, self._doing = config, say, doing or _unnamed
        self._files, self._custom, self._models, self._viewers = files, detector, models, viewers
        self._keeping = keeping
        self.custom = detector is not None
        self.failed: list[TrackerError] = []
        self.timing = Timing()
        self.encoder_name = config.encoder
        self._open = ExitStack()
        self._detectors: dict[str, Detector] = {}
        self._primers: dict[Source, Sequence[Frame]] = {}
        return_large_blocks()
        cv2.setNumThreads(max(1, cores() // 2))  # of OpenCV in each of our threads: all else takes as many
        try:
            self._assemble(output, overwrite)
        except BaseException:
            self.close()
            raise

    def _assemble(self, output: Path | None, overwrite: bool) -> None:
        sources = self._sources()
        self._check_pixels(sources)
        for _, source in sources:
            scene_of(self.config, source.info.size)  # a scene that makes no sense is told before anything is loaded
        folders = self._folders([s for _, s in sources], output, overwrite)
        coming = self._begin_encoder(sources[0][1])
        with self._doing(f"opening detector {self.config.detector}"):
            detectors = [self._detector(source) for _, source in sources]
        self.encoder = self._encoder(coming)
        self.streams = [
            self._stream(n, source, detectors[n], folders[n], text) for n, (text, source) in enumerate(sources)
        ]
        self.steps = Steps(
            self.encoder, self.timing, appearance=self.config.appearance, detect_every=self.config.every,
            together=TOGETHER,
        )  # fmt: skip
        return_large_blocks()  # of what opening took

    def _sources(self) -> list[tuple[str, Source]]:
        """Open all; one that fails is left out, unless it is the only one."""
        c, opened = self.config, []
        for text in c.sources:
            try:
                source = open_source(text, FrameRange(c.start, c.max_frames, c.stride), reconnect_s=c.reconnect,
                                     transport=c.rtsp_transport)  # fmt: skip
            except SourceError as e:
                self.failed.append(e)
                continue
            self._open.callback(source.close)
            opened.append((text, source))
        if not opened:
            raise self.failed[0] if len(self.failed) == 1 else SourceError("; ".join(map(str, self.failed)))
        return opened

    def _check_pixels(self, sources: list[tuple[str, Source]]) -> None:
        from detectors.registry import family_of

        bare = [text for text, s in sources if not s.info.pixels]
        if bare and (self._custom is not None or not family_of(self.config.detector).recorded):
            raise SourceError(
                f"{bare[0]}: the sequence's images are missing; give its detections: --detector FILE.txt --encoder none"
            )
        if bare and self.config.wants_encoder:
            raise SourceError(
                f"{bare[0]}: the sequence's images are missing, nothing can be encoded; add --encoder none"
            )

    def _folders(self, sources: list[Source], output: Path | None, overwrite: bool) -> Sequence[Path | None]:
        """A folder for every source, each with a name of its own, held until the run is closed."""
        if not self._files:
            return [None] * len(sources)
        folders: list[Path] = []
        taken: set[str] = set()
        for source in sources:
            name = unique(source.info.name, taken)
            if output is None:
                wanted = RUNS / name if overwrite else None  # None: the first that is free
            else:
                wanted = output if len(self.config.sources) == 1 else output / name
            folder = claim_folder(wanted, source.info.name, overwrite=overwrite or self._keeping is not None)
            self._open.callback(release_folder, folder)
            self._open.callback(FolderLock(folder).release)
            if self._keeping is not None:
                finish_cut_off(folder)
                set_aside(folder, tuple(name for name in FILES if name not in SUMS), datetime.now(UTC))
            folders.append(folder)
        return folders

    def _needs_frames(self) -> bool:
        """Whether detectors look at a source's first frames before they start."""
        from detectors.registry import family_of

        return self._custom is None and family_of(self.config.detector).needs_frames

    def _primer(self, source: Source) -> Sequence[Frame]:
        """Those frames, which a source gives once: kept until its detector is open."""
        if source not in self._primers:
            self._primers[source] = source.primer() if self._needs_frames() else ()
        return self._primers[source]

    def _detector(self, source: Source) -> Detector:
        """A source's detector; streams share one, unless it was made for what its source shows."""
        from detectors.registry import open_detector

        c = self.config
        if c.detector in self._detectors and not self._needs_frames():
            return self._detectors[c.detector]
        detector = open_detector(
            self._custom or c.detector,
            confidence=c.confidence,
            nms=c.nms,
            tiles=c.tiles,
            detail=c.detail,
            input_size=c.input_size,
            classes=c.classes or None,
            device=c.device,
            offline=c.offline,
            unsafe=c.unsafe,
            faint=entry_of(c.tracker).low_scores,
            frames=self._primer(source),
            opener=self._models.detector if self._models is not None else None,
        )
        del self._primers[source]
        self._open.callback(detector.close)
        self._detectors[c.detector] = detector
        why = f": {detector.why}" if detector.why else ""
        where = f", {detector.path}" if detector.path else ""
        self._say(f"detector: {detector.name} ({detector.runtime}{where}){why}")
        return detector

    def _begin_encoder(self, first: Source) -> _Coming | None:
        """Begin to freeze and load the encoder, beside the opening of detectors; None where no features are wanted.

        A recording's primer is decoded before TensorFlow is imported: decoding gives up the interpreter's lock with
        every packet, and would wait for the import each time.
        """
        c = self.config
        if not c.wants_encoder:
            return None
        self.encoder_name, request = encoder_request(c, self._say)
        if request is None and not Path(c.encoder).is_file():
            raise EncoderError(f"{c.encoder}: no such file; expected a .pb, .onnx or .xml, default, colour or none")
        loader = ThreadPoolExecutor(1, LOADER)
        if request is None:
            path = loader.submit(Path, c.encoder)
        else:
            from freeze.api import Freezing

            freezing = Freezing(request)
            self._open.callback(freezing.close)
            path = loader.submit(freezing.result)
        if not first.info.live:
            self._primer(first)
        if request is not None or Path(c.encoder).suffix == ".pb":  # other runtimes need no TensorFlow
            preload()
        encoder = loader.submit(lambda: self._loaded(path.result()))
        loader.shutdown(wait=False)
        if self._models is None:
            self._open.callback(encoder.add_done_callback, _closed)
        return _Coming(path, encoder)

    def _encoder(self, coming: _Coming | None) -> Any:
        """The frozen encoder, or None where no features are wanted."""
        c = self.config
        if coming is None:
            self._say("encoder: none: motion alone")
            return None
        with self._doing("freezing and proving the encoder, once"):
            path = coming.path.result()
        if path.suffix == ".pb":
            with self._doing("loading TensorFlow"):
                import_runtime()
        with self._doing("loading the encoder"):
            encoder = coming.encoder.result()
        self._say(
            f"encoder: {self.encoder_name}: {encoder.dimension}-d features, {encoder.precision} on {encoder.device}"
            f"{why_no_gpu(encoder.device, c.device) if path.suffix == '.pb' else ''}"
        )
        return encoder

    def _loaded(self, path: Path) -> FrozenEncoder:
        """The encoder of a frozen graph; one from outside is first tried in a process of its own."""
        if self._models is not None:
            return self._models.encoder(path, self.config.device)
        from tracker.encoder.runtime import FrozenEncoder
        from tracker.encoder.trial import tried

        if not self.config.unsafe and str(path) == self.config.encoder:
            tried(path)
        with alone():
            return FrozenEncoder.open(path, device=self.config.device, unsafe=self.config.unsafe)

    def _stream(self, number: int, source: Source, detector: Detector, folder: Path | None, text: str) -> Stream:
        c = self.config
        viewers = self._viewers(source.info, detector.class_names, folder) if self._viewers is not None else ()
        segmented = self._keeping is not None
        answers = answer_writer(c, text, source, detector.class_names, folder, self._say, segmented=segmented)
        output = StreamOutput(
            folder, source.info, detector.class_names, video=c.video, show=c.show, viewers=viewers, answers=answers,
            blur=c.blur or "", scores=c.scores,
            segments=Segments(folder, self._keeping) if self._keeping is not None and folder is not None else None,
        )  # fmt: skip
        tracker = DeepSort(
            c.tracker, class_names=detector.class_names, even_score=detector.even_score(source.info.size)
        )
        camera = CameraMotion() if source.info.pixels and entry_of(c.tracker).camera_motion else None
        live = source.info.live
        flow = OpticalFlow() if live and (c.every > 1 or c.target_fps is not None) else None
        results = Results(mean_features={} if c.smooth else None)
        stream = Stream(number, source, detector, tracker, output, camera, flow, text=text, results=results)
        if not live:
            stream.gaps = Gaps()
            if self._chooses_frames():
                stream.pace = Pace(source.info.fps, lambda: stream.ending.finished)
                stream.repeats = Repeats()
        return stream

    def _chooses_frames(self) -> bool:
        """Whether the run may choose which frames of a recording are detected: with a network, and where that is well.

        A file's boxes cost nothing, and who gives a function expects it to be called.
        """
        from detectors.registry import family_of

        c = self.config
        recorded = self._custom is not None or family_of(c.detector).recorded
        return c.detect_every == AUTO and not recorded and entry_of(c.tracker).gaps

    def smoothed(self, stream: Stream) -> str:
        """The rows of a finished stream with gaps closed, tracklets stitched and trajectories smoothed."""
        threshold = stream.tracker.appearance_threshold
        smoothing = Smoothing() if threshold is None else Smoothing(min_cosine=threshold)
        return smooth_file(
            stream.output.folder / "tracks.txt", stream.source.info.fps, smoothing, first=self.config.start,
            stride=self.config.stride, features=None if threshold is None else stream.results.mean_features,
        )  # fmt: skip

    def effective(self, stream: Stream) -> RunConfig:
        """The configuration that repeats one stream's run."""
        path = Path(os.path.expanduser(stream.text))
        text = stream.text if Address.parse(stream.text) or not os.path.exists(path) else str(path.resolve())
        text = text if text.isprintable() else printable(text)  # TOML is UTF-8
        scene = str(Path(self.config.scene).resolve()) if self.config.scene else None
        return replace(self.config, sources=(text,), scene=scene, **self.chosen(stream))

    def chosen(self, stream: Stream) -> dict[str, Any]:
        """What was chosen by what a stream shows, as settings of a configuration: the detector, and how it looks."""
        picked = {"detector": stream.detector.name} if self.config.detector == AUTO and not self.custom else {}
        return picked | stream.detector.settings(stream.source.info.size)

    @property
    def detectors(self) -> list[Detector]:
        """The detectors in use, each once."""
        return list({id(s.detector): s.detector for s in self.streams}.values())

    def encoder_summary(self) -> dict[str, Any] | None:
        """The encoder as `summary.json` tells of it; None without one."""
        e = self.encoder
        if e is None:
            return None
        return {
            "name": self.encoder_name, "path": str(e.path), "sha256": e.sha256, "dimension": e.dimension,
            "device": e.device, "precision": e.precision,
        }  # fmt: skip

    def device(self) -> str:
        """Where the networks run: `cpu`, or the first GPU that one of them is on."""
        places = [self.encoder.device] if self.encoder is not None else []
        places += [d.runtime for d in self.detectors]
        return next((word for place in places for word in place.split() if word.startswith("gpu")), "cpu")

    def warnings(self, stream: Stream) -> list[str]:
        """What went wrong in a stream and was survived."""
        found = [*stream.source.warnings, *stream.detector.warnings, *stream.output.warnings]
        found += [f"{count} x {what}" for what, count in stream.tracker.warnings.items() if count]
        if stream.counts.featureless:
            found.append(f"{stream.counts.featureless} features were not finite or all zero: matched by motion alone")
        return found + list(self.encoder.warnings if self.encoder is not None else [])

    def close(self) -> None:
        """Free sources, detectors and encoder."""
        with suppress(TrackerError):
            self._open.close()


@contextmanager
def _unnamed(step: str) -> Iterator[None]:
    """A step that nobody is told of."""
    yield
