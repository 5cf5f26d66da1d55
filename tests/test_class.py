"""A class of 200, the whole way: graded, marks changed by hand, graded again, reported, and looked at in a browser."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import classes
import hostile
import pytest
from axe_playwright_python.sync_playwright import Axe
from test_grade_class import skip_or_fail, why_not

pytestmark = pytest.mark.slow
STUDENTS, SECONDS = 200, 6
ATTACKS = [name for name, (verdict, _) in hostile.CELLS.items() if "pass" not in verdict][:8]
RENAMED = 13  # in `classes`: every 13th student's files have another name


def grade(folder: Path, *options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "course_lib.grade", folder / "in", "--out", folder / "out", "--jobs", "2"]
    command += ["--timeout", SECONDS, *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=classes.PROJECT)


def gradebook(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "out/gradebook.csv", newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def verdicts(folder: Path) -> dict[tuple[str, str], dict]:
    lines = (folder / "out/verdicts.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    return {(line["student"], line["check"]): line for line in map(json.loads, lines) if "check" in line}


@pytest.fixture(scope="module")
def students() -> list[classes.Student]:
    return classes.class_of(STUDENTS, seed=1)


@pytest.fixture(scope="module")
def first(students, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    if reason := why_not("bubblewrap"):
        skip_or_fail(reason)
    folder = tmp_path_factory.mktemp("class")
    classes.write(folder / "in", students)
    for attack in ATTACKS:
        classes.attacker(folder / "in", f"mallory_{attack}", attack)
    return folder, grade(folder)


def own_verdicts(student: classes.Student) -> dict[str, str]:
    """Without what depends on another answer of the student's, which is not right: it is judged with that one."""
    built_on = {student.verdicts[name] for name in ("codebook_loss", "commitment_loss")}
    return {n: v for n, v in student.verdicts.items() if n != "gradient_matrix" or built_on == {"pass"}}


def test_every_answer_is_worth_what_it_was_made_to_be(first, students):
    folder, run = first
    assert run.returncode == 0, run.stderr[-2000:]
    found, wrong = verdicts(folder), []
    for student in students:
        for answer, wanted in own_verdicts(student).items():
            verdict = found[student.name, answer]["verdict"]
            if verdict != wanted if wanted else verdict == "pass":
                wrong.append((student.name, answer, wanted, verdict))
    assert not wrong


def test_mistakes_are_named_as_what_they_are(first, students):
    folder, _ = first
    found, named, made = verdicts(folder), 0, 0
    for student in students:
        for answer, mistake in student.mistakes.items():
            if answer not in own_verdicts(student):
                continue
            made += 1
            named += found[student.name, answer]["mistake"] == mistake
    assert made > 200 and named / made > 0.95, (named, made)


def test_nobody_forges_a_mark(first):
    folder, _ = first
    rows = gradebook(folder)
    assert all(float(rows[f"mallory_{attack}"]["total"] or 0) == 0 for attack in ATTACKS)


def test_the_class_report_counts_what_the_journal_holds(first, students):
    folder, _ = first
    summary = json.loads((folder / "out/class.json").read_text())
    found = verdicts(folder)
    assert summary["students"] == STUDENTS + len(ATTACKS)
    for answer in summary["answers"]:
        lines = [line for (_, check), line in found.items() if check == answer["answer"]]
        assert answer["counts"]["right"] == sum(line["verdict"] == "pass" for line in lines)
        names = Counter(line["mistake"] for line in lines if line["mistake"] and line["verdict"] != "blank")
        if answer["answer"] == "gradient_matrix":
            continue  # who may be wrong for a loss alone, which it uses, is not counted among its mistakes
        assert {m["mistake"]: m["students"] for m in answer["mistakes"]} == names


def test_a_mark_by_hand_outlives_a_regrade_and_a_gradebook_that_was_changed_is_not_undone_in_silence(first, students):
    folder, _ = first
    before = gradebook(folder)
    ann, bob = students[0].name, students[1].name
    (folder / "out/overrides.toml").write_text(
        f'[[mark]]\nstudent = "{ann}"\nanswer = "straight_through"\npoints = 0.5\nreason = "explained it"\nby = "Kim"\n'
        f'[[comment]]\nstudent = "{ann}"\ntext = "Come and see me."\nby = "Kim"\n'
    )
    run = grade(folder)
    assert run.returncode == 0, run.stderr[-2000:]
    after = gradebook(folder)
    changed = {name for name in before if before[name]["total"] != after[name]["total"]}
    assert changed <= {ann} and "explained it" in after[ann]["notes"]
    page = (folder / f"out/{ann}.html").read_text()
    assert "explained it" in page and "Come and see me." in page
    lines = (folder / "out/gradebook.csv").read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(bob))
    name, mark, *rest = lines[place].split(",")
    lines[place] = ",".join([name, "1" if mark != "1" else "2", *rest])
    (folder / "out/gradebook.csv").write_text("\n".join(lines) + "\n")
    run = grade(folder)
    assert bob in run.stderr and "[[mark]]" in run.stderr
    assert list((folder / "out").glob("gradebook.csv.*")) and gradebook(folder)[bob] == after[bob]


def test_a_notebook_that_was_mended_is_graded_alone_and_the_change_is_listed(first, students):
    folder, _ = first
    failed = next(
        s for i, s in enumerate(students) if i > 1 and i % RENAMED != RENAMED - 1 and not s.verdicts["straight_through"]
    )
    failed.sources["straight_through"] = hostile.RIGHT
    path = folder / "in" / failed.name
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    classes.write(folder / "in", [failed])
    lines = len((folder / "out/verdicts.jsonl").read_text().splitlines())
    run = grade(folder)
    assert run.returncode == 0, run.stderr[-2000:]
    assert 1 <= len((folder / "out/verdicts.jsonl").read_text().splitlines()) - lines <= 6
    with open(folder / "out/marks-changed.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["student"], row["answer"]) for row in rows] == [(failed.name, "straight_through")]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_can_be_read_by_everybody(first, students, visit, dark):
    folder, _ = first
    for name in ("class", "alike", students[2].name, students[16].name):
        for width in (1280, 390):
            with visit(folder / f"out/{name}.html", width=width, dark=dark) as page:
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
                page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
                faults = Axe().run(page).response["violations"]
                assert not faults, (name, width, [(f["id"], f["nodes"][0]["html"][:200]) for f in faults])


def test_copies_are_shown_beside_each_other(first, students):
    folder, _ = first
    page = (folder / "out/alike.html").read_text()
    copied = [student for student in students if student.copied_from]
    shown = [student for student in copied if student.name in page]
    assert copied and len(shown) >= len(copied) / 2, (len(shown), len(copied))


def test_files_are_the_students_own_and_nobody_elses(first):
    folder, _ = first
    assert not [path for path in (folder / "out").rglob("*") if path.is_symlink() or path.is_dir()]
    assert os.stat(folder / "out/verdicts.jsonl").st_mode & 0o022 == 0
