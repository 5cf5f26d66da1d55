"""What several files of tests need: the mark `posix`, one thread, and a real browser, the system's, by Playwright."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)  # fmt: skip


def pytest_runtest_setup(item):
    if os.name != "posix" and item.get_closest_marker("posix"):
        pytest.skip("Windows has no sh, and other forks, signals, links and permissions")


@pytest.fixture(scope="module")
def one_thread():
    """Tensors this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")  # for longer, Playwright's event loop would be in the way of others
def chromium():
    """Where there is none, the test is skipped and says so; in CI it fails."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"no Chromium (looked for $CHROMIUM, {', '.join(NAMES)}): what happens in a browser is not tested"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, tmp_path):
    """`with visit(page, width=390, dark=True) as page`: a page that must ask for nothing elsewhere and report no error.

    page: a file, an address, or HTML.
    """

    @contextmanager
    def visiting(what: Path | str, width: int = 1280, height: int = 900, dark: bool = False, **options):
        if isinstance(what, str) and what.lstrip().startswith("<"):
            file = tmp_path / f"page{len(list(tmp_path.glob('page*.html')))}.html"
            file.write_text(what, encoding="utf-8")
            what = file
        address = what if isinstance(what, str) else what.resolve().as_uri()
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
            has_touch=width < 600, **options,
        )  # fmt: skip
        page, faults = context.new_page(), []
        home = address.split("?")[0].split("#")[0] if address.startswith("file:") else address
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _leaves(request.url, home) and faults.append(f"asked for {request.url}"))
        try:
            page.goto(address)
            yield page
            assert not faults, faults
        finally:
            context.close()

    return visiting


def _leaves(url: str, home: str) -> bool:
    if home.startswith("file:"):
        return not url.startswith(("file:", "data:", "blob:"))
    return not url.startswith((home.split("/", 3)[0] + "//" + home.split("/")[2], "data:", "blob:", "ws:"))
