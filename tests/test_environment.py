"""pyproject.toml, the two locks, environment.yml and the set-up are one environment, said five times."""

import functools
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
NBGRADER = (PROJECT / "nbgrader.lock").read_text(encoding="utf-8")  # the same environment, with nbgrader in it
CONDA = (PROJECT / "environment.yml").read_text(encoding="utf-8")
both_locks = pytest.mark.parametrize("lock", [LOCK, NBGRADER], ids=["requirements.lock", "nbgrader.lock"])


@functools.cache
def entries(lock: str) -> list[tuple[Requirement, str]]:
    """An entry: a line `name==version ; marker \\`, then the hashes, all but the last with a backslash too."""
    found = re.findall(r"^(\S+==.*) \\\n((?:    .+\n?)+)", lock, re.MULTILINE)
    return [(Requirement(pin), hashes) for pin, hashes in found]


def versions_of(name: str, lock: str) -> list[str]:
    pins = [pin for pin, _ in entries(lock) if canonicalize_name(pin.name) == canonicalize_name(name)]
    return [specifier.version for pin in pins for specifier in pin.specifier]


def said(pins) -> set[tuple[str, str, str]]:
    return {(canonicalize_name(pin.name), str(pin.specifier), str(pin.marker or "")) for pin in pins}


@both_locks
def test_lock_is_pins_with_hashes_and_nothing_else(lock):
    assert len(entries(lock)) == len(re.findall(r"^\S", lock, re.MULTILINE)) > 100
    for pin, hashes in entries(lock):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in hashes.splitlines()), pin


LOCKED = [
    *((dependency, LOCK) for dependency in PYPROJECT["dependencies"]),
    *((dependency, NBGRADER) for dependency in PYPROJECT["optional-dependencies"]["nbgrader"]),
]


@pytest.mark.parametrize("dependency, lock", LOCKED, ids=[dependency for dependency, _ in LOCKED])
def test_each_dependency_is_locked_at_a_version_it_allows(dependency, lock):
    wanted = Requirement(dependency)
    versions = versions_of(wanted.name, lock)
    assert versions
    assert all(wanted.specifier.contains(version) for version in versions), versions


def test_nbgrader_adds_to_the_environment_and_changes_nothing_in_it():
    names = {pin.name for pin, _ in entries(LOCK)}
    changed = {name for name in names if versions_of(name, NBGRADER) != versions_of(name, LOCK)}
    assert not changed
    assert {pin.name for pin, _ in entries(NBGRADER)} > names


def test_environment_has_the_pins_of_the_lock_then_the_project():
    *_, pip = yaml.safe_load(CONDA)["dependencies"]
    *pins, project = pip["pip"]
    assert project == "-e ."
    assert said(map(Requirement, pins)) == said(pin for pin, _ in entries(LOCK))


def test_environment_says_where_it_comes_from():
    assert CONDA.startswith("# Generated") and "make lock" in CONDA.splitlines()[0]
    assert yaml.safe_load(CONDA)["name"] == "vq-course"


@pytest.mark.parametrize("text", [LOCK, NBGRADER, CONDA], ids=["requirements.lock", "nbgrader.lock", "environment.yml"])
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


@pytest.mark.skipif(shutil.which("make") is None or os.name == "nt", reason="needs make, and a shell script as uv")
@pytest.mark.parametrize("status", [0, 1])
def test_where_nbgrader_cannot_be_installed_make_says_so_and_goes_on(tmp_path, status):
    for name in ("Makefile", "nbgrader.lock", "requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/ready").touch()
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" > asked\nexit {status}\n')
    uv.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    environment = {name: value for name, value in environment.items() if not name.startswith("MAKE")}
    command = ["make", ".venv/nbgrader-ready", "WHEELHOUSE=a folder"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert ("cannot be installed" in result.stdout) == (status == 1) != (tmp_path / ".venv/nbgrader-ready").exists()
    asked = (tmp_path / "asked").read_text()
    assert "--no-index --find-links a folder" in asked and "--require-hashes --requirements nbgrader.lock" in asked
