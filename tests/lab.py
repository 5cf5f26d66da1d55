"""JupyterLab for tests that need a notebook with a kernel: a server of its own, on any free port, for one test.

`from lab import lab, run, printed` in a test module gives it the fixture and two hands.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def lab(tmp_path):
    """`lab("cell", "another")` -> the address of a notebook with these code cells, in a JupyterLab that runs."""
    token = secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--allow-root", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url=",
    ]  # fmt: skip
    settings = tmp_path / "jupyter" / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    with serving(command, tmp_path) as address:

        def open_notebook(*cells: str) -> str:
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, tmp_path / "notebook.ipynb")
            return f"{address}lab/tree/notebook.ipynb?token={token}"

        yield open_notebook


@contextmanager
def serving(command: list, folder: Path):
    """The address at which this command serves JupyterLab, on any free port, its settings in the folder."""
    log, home = folder / "lab.log", folder / "jupyter"
    environment = os.environ | {
        f"JUPYTER_{name}": str(home / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    }
    environment |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [*command, "--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()


def run(page, index: int):
    """Runs a cell, waits for its output, and gives the cell. A kernel that is still starting ignores the first keys."""
    cell = page.locator(".jp-CodeCell").nth(index)
    for _ in range(60):
        if cell.locator(".jp-InputPrompt").inner_text() != "[ ]:":
            break
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(2000)
    cell.locator(".jp-OutputArea-output").first.wait_for(timeout=180_000)
    return cell


def printed(page, index: int) -> str:
    """Runs a cell and gives what it prints."""
    return run(page, index).locator(".jp-OutputArea-output").first.inner_text().strip()


def _address(server: subprocess.Popen, log: Path) -> str:
    """Waits until the server says where it listens."""
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text(encoding="utf-8"))
        if found:
            return found.group()
        if server.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")
