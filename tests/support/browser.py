"""A headless Chromium that draws in software, for tests and benchmarks of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

NAMES, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"
FLAGS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "use-angle=swiftshader", "enable-unsafe-swiftshader"),
)


def missing() -> str | None:
    """What a test says that can't run; None if there is a browser."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    return None if browser and shutil.which(DRIVER) else f"no {NAMES[0]} and {DRIVER} (Debian: chromium-driver)"


@contextmanager
def browser(width: int = 1200, height: int = 900, is_dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser with an empty page; it ends with the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, NAMES)))
    for flag in (*FLAGS, f"window-size={width},{height}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


def opened(driver: webdriver.Chrome, page: Path) -> None:
    """Open a page from the disk."""
    driver.get(page.resolve().as_uri())


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the console has told since the last call, but for how fast software draws."""
    return [each["message"] for each in driver.get_log("browser") if "GL Driver Message" not in each["message"]]
