"""A class graded in shards is the class graded by one: the same students, the same marks, byte for byte."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path

import classes
import hostile
import pytest
from test_grade_class import skip_or_fail, why_not

from course_lib.grade.finding import Finding
from course_lib.grade.journal import InUse, Journal, read
from course_lib.grade.shards import Shard, merge

CHECKS = {hostile.NAME: "now"}


def finding(student: str, **more) -> Finding:
    return replace(Finding(student, hostile.LESSON, hostile.NAME, "digest", "pass", 1.0, checks="now"), **more)


def journal_of(folder: Path, name: str, *findings: Finding) -> Journal:
    journal = Journal(folder, CHECKS, name)
    for one in findings:
        journal.write(one)
    journal.close()
    return journal


def merged(folder: Path, *students: str) -> tuple[Journal, list[str]]:
    journal = Journal(folder, CHECKS)
    told = list(merge(journal, students))
    journal.close()
    return journal, told


@pytest.mark.parametrize("text", ["0/8", "9/8", "2", "x/y", "2/8/3", "-1/8", "1/1001", "²/8", "", "1/0"])
def test_what_is_no_part_is_told(text):
    with pytest.raises(ArgumentTypeError, match="wanted 2/8 for the second of eight"):
        Shard.from_text(text)


def test_each_student_is_in_one_shard_and_stays_there():
    names = [student.name for student in classes.class_of(300)] + ["José", "x\udcff", "", "with\nnewline", "田中"]
    of = {name: [n for n in range(1, 9) if Shard(n, 8).holds(name)] for name in names}
    assert all(len(numbers) == 1 for numbers in of.values())
    sizes = [sum(numbers == [n] for numbers in of.values()) for n in range(1, 9)]
    assert min(sizes) > 20  # of 38: nobody's machine has most of the work
    # `printf ann | sha256sum` begins with 49915e0d7d4b402e, of zoë with 2752b88686847fa5: modulo 8 that is 6, and 5
    assert of | {"ann": [7], "zoë": [6]} == {name: [n for n in range(1, 9) if Shard(n, 8).holds(name)]
                                             for name in [*of, "ann", "zoë"]}  # fmt: skip
    assert Shard(1, 1).holds("anybody")


def test_an_accent_is_the_same_on_every_system():
    both = [unicodedata.normalize(form, "José Nuñez") for form in ("NFC", "NFD")]
    assert both[0] != both[1]
    assert all(len({Shard(n, 50).holds(name) for name in both}) == 1 for n in range(1, 51))


def test_journals_are_taken_over_with_their_draws(tmp_path):
    ours = finding("ann", verdict="wrong", score=0.0)
    main = journal_of(tmp_path, "verdicts.jsonl", ours)
    theirs = [journal_of(tmp_path, "verdicts-1-of-2.jsonl", finding("ann"), finding("ben"))]
    theirs.append(journal_of(tmp_path, "verdicts-2-of-2.jsonl", finding("cleo"), finding("dan", checks="old")))
    for name in ("verdicts-3-of-x.jsonl", "verdicts-01-of-2.jsonl", "notes.txt"):
        (tmp_path / name).write_text("no journal\n")
    for _ in range(2):  # the second finds nothing new
        journal, told = merged(tmp_path, "ann", "ben", "cleo", "dan")
        assert not told and journal.outdated == {hostile.NAME}
        seeds, lines = read(journal.path)
        assert seeds == [main.seed, *(one.seed for one in theirs)]
        assert lines == [ours, finding("ben"), finding("cleo")]  # what is here counts more than another's


def test_a_shard_that_was_killed_is_taken_as_far_as_it_came(tmp_path):
    journal_of(tmp_path, "verdicts-1-of-1.jsonl", finding("ann"), finding("ben"))
    path = tmp_path / "verdicts-1-of-1.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert [one.student for one in merged(tmp_path, "ann", "ben")[0].findings] == ["ann"]


def test_what_is_missing_or_differs_is_told(tmp_path):
    names = [f"student{number}" for number in range(40)]
    mine, others = ([name for name in names if Shard(1, 2).holds(name) is here] for here in (True, False))
    journal_of(tmp_path, "verdicts-1-of-2.jsonl", *map(finding, mine))
    told = merged(tmp_path, *names)[1]
    assert told == [f"shard 2 of 2 has no journal here: its {len(others)} students are graded now"]
    journal_of(tmp_path, "verdicts-1-of-1.jsonl", finding(mine[0], verdict="wrong", score=0.5), *map(finding, others))
    told = merged(tmp_path, *names)[1]
    assert told == [f"{mine[0]}, {hostile.NAME}: wrong in shard 1 of 1, pass in shard 1 of 2"]


def test_a_shard_that_is_still_graded_is_waited_for(tmp_path):
    shard = Journal(tmp_path, CHECKS, "verdicts-1-of-2.jsonl")
    main = Journal(tmp_path, CHECKS)
    with pytest.raises(InUse, match="verdicts-1-of-2.jsonl; wait for its end"):
        list(merge(main, []))
    shard.close()
    assert list(merge(main, [])) == []
    main.close()


def command(folder: Path, out: str, *options) -> list[str]:
    words = [sys.executable, "-m", "course_lib.grade", folder / "in", "--out", folder / out, "--jobs", "1", *options]
    return list(map(str, words))


def run(folder: Path, out: str, *options) -> str:
    done = subprocess.run(command(folder, out, *options), capture_output=True, text=True, cwd=classes.PROJECT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def begun(folder: Path, *names: str) -> None:
    """Journals with the same draws, as a run that was broken off leaves them."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(json.dumps({"seed": 7, "begun": "2026-11-27"}) + "\n")


