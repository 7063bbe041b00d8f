"""Which encoder a run asks for, and what is frozen for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.app.config import RunConfig
from tracker.core.interfaces import Say
from tracker.errors import ConfigError

if TYPE_CHECKING:
    from freeze.request import Request


def encoder_request(config: RunConfig, say: Say) -> tuple[str, Request | None]:
    """Name of a run's encoder and what to freeze for it, a checkpoint or a network that ships; None for a frozen graph.

    Raises
    ------
    ConfigError
        The options to freeze do not go together.
    """
    from freeze.api import default_request
    from freeze.errors import UsageError
    from freeze.request import Request

    if not config.freeze:
        return config.encoder, default_request(config.encoder) if config.encoder in ("default", "colour") else None
    try:
        request = replace(Request.from_options(config.freeze), unsafe=config.unsafe)
    except UsageError as e:
        raise ConfigError(f"options to freeze: {e}") from None
    say("freezing: " + " ".join(f"--{name} {value}" for name, value in config.freeze.items()))
    return request.network or request.source, request


def frozen_encoder(config: RunConfig, say: Say) -> tuple[str, Path]:
    """Name and frozen graph of a run's encoder; a checkpoint is frozen into the cache on its first use.

    Raises
    ------
    FreezeError, ConfigError
        It cannot be frozen, or the options do not go together.
    """
    from freeze.api import freeze_cached
    from tracker.encoder.trial import tried

    name, request = encoder_request(config, say)
    if request is not None:
        return name, freeze_cached(request)
    if not config.unsafe:
        tried(Path(config.encoder))
    return name, Path(config.encoder)


def why_no_gpu(used: str, asked: str) -> str:
    """Why the encoder does not run on a GPU, where nobody asked for the CPU."""
    if used != "cpu" or asked == "cpu":
        return ""
    from tracker.core.tensorflow import gpu_reason

    return f" (no GPU: {gpu_reason()})"
