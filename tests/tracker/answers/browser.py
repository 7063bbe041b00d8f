"""A real Chromium without a window, for pages."""

import shutil

import pytest

CHROMIUM, DRIVER = (
    next((p for name in names if (p := shutil.which(name))), None)
    for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))
)


def open_browser(*, width=1000, height=800, dark=False):
    """A driver; the test is skipped where Debian's `chromium` and `chromium-driver` or selenium are missing."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},{height}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


def complaints(browser):
    """What the browser's console says of errors."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
