"""tools/lab.py: what a learner has in my/, and what JupyterLab shows first."""

import importlib.util
import json
import re
import secrets
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from lab import serving

PROJECT = Path(__file__).parent.parent
LESSON, EXERCISE = "notebooks/04_straight_through.ipynb", "exercises/04_straight_through.ipynb"

spec = importlib.util.spec_from_file_location("lab_tool", PROJECT / "tools/lab.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson and its exercise, to be changed at will; the learner's folder is `course / "my"`."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress"))
    for name in (LESSON, EXERCISE, "docs/glossary.md"):
        (tmp_path / "course" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / "course" / name)
    return tmp_path / "course"


def bring(course: Path) -> list[str]:
    return list(tool.bring(course, course / "my"))


def change(path: Path, source: str | None = None, **metadata) -> bytes:
    """Write the notebook with another text in its first cell, or with other metadata; -> what stands there now."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if source:
        notebook["cells"][0]["source"] = [source]
    notebook["metadata"] |= metadata
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path.read_bytes()


def test_all_that_a_copy_links_to_is_there(tmp_path):
    assert list(tool.bring(PROJECT, tmp_path)) == []
    pages = [path for path in tmp_path.rglob("*") if path.suffix in (".ipynb", ".md")]
    assert len(pages) > 45
    for path in pages:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        for target in re.findall(r"\]\(([^)#:\s]+\.\w+)[#)]", text):
            assert (path.parent / unquote(target)).exists(), f"{path.relative_to(tmp_path)}: {target}"


def test_the_list_has_every_notebook_its_minutes_and_what_is_right(course, tmp_path):
    (tmp_path / "progress").mkdir()
    passed = json.dumps({"attempts": 1, "hints": 0, "passed": "2026-11-20"})
    (tmp_path / "progress/straight_through.json").write_text(passed)
    bring(course)
    (row,) = re.findall(r"^\| 04 .*", (course / "my/Lessons.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert row == f"| 04 | [Straight through]({LESSON}) | [Straight through]({EXERCISE}) | 60 + 30 | 1 of 4 |"
    assert bring(course) == [] and not list((course / "my").glob("*.new.md"))  # a list of another day is no new version


def test_a_copy_that_nobody_changed_follows_the_course(course):
    bring(course)
    change(course / "my" / LESSON, kernelspec={"name": "another"})  # as JupyterLab does when it is opened
    new = change(course / LESSON, "# New")
    assert bring(course) == []
    assert (course / "my" / LESSON).read_bytes() == new


@pytest.mark.parametrize("work", ["text", "run"])
def test_a_learners_work_stays_and_the_new_version_is_laid_beside_once(course, work):
    bring(course)
    mine, beside = course / "my" / LESSON, (course / "my" / LESSON).with_suffix(".new.ipynb")
    if work == "text":
        kept = change(mine, "# Mine")
    else:
        kept = mine.read_text(encoding="utf-8").replace('"execution_count": 1,', '"execution_count": 3,', 1).encode()
        mine.write_bytes(kept)
    assert bring(course) == [] and mine.read_bytes() == kept
    new = change(course / LESSON, "# New")
    (line,) = bring(course)
    assert LESSON in line and beside.name in line
    assert mine.read_bytes() == kept and beside.read_bytes() == new
    beside.unlink()
    assert bring(course) == [] and not beside.exists()  # seen, and thrown away
    new = change(course / LESSON, "# Newer")
    assert len(bring(course)) == 1 and beside.read_bytes() == new
    new = change(course / LESSON, "# Newest")
    assert len(bring(course)) == 1 and beside.read_bytes() == new and mine.read_bytes() == kept
    change(beside, "# Mine too")
    kept_too, new = beside.read_bytes(), change(course / LESSON, "# Last")
    assert len(bring(course)) == 2 and (beside.read_bytes(), mine.read_bytes()) == (kept_too, kept)
    assert beside.with_suffix(".new.ipynb").read_bytes() == new
    beside.replace(mine)  # now that is the learner's
    assert bring(course) == [] and mine.read_bytes() == kept_too


def test_a_copy_that_was_removed_comes_back(course):
    bring(course)
    (course / "my" / EXERCISE).unlink()
    bring(course)
    assert (course / "my" / EXERCISE).read_bytes() == (course / EXERCISE).read_bytes()


def test_work_in_the_courses_own_exercises_is_not_taken_for_the_courses(course):
    work = change(course / EXERCISE, "# Solved here, before there was my/")
    bring(course)
    shutil.copy(PROJECT / EXERCISE, course / EXERCISE)
    assert len(bring(course)) == 1
    assert (course / "my" / EXERCISE).read_bytes() == work


@pytest.mark.parametrize("allowed", range(5))
def test_killed_at_any_write_nothing_is_lost(course, monkeypatch, allowed):
    bring(course)
    kept = change(course / "my" / LESSON, "# Mine")
    new = {LESSON: change(course / LESSON, "# New"), EXERCISE: change(course / EXERCISE, "# New exercise")}
    write, writes = tool.files.write, []

    def killed(place, content):
        if len(writes) == allowed:
            raise KeyboardInterrupt
        writes.append(place)
        write(place, content)

    monkeypatch.setattr(tool.files, "write", killed)
    if allowed < 4:  # the new version beside, the exercise, the list, and the record
        with pytest.raises(KeyboardInterrupt):
            bring(course)
    else:
        bring(course)
    monkeypatch.setattr(tool.files, "write", write)
    bring(course)
    assert (course / "my" / LESSON).read_bytes() == kept
    assert (course / "my/notebooks/04_straight_through.new.ipynb").read_bytes() == new[LESSON]
    assert (course / "my" / EXERCISE).read_bytes() == new[EXERCISE]
    assert len(list((course / "my").rglob("*.*"))) == 6  # these, the list, the record and the glossary


def test_where_the_record_is_lost_work_is_not(course):
    bring(course)
    kept = change(course / "my" / LESSON, "# Mine")
    (course / "my/.given.json").write_text("{")
    change(course / LESSON, "# New")
    bring(course)
    assert (course / "my" / LESSON).read_bytes() == kept


@pytest.mark.slow
def test_jupyterlab_opens_at_the_list_and_asks_nothing(course, chromium, tmp_path):
    shutil.copytree(PROJECT / "tools", course / "tools")
    token = secrets.token_hex(16)
    with serving([sys.executable, course / "tools/lab.py", f"--IdentityProvider.token={token}"], tmp_path) as address:
        page, asked = chromium.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}?token={token}")
        page.get_by_role("heading", name="Lessons").wait_for(timeout=90_000)
        shown = page.locator(".jp-DirListing-itemText").all_inner_texts()
        assert shown == ["docs", "exercises", "notebooks", "Lessons.md"]
        page.wait_for_timeout(5_000)  # JupyterLab asks about news some seconds after it has started
        assert page.locator(".Toastify__toast").count() == 0
        assert not [url for url in asked if re.search(r"/lab/api/(news|update)", url)]
        page.get_by_role("link", name="Straight through").last.click()
        page.get_by_role("heading", name="Exercise 04 · Straight through").wait_for(timeout=60_000)
        page.close()
    assert (tmp_path / "lab.log").read_text().startswith("my/ is yours")
