"""Where downloaded, converted and frozen models are kept between runs."""

import os
from pathlib import Path

from tracker.errors import OutputError


def cache_folder(*parts: str) -> Path:
    """The folder `parts` inside the user's cache, made if needed.

    `TRACKER_CACHE` names another place than the platform's own. Raises OutputError where it cannot be made.
    """
    root = os.environ.get("TRACKER_CACHE")
    if not root:
        from platformdirs import user_cache_path

        root = str(user_cache_path("deepsort-tracker"))
    folder = Path(root).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(
            f"cannot make the cache folder {folder} ({e.strerror}); set TRACKER_CACHE to a writable folder"
        ) from e
    return folder
