"""The tests run in one process too, where pytest-xdist is not installed or not wanted."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_one_process_without_xdist_will_do():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "tests/test_predict.py"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
