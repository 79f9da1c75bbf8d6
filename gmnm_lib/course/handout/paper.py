"""A handout on paper: its page printed to PDF by Chromium, which playwright drives.

Film strips stand in place of sliders, the answers to the questions at the end, and what is wider than the paper shrinks.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from gmnm_lib.course import WorkFailed
from gmnm_lib.errors import InputError

HERE = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
# The PDF calls its creator by the name of the browser, and Chromium's own tells the system.
QUIET = ("--user-agent=gmnm", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
WIDTH = 642  # CSS pixels between the margins that style.css gives an A4 page: 210 mm - 2 x 20 mm
SECONDS = 120
DATES = re.compile(rb"/(CreationDate|ModDate) \(D:(\d{14})")
HEADS = re.compile(rb"\(node\d{8}\)")


def find_browser() -> str:
    """The Chromium at hand: the system's, else playwright's own.

    Raises InputError where there is none or playwright is missing, so call it before anything long runs.
    """
    if find_spec("playwright") is None:
        raise InputError("a PDF needs the package playwright: run python -m pip install playwright.")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if not Path(own).is_file():
        raise InputError(
            "a PDF needs Chromium: install your system's package chromium, or run playwright install chromium."
        )
    return own


def pdf(html: str) -> bytes:
    """The PDF of a handout's page, the same bytes for the same page, fonts and browser.

    Raises InputError where there is no browser, WorkFailed where it can't print the page.
    """
    executable = find_browser()
    with ThreadPoolExecutor(
        max_workers=1
    ) as thread:  # playwright refuses a thread that has an event loop, as a notebook's has
        return _settled(thread.submit(_printed, html, executable).result())


def _printed(html: str, executable: str) -> bytes:
    from playwright.sync_api import Error, sync_playwright

    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium's own rule
    with tempfile.TemporaryDirectory(prefix="gmnm-paper-") as folder:
        source = Path(folder, "page.html")
        source.write_text(html, encoding="utf-8")
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=[*QUIET, *as_root])
                try:
                    page = browser.new_context(offline=True, viewport={"width": WIDTH, "height": 960}).new_page()
                    page.set_default_timeout(SECONDS * 1000)
                    page.emulate_media(media="print", color_scheme="light")
                    page.goto(source.as_uri())
                    page.evaluate((HERE / "template" / "paper.js").read_text(encoding="utf-8"))
                    return page.pdf(prefer_css_page_size=True, print_background=True, tagged=True, outline=True)
                finally:
                    browser.close()
        except Error as error:
            raise WorkFailed(f"Chromium could not print the page: {str(error).splitlines()[0]}") from error


def _settled(printed: bytes) -> bytes:
    """Without what differs from one printing to the next: times, and the numbers by which Chromium calls a table's heads.

    Both are written over in place, for the file's own table counts bytes. The numbers keep their order.
    """
    calm = DATES.sub(lambda match: b"/" + match[1] + b" (D:20000101000000", printed)
    heads = sorted(set(HEADS.findall(calm)))
    numbers = {head: b"(node%08d)" % number for number, head in enumerate(heads, 1)}
    return HEADS.sub(lambda match: numbers[match[0]], calm)
