"""pyproject.toml, the two locks, environment.yml and the set-up are one environment, written down five times."""

import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
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
    pins = re.findall(r"^(\S+==.*) \\\n((?:    .+\n?)+)", lock, re.MULTILINE)
    return [(Requirement(pin), hashes) for pin, hashes in pins]


def versions_of(name: str, lock: str) -> list[str]:
    pins = [pin for pin, _ in entries(lock) if canonicalize_name(pin.name) == canonicalize_name(name)]
    return [specifier.version for pin in pins for specifier in pin.specifier]


def as_set(pins) -> set[tuple[str, str, str]]:
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
    assert as_set(map(Requirement, pins)) == as_set(pin for pin, _ in entries(LOCK))


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
    jobs = yaml.safe_load((PROJECT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    assert all(job["strategy"]["matrix"]["python"] == [f"3.{first}", f"3.{last}"] for job in jobs.values())


@pytest.fixture
def project(tmp_path):
    """A copy of what sets the environment up, with a wheelhouse in which there is nothing: no set-up succeeds."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "nbgrader.lock", "tools/set_up.sh"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / "wheelhouse").mkdir()

    def run(*command, python=sys.executable):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment |= {"PYTHON": python, "WHEELHOUSE": "wheelhouse", "UV_VERSION": "0", "BIN": ".venv/bin"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return tmp_path, run


@pytest.mark.posix
def test_set_up_says_which_python_it_wants(project):
    folder, run = project
    result = run("sh", "set_up.sh", python="no-such-python")
    assert result.returncode == 1 and not (folder / ".venv").exists()
    assert "Python 3.11 to 3.14" in result.stderr and "make PYTHON=" in result.stderr


@pytest.mark.posix
@pytest.mark.skipif(shutil.which("uv") is None, reason="without uv a set-up takes long to fail")
def test_a_set_up_that_failed_is_made_anew(project):
    folder, run = project
    half, stamp = folder / ".venv" / "half", folder / ".venv" / "ready"
    assert run("sh", "set_up.sh").returncode != 0
    half.touch()
    assert run("sh", "set_up.sh").returncode != 0
    assert not half.exists() and not stamp.exists()


@pytest.mark.posix
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_where_nbgrader_cannot_be_installed_make_says_so_and_goes_on(project):
    folder, run = project
    (folder / ".venv").mkdir()
    (folder / ".venv" / "ready").touch()
    result = run("make", ".venv/nbgrader-ready")
    assert result.returncode == 0 and "nbgrader cannot be installed here" in result.stdout, result.stderr
    assert not (folder / ".venv" / "nbgrader-ready").exists()


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch has no CUDA build that could be left out")
uv_and_make = pytest.mark.skipif(not (shutil.which("uv") and shutil.which("make")), reason="needs uv and make")


@linux
@uv_and_make
def test_cpu_leaves_out_of_the_locks_what_is_there_for_cuda_alone(project):
    """CUDA's packages are the ones that Linux alone gets, though the course does not ask for them."""
    _, run = project
    ours = {requirement.name for requirement in map(Requirement, PYPROJECT["dependencies"]) if requirement.marker}
    for name, lock in (("requirements.lock", LOCK), ("nbgrader.lock", NBGRADER)):
        kept = {pin.name for pin, _ in entries(run("make", "-s", "--eval", f'x:;sed -E "$$CUDA" {name}', "x").stdout)}
        pins = [pin for pin, _ in entries(lock)]
        on_a_mac = {pin.name for pin in pins if not pin.marker or pin.marker.evaluate({"sys_platform": "darwin"})}
        here = {pin.name for pin in pins if not pin.marker or pin.marker.evaluate()}
        assert kept & here == (here & on_a_mac) - {"torch", "torchvision"} | ours


@pytest.fixture
def registry(project):
    """The project with a short lock, and a wheelhouse with small packages of the names and versions that are in it."""
    folder, run = project
    (folder / "tools").mkdir()
    (folder / "set_up.sh").rename(folder / "tools" / "set_up.sh")
    (folder / "course_lib").mkdir()
    for name in ("course_lib/__init__.py", "README.md", "LICENSE"):
        (folder / name).touch()

    def wheel(name, version, requires=()):
        """The lock's entry for a wheel, which lies in the wheelhouse from now on."""
        path, info = folder / "wheelhouse" / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(f"{info}/METADATA", "\n".join([*metadata, *(f"Requires-Dist: {one}" for one in requires)]))
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n"

    def installed():
        site = next((folder / ".venv").glob("lib/python*/site-packages"))
        return {one.name: one.version for one in importlib.metadata.distributions(path=[str(site)])}

    cuda = [wheel("nvidia_cudnn", "9"), wheel("cuda_bindings", "13"), wheel("triton", "3")]
    ordinary = [wheel("torch", "2.15.0", ["nvidia-cudnn", "triton"]), wheel("torchvision", "0.29.2", ["torch"])]
    first, second = ["".join([*cuda, *ordinary, wheel("einops", version, ["torch"])]) for version in ("1", "2")]
    (folder / "requirements.lock").write_text(first)
    (folder / "nbgrader.lock").write_text(second + wheel("nbgrader", "1"))
    return folder, run, wheel, installed, second


WITHOUT_CUDA = {"torch": "2.15.0+cpu", "torchvision": "0.29.2+cpu", "vq-course": PYPROJECT["version"]}
WITH_CUDA = {"torch": "2.15.0", "torchvision": "0.29.2", "nvidia_cudnn": "9", "cuda_bindings": "13", "triton": "3"}


@linux
@uv_and_make
def test_cpu_installs_the_cpu_builds_and_keeps_them(registry):
    folder, run, wheel, installed, next_lock = registry
    wheel("torch", "2.15.0+cpu")
    wheel("torchvision", "0.29.2+cpu", ["torch"])
    result = run("make", ".venv/ready", "CPU=1")
    assert result.returncode == 0, result.stderr
    assert installed() == WITHOUT_CUDA | {"einops": "1"}

    (folder / "requirements.lock").write_text(next_lock)
    assert run("make", ".venv/ready", ".venv/nbgrader-ready").returncode == 0
    assert installed() == WITHOUT_CUDA | {"einops": "2", "nbgrader": "1"}


@linux
@uv_and_make
def test_where_there_is_no_cpu_build_the_ordinary_one_comes_and_stays(registry):
    folder, run, wheel, installed, next_lock = registry
    result = run("make", ".venv/ready", "CPU=1")
    assert result.returncode == 0 and "CPU build cannot be had here" in result.stderr, result.stderr
    assert installed() == WITH_CUDA | {"einops": "1", "vq-course": PYPROJECT["version"]}

    wheel("torch", "2.15.0+cpu")
    wheel("torchvision", "0.29.2+cpu", ["torch"])
    (folder / "requirements.lock").write_text(next_lock)
    assert run("make", ".venv/ready", "CPU=1").returncode == 0
    assert installed() == WITH_CUDA | {"einops": "2", "vq-course": PYPROJECT["version"]}


@linux
@uv_and_make
def test_cpu_installs_nothing_else_whose_hash_is_not_the_locks(registry):
    folder, run, wheel, _, _ = registry
    wheel("torch", "2.15.0+cpu")
    wheel("torchvision", "0.29.2+cpu")
    wheel("einops", "1", ["torch", "something-else"])
    result = run("make", ".venv/ready", "CPU=1")
    assert result.returncode != 0 and "Hash mismatch" in result.stderr
    assert not (folder / ".venv" / "ready").exists()
