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
LESSON = Path(__file__).parent.parent / "notebooks" / "07_mnist_library.ipynb"
SHOWN = ("07-01", "07-39", "07-40", "07-41")  # imports, guess, outcome, figure


@pytest.fixture  # one for each test: a server opens again what was open
def lab(tmp_path_factory):
    """The address of a JupyterLab with a prediction of lesson 07 that needs no other cells: open, and guessed."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(LESSON, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id in SHOWN]
    nbformat.write(notebook, folder / "open.ipynb")
    assert '"straight-through": ...' in notebook.cells[1].source
    notebook.cells[1].source = notebook.cells[1].source.replace('"straight-through": ...', '"straight-through": 2')
    nbformat.write(notebook, folder / "guessed.ipynb")
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
    address = f"http://127.0.0.1:{port}/lab/tree"
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
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:  # it waits for its kernels
            server.kill()


@pytest.fixture
def cells(chromium, lab):
    """cells(name): those on the screen of somebody who has just opened that notebook."""
    contexts = []

    def cells(name):
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 1000}))
        page = contexts[-1].new_page()
        page.set_default_timeout(240_000)  # a kernel on a busy machine
        page.goto(f"{lab}/{name}.ipynb")
        cells = page.locator(".jp-CodeCell")
        cells.nth(3).wait_for()
        return cells

    yield cells
    for context in contexts:
        context.close()


def outcome(cell):
    return cell.locator(".jp-OutputArea-output table")


def test_an_outcome_is_folded_until_it_is_opened(cells):
    _, _, compared, figure = (cells("open").nth(i) for i in range(4))
    assert outcome(compared).count() == 0 and figure.locator("img").count() == 0
    placeholder = compared.locator(".jp-OutputPlaceholder")
    assert "The outcome:" in placeholder.inner_text() and "0.5" not in placeholder.inner_text()
    placeholder.click()
    outcome(compared).wait_for()
    assert "your guess" not in outcome(compared).inner_text()


def test_an_outcome_opens_when_its_cell_is_run(cells):
    found = cells("guessed")
    compared, figure = found.nth(2), found.nth(3)
    assert outcome(compared).count() == 0 and figure.locator("img").count() == 0
    found.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()  # the kernel is there
    found.page.get_by_role("menuitem", name="Run", exact=True).click()
    found.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    outcome(compared).wait_for(state="attached")
    compared.scroll_into_view_if_needed()  # JupyterLab shows only the cells that are in sight
    outcome(compared).wait_for()
    said = compared.locator(".jp-OutputArea-output").first.inner_text()
    assert "differs" in said and "no guess" in said and "0 of 1 held (numbers within 2%)." in said
    assert "it copies" in said, "why a 2 is tempting"
    figure.locator("img").wait_for()
