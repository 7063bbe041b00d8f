"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from tracker.serve.hub import Hub


def render(hubs: Sequence[Hub]) -> tuple[bytes, str]:
    """The metrics of all streams in Prometheus' text format, and its media type."""
    registry = CollectorRegistry()
    registry.register(_Streams(hubs))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Streams(Collector):
    def __init__(self, hubs: Sequence[Hub]) -> None:
        self._hubs = hubs

    def collect(self) -> Iterator[Metric]:
        """One family a figure, one sample a stream."""
        health = [hub.health() for hub in self._hubs]
        for key, kind, text in (
            ("frames", CounterMetricFamily, "Frames tracked."),
            ("dropped", CounterMetricFamily, "Frames that gave way to newer ones."),
            ("reconnects", CounterMetricFamily, "Times that a lost source came back."),
            ("fps", GaugeMetricFamily, "Frames a second, over the last five seconds."),
            ("delay_s", GaugeMetricFamily, "Seconds from a frame's arrival until it was tracked and written."),
            ("last_frame_s", GaugeMetricFamily, "Seconds since the last frame."),
            ("objects", GaugeMetricFamily, "Objects in the last frame."),
            ("recording", GaugeMetricFamily, "1 while the stream is recorded."),
        ):
            family = kind(f"tracker_{key.replace('_s', '_seconds')}", text, labels=["source"])
            for data in health:
                if data[key] is not None:
                    family.add_metric([data["source"]], float(data[key]))
            yield family
        yield self._crossings()

    def _crossings(self) -> Metric:
        family = GaugeMetricFamily(
            "tracker_crossings_today", "Crossings since midnight.", labels=["source", "line", "direction", "class"]
        )
        for hub in self._hubs:
            counts = hub.counts()
            for row in counts["counts"]:
                family.add_metric([counts["source"], row["line"], row["direction"], row["class"]], row["count"])
        return family
