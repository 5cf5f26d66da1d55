"""tools/launch.py: lessons that bring the course along."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import nbformat
import pytest

PROJECT = Path(__file__).parent.parent
URL = "https://github.com/someone/course"

spec = importlib.util.spec_from_file_location("launch_tool", PROJECT / "tools/launch.py")
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launch")
    launch.main([f"{URL}/", str(folder)])
    return folder


def test_every_lesson_and_exercise_is_there_with_one_cell_more_and_links_that_lead_somewhere(launched):
    paths = sorted(launched.rglob("*.ipynb"))
    assert [str(path.relative_to(launched)) for path in paths] == [
        str(path.relative_to(PROJECT))
        for folder in ("exercises", "notebooks") for path in sorted((PROJECT / folder).glob("[0-9][0-9]_*.ipynb"))
    ]  # fmt: skip
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        committed = nbformat.read(PROJECT / path.relative_to(launched), as_version=4)
        code = [[cell.source for cell in each.cells if cell.cell_type == "code"] for each in (notebook, committed)]
        assert code[0][1:] == code[1] and f'"{URL}", course' in code[0][0]
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert not re.findall(r"\]\(\.*[^)#:]*\.(?:ipynb|md)\b", prose)
        for target in re.findall(rf"\]\({URL}/blob/HEAD/([^)#]+)", prose):
            assert (PROJECT / target).exists(), target


def test_what_it_brings_is_what_lessons_and_library_import():
    files = [path for path in (PROJECT / "course_lib").rglob("*.py") if "grade" not in path.parts]
    sources = [path.read_text(encoding="utf-8") for path in files]
    for folder in ("notebooks", "exercises"):
        for path in (PROJECT / folder).glob("*.ipynb"):
            sources += [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    modules = set()
    for source in sources:
        for node in ast.walk(ast.parse(re.sub(r"^\s*[%!].*", "", source, flags=re.MULTILINE))):
            if isinstance(node, ast.Import):
                modules |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    distributions = packages_distributions()
    needed = {distributions[module][0].lower() for module in modules - {"course_lib"} if module in distributions}
    given = {*launch.KEPT, *launch.BROUGHT} | {"pillow", "scipy", "traitlets", "ipython"}  # come with these
    assert needed <= given
    assert len(launch.requirements()) == len(launch.BROUGHT)


def run(cell: str, folder: Path, before: str = "") -> dict:
    """What is so after the cell was run in a process of its own."""
    after = (
        "import json; print(json.dumps({'cwd': os.getcwd(), 'path': sys.path[0], 'env': os.environ.get('PYTHONPATH')}))"
    )
    environment = os.environ | {"PYTHONPATH": f"{folder / 'pip'}{os.pathsep}{PROJECT}"}
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\n{cell}\n{after}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_where_the_course_is_installed_the_cell_does_nothing(launched, tmp_path):
    cell = nbformat.read(launched / "notebooks/04_straight_through.ipynb", as_version=4).cells[0].source
    seen = run(cell, tmp_path)
    assert seen["cwd"] == str(tmp_path) and seen["path"] == "" and not list(tmp_path.iterdir())


def test_where_it_is_not_the_course_is_brought_and_its_pytorch_kept(tmp_path):
    """With a repository on disk, and a pip that writes down what it was asked for."""
    origin = tmp_path / "origin"
    (origin / "notebooks").mkdir(parents=True)
    (origin / "notebooks/x.txt").touch()
    git = ["git", "-C", origin, "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "pip/pip").mkdir(parents=True)
    (tmp_path / "pip/pip/__main__.py").write_text(
        "import json, pathlib, sys\n"
        "kept = pathlib.Path(sys.argv[sys.argv.index('--constraint') + 1]).read_text()\n"
        "pathlib.Path('asked.json').write_text(json.dumps([sys.argv[1:], kept]))\n"
    )
    cell = launch.launched({"cells": []}, origin.as_uri(), "notebooks")["cells"][0]
    missing = "import importlib.util; importlib.util.find_spec = lambda name: None"
    seen = run("".join(cell["source"]), tmp_path, missing)
    course = str(tmp_path / "course")
    assert seen["path"] == course and seen["cwd"] == f"{course}/notebooks"
    assert seen["env"].split(os.pathsep)[0] == course
    asked, kept = json.loads((tmp_path / "asked.json").read_text())
    assert asked[-len(launch.BROUGHT) :] == launch.requirements()
    assert kept.splitlines()[0] == f"torch=={version('torch')}"
    run("".join(cell["source"]), tmp_path, missing)  # a kernel that was started anew
