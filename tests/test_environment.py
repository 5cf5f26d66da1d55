"""pyproject.toml, requirements.lock, environment.yml and the set-up are one environment, said four times."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
CONDA = (PROJECT / "environment.yml").read_text(encoding="utf-8")

# An entry is a line `name==version ; marker \` and the hashes that follow it, all but the last with a backslash too.
ENTRIES = [
    (Requirement(pin), hashes)
    for pin, hashes in re.findall(r"^(\S+==.*) \\\n((?:    .+\n?)+)", LOCK, re.MULTILINE)
]


def said(pins) -> set[tuple[str, str, str]]:
    return {(canonicalize_name(pin.name), str(pin.specifier), str(pin.marker or "")) for pin in pins}


def test_lock_is_pins_with_hashes_and_nothing_else():
    assert len(ENTRIES) == len(re.findall(r"^\S", LOCK, re.MULTILINE)) > 100
    for pin, hashes in ENTRIES:
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in hashes.splitlines()), pin


@pytest.mark.parametrize("dependency", PYPROJECT["dependencies"])
def test_each_dependency_is_locked_at_a_version_it_allows(dependency):
    wanted = Requirement(dependency)
    versions = [
        specifier.version
        for pin, _ in ENTRIES
        if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
        for specifier in pin.specifier
    ]
    assert versions
    assert all(wanted.specifier.contains(version) for version in versions), versions


def test_environment_has_the_pins_of_the_lock_then_the_project():
    *_, pip = yaml.safe_load(CONDA)["dependencies"]
    *pins, project = pip["pip"]
    assert project == "-e ."
    assert said(map(Requirement, pins)) == said(pin for pin, _ in ENTRIES)


def test_environment_says_where_it_comes_from():
    assert CONDA.startswith("# Generated") and "make lock" in CONDA.splitlines()[0]
    assert yaml.safe_load(CONDA)["name"] == "vq-course"


@pytest.mark.parametrize("text", [LOCK, CONDA], ids=["requirements.lock", "environment.yml"])
def test_no_host_is_named(text):
    assert "://" not in text


def test_python_bound_is_the_same_everywhere():
    bound = SpecifierSet(PYPROJECT["requires-python"])
    python, *_ = yaml.safe_load(CONDA)["dependencies"]
    assert SpecifierSet(python.removeprefix("python")) == bound

    check = re.search(r"\(3, (\d+)\) <= .* <= \(3, (\d+)\)", (PROJECT / "tools/set_up.sh").read_text(encoding="utf-8"))
    first, last = map(int, check.groups())
    assert [minor for minor in range(30) if f"3.{minor}" in bound] == list(range(first, last + 1))
    assert f"--python-version 3.{first} " in (PROJECT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture
def set_up(tmp_path):
    """Runs the set-up in a folder of its own, with a uv that writes down what it is asked and exits as told."""
    shutil.copy(PROJECT / "tools/set_up.sh", tmp_path)
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@" >> asked\nmkdir -p .venv\ncase "$1" in pip) exit $UV_STATUS;; esac\n')
    uv.chmod(0o755)

    def run(status=0, **settings):
        environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": sys.executable, **settings}
        environment |= {"UV_STATUS": str(status), "UV_VERSION": "0", "BIN": ".venv/bin"}
        return subprocess.run(["sh", "set_up.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")
def test_failed_set_up_leaves_no_stamp_and_the_next_repairs_it(set_up, tmp_path):
    half = tmp_path / ".venv" / "half"
    assert set_up(status=1).returncode != 0
    assert not (tmp_path / ".venv/ready").exists()
    half.touch()
    assert set_up(status=0).returncode == 0
    assert (tmp_path / ".venv/ready").exists() and not half.exists()

    whole = tmp_path / ".venv" / "whole"
    whole.touch()
    assert set_up(status=1).returncode != 0  # a later lock that cannot be installed
    assert whole.exists() and not (tmp_path / ".venv/ready").exists()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")
def test_wheelhouse_is_all_that_an_offline_set_up_reads(set_up, tmp_path):
    assert set_up(WHEELHOUSE="a folder").returncode == 0
    installs = [line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("pip")]
    assert len(installs) == 2
    assert all("--no-index --find-links a folder" in line for line in installs)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")
def test_set_up_says_which_python_it_wants(set_up, tmp_path):
    result = set_up(PYTHON="no-such-python")
    assert result.returncode == 1
    assert "Python 3.11 to 3.14" in result.stderr and "make PYTHON=" in result.stderr
    assert not (tmp_path / "asked").exists()