@pytest.mark.slow
def test_three_shards_give_what_one_machine_gives(tmp_path):
    """Two at the same time into one folder, the third killed and gone on with; then the marks of all."""
    if reason := why_not("bubblewrap"):
        skip_or_fail(reason)
    classes.write(tmp_path / "in", [s for s in classes.class_of(14, seed=4) if "timeout" not in s.verdicts.values()])
    (tmp_path / "in/verdicts-1-of-3.jsonl").write_text('{"seed": 1}\n')  # nobody takes a stranger's file for a journal
    shards = [Shard(number, 3) for number in (1, 2, 3)]
    begun(tmp_path / "one", "verdicts.jsonl")
    begun(tmp_path / "marks", "verdicts.jsonl", *(shard.journal for shard in shards))
    run(tmp_path, "one")
    started = [
        subprocess.Popen(command(tmp_path, "marks", "--shard", f"{shard.number}/3"), stderr=subprocess.DEVNULL,
                         cwd=classes.PROJECT) for shard in shards
    ]  # fmt: skip
    last, journal = started[2], tmp_path / "marks" / shards[2].journal
    while len(journal.read_text().splitlines()) < 4 and last.poll() is None:
        time.sleep(0.05)
    os.kill(last.pid, signal.SIGKILL)
    assert [process.wait() for process in started] == [0, 0, -signal.SIGKILL]
    assert not (tmp_path / "marks/gradebook.csv").exists()  # a shard makes no marks
    graded = len(read(journal)[1])
    assert f"{graded} of them known before" in run(tmp_path, "marks", "--shard", "3/3")
    said = run(tmp_path, "marks")
    answers = len(read(tmp_path / "one/verdicts.jsonl")[1])
    assert f"{answers} answers, {answers} of them known before" in said and "look at: shard" not in said
    there = {path.name for path in (tmp_path / "one").iterdir()}
    assert there == {path.name for path in (tmp_path / "marks").iterdir()} - {shard.journal for shard in shards}
    assert len(there) > 25
    differ = [
        name
        for name in there - {"verdicts.jsonl"}
        if content(tmp_path / "one" / name) != content(tmp_path / "marks" / name)
    ]
    assert not differ
    replayed = [*command(tmp_path, "marks")[:4], "--replay", str(tmp_path / "marks/verdicts.jsonl")]
    done = subprocess.run(replayed, capture_output=True, text=True, cwd=classes.PROJECT)
    assert f"{answers} the same, 0 not, 0 could not" in done.stdout, done.stdout + done.stderr


def content(path: Path) -> bytes:
    """Without the seconds that grading took, on the class's page and in its figures."""
    return re.sub(rb'<td>\d+\.\d\d</td>|"(median|longest)": [\d.]+', b"", path.read_bytes())
