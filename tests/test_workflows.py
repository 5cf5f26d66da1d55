"""What GitHub runs: make targets that are there, and how maintainers are told. The rest of a workflow lint looks at."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))


def test_each_command_of_a_workflow_is_a_target_that_runs_anywhere():
    lines = (PROJECT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    targets = set(re.search(r"^\.PHONY: (.*)", lines, re.MULTILINE)[1].split())
    jobs = [job for file in WORKFLOWS for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()]
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    called = [re.fullmatch(r"(?:mkdir build && )?make ([a-z-]+)(?: .*)?", command) for command in commands]
    assert len(called) > 8 and all(called), commands
    assert {match[1] for match in called} <= targets


# A gh that writes down what it is told, with the text that it is given; of lists it gives NUMBER.
GH = """#!/bin/sh
for word; do printf '%s|' "$word"; done >> "$SAID"; echo >> "$SAID"
case "$1 $2" in *list) echo "$NUMBER";; esac
for word; do test -f "$word" && cat "$word" >> "$SAID"; done; true
"""


@pytest.fixture
def told(tmp_path):
    """`told("issue", number="7")`: what gh was told, in a clone that has lock files; the clone, its origin."""
    origin, clone, bin = tmp_path / "origin", tmp_path / "clone", tmp_path / "bin"
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", clone]
    subprocess.run(["git", "init", "--quiet", "--bare", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True, stderr=subprocess.DEVNULL)
    for name in ("requirements.lock", "nbgrader.lock", "environment.yml"):
        (clone / name).write_text("old\n", encoding="utf-8")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "old"], check=True)
    bin.mkdir()
    (bin / "gh").write_text(GH, encoding="utf-8")
    (bin / "gh").chmod(0o755)
    (tmp_path / "log").write_text("first\n" * 200 + "make: *** [test] Error 1\n", encoding="utf-8")

    def run(how: str, number: str = "", passed: str = "") -> str:
        said = tmp_path / "said"
        said.unlink(missing_ok=True)
        environment = os.environ | {
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "SAID": str(said), "NUMBER": number, "PASSED": passed,
            "TITLE": 'Some "links" are dead', "LOG": str(tmp_path / "log"),
        }  # fmt: skip
        subprocess.run(["sh", PROJECT / "tools/tell.sh", how], cwd=clone, env=environment, check=True)
        return said.read_text(encoding="utf-8") if said.exists() else ""

    return run, clone, origin


@pytest.mark.posix
def test_an_issue_is_opened_once_and_then_renewed(told):
    tell, *_ = told
    new = tell("issue")
    assert '\nissue|create|--title|Some "links" are dead|--body-file|' in new
    assert "make: *** [test] Error 1\n~~~" in new and new.count("first\n") == 99  # the end of the log
    again = tell("issue", number="7")
    assert "\nissue|edit|7|" in again and "create" not in again


@pytest.mark.posix
def test_what_has_moved_is_proposed_on_its_branch_and_the_rest_is_left(told):
    tell, clone, origin = told
    assert tell("pull-request", passed="true") == ""  # nothing has moved, and nothing is wrong
    for passed in ("", "false"):
        said = tell("pull-request", passed=passed)
        assert "pr|" not in said and "issue|create|" in said
    (clone / "nbgrader.lock").write_text("new\n", encoding="utf-8")
    (clone / "left").write_text("by the tests\n", encoding="utf-8")
    said = tell("pull-request")
    assert "\npr|create|--head|canary|--title|" in said and "issue|" not in said
    shown = subprocess.run(["git", "-C", origin, "show", "--stat", "canary"], capture_output=True, text=True).stdout
    assert "nbgrader.lock" in shown and "1 file changed" in shown

    (clone / "nbgrader.lock").write_text("newer\n", encoding="utf-8")  # a week later
    assert "\npr|edit|8|" in tell("pull-request", number="8")
    newest = subprocess.run(
        ["git", "-C", origin, "show", "canary:nbgrader.lock"], capture_output=True, text=True
    ).stdout
    assert newest == "newer\n"
