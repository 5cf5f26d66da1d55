"""Predictions in a real JupyterLab: an outcome stays folded until its cell is run or opened."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.slow
LESSON = Path(__file__).parent.parent / "notebooks" / "04_straight_through.ipynb"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with a notebook of lesson 04's cells up to the figure of its first prediction."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(LESSON, as_version=4)
    notebook.cells = [
        cell for cell in notebook.cells[:7] if cell.cell_type == "code"
    ]  # imports, guess, outcome, figure
    nbformat.write(notebook, folder / "lesson.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {f"JUPYTER_{kind}_DIR": str(folder / f".{kind.lower()}") for kind in ("CONFIG", "DATA", "RUNTIME")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
         "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=",
         "--LabApp.news_url=None"],
        env=os.environ | own, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}/lab/tree/lesson.ipynb"
    try:
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < until, "JupyterLab did not start"
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def cells(chromium, lab):
    """The cells on the screen of somebody who has just opened the notebook: imports, guess, outcome, figure."""
    page = chromium.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(60_000)
    page.goto(lab)
    cells = page.locator(".jp-CodeCell")
    cells.nth(3).wait_for()
    yield cells
    page.context.close()


def outcome(cell):
    return cell.locator(".jp-OutputArea-output table")


def test_an_outcome_is_folded_until_it_is_opened(cells):
    guess, compared, figure = (cells.nth(i) for i in (1, 2, 3))
    assert 'guess = {"x": ..., "codebook": ...}' in guess.inner_text()
    assert outcome(compared).count() == 0 and figure.locator("img").count() == 0
    compared.locator(".jp-OutputPlaceholder").click()
    outcome(compared).wait_for()
    assert "your guess" not in outcome(compared).inner_text()


def test_an_outcome_opens_when_its_cell_is_run(cells):
    page = cells.page
    guess, compared = cells.nth(1), cells.nth(2)
    guess.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.type('guess = {"x": True, "codebook": ...')  # the editor closes the brace
    page.locator(".jp-NotebookPanel-toolbar").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Above Selected Cell", exact=True).click()
    guess.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    outcome(compared).wait_for()
    said = compared.locator(".jp-OutputArea-output").first.inner_text()
    assert "differs" in said and "no guess" in said and "0 of 1 held." in said
    assert "argmin" in said, "why a yes is tempting"
