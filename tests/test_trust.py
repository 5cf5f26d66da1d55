"""What stands behind a check, as it is measured, kept and shown; and the same verdicts, asked again elsewhere."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import classes
import hostile
import pytest
import torch
from equivalents import EQUIVALENTS
from test_grade_class import skip_or_fail, why_not
from variants import VARIANTS

from course_lib.check import mutation, proof
from course_lib.check.author import exercise
from course_lib.check.exercises import EXERCISES
from course_lib.check.observe import Call
from course_lib.grade import about, journal, replay, settings
from course_lib.grade.__main__ import _parser, main
from course_lib.grade.finding import Finding

PROJECT = Path(__file__).resolve().parent.parent
MEND = "run make trust, which measures what has changed"
needs_a_timer = pytest.mark.skipif(not mutation.CAN_STOP, reason="Windows cannot stop a mutant that loops")

spec = importlib.util.spec_from_file_location("trust", PROJECT / "tools/trust.py")
trust = importlib.util.module_from_spec(spec)
spec.loader.exec_module(trust)


# ----------------------------------------------------------------------------------------------------------------------
# What is kept


def test_every_check_is_measured_as_it_is_now():
    known = about.kept()
    assert list(known) == list(EXERCISES), MEND
    for name, (found, versions) in known.items():
        there = 1 + len(VARIANTS[name]), len(EXERCISES[name].mistakes), set(EQUIVALENTS.get(name, ()))
        assert (found.right, found.mistakes, set(found.same)) == there, (name, MEND)
        assert found.fingerprint == proof.fingerprint_of(EXERCISES[name]), (name, MEND)
        assert found.draws >= (3 if EXERCISES[name].slow else 20) and found.mutants >= 1
        assert found.holds and "torch " in versions, name


def test_the_page_says_what_was_measured():
    assert (PROJECT / "docs/trust.md").read_text(encoding="utf-8") == trust.page(about.kept()), MEND
    totals = [0, 0, 0]
    for entry in json.loads(about.KEPT.read_text(encoding="utf-8")).values():
        found = entry["proof"]
        totals = [a + b for a, b in zip(totals, (found["right"], found["mistakes"], found["mutants"]))]
    page = " ".join((PROJECT / "docs/trust.md").read_text(encoding="utf-8").split())
    right, mistakes, mutants = totals
    assert f"of {right} right answers {right} are accepted; of {mistakes} known mistakes {mistakes} are refused" in page
    assert f"of {mutants} mutants" in page


def test_a_check_is_shown_and_all_are(capsys):
    assert main(["--about", "straight_through"]) == 0
    said = capsys.readouterr().out
    found, versions = about.kept()["straight_through"]
    assert f"known mistakes refused   {len(EXERCISES['straight_through'].mistakes)} of" in said
    assert f"accepted   {1 + len(VARIANTS['straight_through'])} of" in said and versions in said
    assert all(reason in said for reason in EQUIVALENTS["straight_through"]) and about.EARLIER not in said
    assert main(["--about"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["check", *EXERCISES]


def test_another_version_is_told(capsys, monkeypatch):
    monkeypatch.setattr(proof, "fingerprint_of", lambda exercise: "another")
    assert main(["--about", "look_up"]) == 0 and about.EARLIER in capsys.readouterr().out
    assert main(["--about"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"* {about.EARLIER}" and lines[1].split()[0].endswith("*")


def test_an_unknown_name_says_which_there_are(capsys):
    assert main(["--about", "lookup"]) == 2
    assert "there is no check 'lookup'; did you mean look_up" in capsys.readouterr().err


def test_a_changed_exercise_is_measured_anew_and_others_are_not(monkeypatch, tmp_path):
    kept, measured = about.kept(), []
    monkeypatch.setattr(about, "KEPT", tmp_path / "trust.json")
    monkeypatch.setattr(trust, "PAGE", tmp_path / "trust.md")
    kept.pop("look_up")
    trust.write(kept)
    found = kept["perplexity"][0]
    monkeypatch.setattr(proof, "measure", lambda exercise, *more: measured.append(exercise.name) or found)
    trust.main([])
    assert measured == ["look_up"] and "look_up" in about.kept()
    trust.main(["perplexity"])
    assert measured == ["look_up", "perplexity"]


# ----------------------------------------------------------------------------------------------------------------------
# How it is measured: on a check whose faults are known


def doubled(x):
    return 2 * x


def added(x):
    return x + x


def right_above_zero(x):
    return 2 * x.abs()


def check_with(*values: float, differentiate=()):
    calls = [Call((torch.tensor([value]),), ("x",), differentiate=differentiate) for value in values]
    return exercise(doubled, lesson="99_none", draw=lambda generator: calls, wrong=WRONG, hints=("", "", ""))


WRONG = """
2 * x -> 3 * x
    three times is too much
2 * x -> x * x
    the square
-> right_above_zero
    the sign is lost
"""


@needs_a_timer
def test_a_sharp_check_holds_and_a_weak_one_does_not():
    sharp = proof.measure(check_with(1.5, -2.5, differentiate=(0,)), [added], draws=4)
    assert (sharp.right, sharp.mistakes, sharp.draws) == (2, 3, 4)
    assert not (sharp.refused or sharp.taken or sharp.holes or sharp.stale) and sharp.killed == sharp.mutants > 0
    assert sharp.holds
    weak = proof.measure(check_with(2.0), [added, right_above_zero], draws=4)
    assert [text.split(",")[0] for text in weak.taken] == ["2 * x -> x * x", "-> right_above_zero"]
    assert "in 4 of 4 draws: right, with score 1" in weak.taken[0]
    assert not weak.refused and not weak.holds
    assert "mutants noticed" in weak.in_words() and "refused   1 of 3" in weak.in_words()


@needs_a_timer
def test_a_right_answer_that_is_refused_is_told_in_words():
    found = proof.measure(check_with(1.5, -2.5), [right_above_zero], draws=2)
    (told,) = found.refused
    assert told.startswith("right_above_zero, in 2 of 2 draws: wrong") and "the sign is lost" in told
    assert not found.holds


@needs_a_timer
def test_mutants_that_are_listed_are_counted_by_their_reason():
    def measured(same=None):
        return proof.measure(check_with(0.0), same=same, gradients=False, draws=1)

    unlisted = measured()
    assert "return 2 * x  |  2 -> 3" in unlisted.holes  # of 0 it is the same
    assert "return 2 * x  |  * -> /" not in unlisted.holes
    listed = measured({"it is": unlisted.holes, "gone": ["nothing"]})
    assert listed.same == {"it is": len(unlisted.holes)} and not listed.holes and listed.stale == ["nothing"]
    assert listed.killed == unlisted.killed and not listed.holds


PRIVATE = """
import torch
from course_lib.check.author import Call, exercise, normal

def mean_code(codebook):
    return codebook.mean(dim=0)

def draw(generator):
    return [Call((normal(generator, {}),), ("codebook",), differentiate=(0,))]

WRONG = '''
dim=0 -> dim=1
    the mean is over the codes, not over their numbers
'''
EXERCISE = exercise(mean_code, lesson="90_mine", draw=draw, wrong=WRONG, hints=("", "", ""), points=3)
"""


@needs_a_timer
@pytest.mark.parametrize("size, status", [("4, 3", 0), ("1, 3", 1)])
def test_a_private_exercise_is_measured_then_and_there(tmp_path, capsys, size, status):
    """Of a single code the sum is the mean: the check does not notice."""
    (tmp_path / "mine.py").write_text(PRIVATE.format(size))
    (tmp_path / "grading.toml").write_text('private = ["mine.py"]')
    threads = torch.get_num_threads()
    asked = ["--about", "mean_code", "--settings", str(tmp_path / "grading.toml"), "--draws", "2"]
    try:
        assert main(asked) == status
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert "refused   1 of 1" in said and "draws of inputs          2" in said
    assert ("NOT NOTICED: return codebook.mean(dim=0)  |  mean -> sum" in said) is bool(status)


# ----------------------------------------------------------------------------------------------------------------------
# The same verdict elsewhere


def grade(*arguments, project: Path = PROJECT, cwd: Path = PROJECT, **environment) -> tuple[int, str]:
    """The real command, in a process of its own. -> its status, and all that it said."""
    words = [sys.executable, "-m", "course_lib.grade", *map(str, arguments), "--jobs", "2"]
    environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class with what learners do, graded once: its folder, beside it the marks."""
    if reason := why_not("bubblewrap"):
        skip_or_fail(reason)
    folder = tmp_path_factory.mktemp("class")
    classes.write(folder / "in", classes.class_of(9, seed=3))
    classes.attacker(folder / "in", attack="wrong")
    status, said = grade(folder / "in", "--out", folder / "out", "--timeout", 4)
    assert status == 0, said
    return folder


@pytest.fixture
def room(graded, tmp_path):
    """A copy, to be spoilt."""
    shutil.copytree(graded, tmp_path / "class")
    return tmp_path / "class"


def contents(folder: Path) -> dict[str, tuple]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def forge(path: Path, *changes: dict) -> list[dict]:
    """One change for each of the first verdicts that are wrong; gives these as they were."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    lines = [json.loads(line) for line in lines]
    wrong = [line for line in lines if line["verdict"] == "wrong"][: len(changes)]
    before = [dict(line) for line in wrong]
    for line, change in zip(wrong, changes, strict=True):
        line.update(change)
    path.write_text("\n".join([head, *map(json.dumps, lines)]) + "\n", encoding="utf-8")
    return before


@pytest.mark.slow
def test_a_class_gets_the_same_verdicts_elsewhere_and_nothing_is_written(graded, tmp_path):
    """Another clone, another folder, other threads and another order of sets: one machine is all that there is."""
    clone, elsewhere = tmp_path / "a clone", tmp_path / "elsewhere"
    shutil.copytree(PROJECT / "course_lib", clone / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere.mkdir()
    before = contents(graded / "out")
    with open(graded / "out/verdicts.jsonl", encoding="utf-8") as file:
        count = len(file.readlines()) - 1
    verdicts = graded / "out/verdicts.jsonl"
    for more in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "4"}):
        status, said = grade(graded / "in", "--replay", verdicts, project=clone, cwd=elsewhere, **more)
        assert status == 0, said
        assert f"{count} answers: {count} the same, 0 not, 0 could not be asked again" in said
    assert contents(graded / "out") == before and not list(elsewhere.iterdir())


@pytest.mark.slow
def test_forged_verdicts_are_found(room):
    """A mark, a part of one, a cause, and draws that were others."""
    changes = {"verdict": "pass", "score": 1.0}, {"score": 0.75}, {"mistake": "forged"}, {"seed": 1}
    before = forge(room / "out/verdicts.jsonl", *changes)
    status, said = grade(room / "in", "--replay", room / "out/verdicts.jsonl")
    assert status == 1 and said.count("differs: ") == 4 and ", 4 not, 0 could not" in said, said
    told = said.split("differs: ")[1:]
    for line, words in zip(before, ["then: pass, score 1", "score 0.75", ", forged; draws", "draws 1; checks"]):
        (mine,) = [text for text in told if text.startswith(f"{line['student']}, {line['check']}\n")]
        assert words in mine.split("now:")[0] and f"now:  wrong, score {line['score']:g}" in mine
        assert mine.count("Python 3.") == 2  # both environments


@pytest.mark.slow
def test_what_cannot_be_asked_again_is_named(room):
    students = sorted(path for path in (room / "in").iterdir() if (path / "04_straight_through.ipynb").exists())
    shutil.rmtree(students[0])
    changed = students[1] / "04_straight_through.ipynb"
    changed.write_text(changed.read_text() + "\n")
    (students[2] / "05_three_losses.ipynb").unlink()
    status, said = grade(room / "in", "--replay", room / "out/verdicts.jsonl")
    assert status == 2, said
    assert f"{students[0].name}, straight_through: there is no folder of this name" in said
    assert f"{students[1].name}, straight_through: another 04_straight_through.ipynb:" in said
    assert f"{students[2].name}, codebook_loss: another 05_three_losses.ipynb:" in said and "none that can be" in said
    assert " 0 not, " in said


def test_other_checks_are_named_and_nothing_is_asked(tmp_path, capsys):
    """No sandbox is there to be asked."""
    path, these, threads = tmp_path / "verdicts.jsonl", settings.Settings().fingerprints(), torch.get_num_threads()
    options = _parser().parse_args([str(tmp_path), "--replay", str(path)])
    found = Finding("ann", hostile.LESSON, hostile.NAME, "digest", "pass", 1.0, checks="0123")
    head, verdict = '{"seed": 1}\n', json.dumps(found.as_line()) + "\n"
    for content, wanted in {
        head + verdict: f"its check was 0123, and is {these[hostile.NAME]}",
        head + verdict.replace(hostile.NAME, "mine"): "no exercise has this name; if it was your own",
        head: "holds no verdict",
        head + '{"verdict": "none"}\n': "line 2: not what a grader writes",
        "no journal\n": "line 1: not what a grader writes",
        "": "holds no verdict",
    }.items():
        path.write_text(content)
        assert replay.run(options, []) == 2
        assert wanted in capsys.readouterr().err
    path.unlink()
    assert replay.run(options, []) == 2 and "nothing was replayed" in capsys.readouterr().err
    torch.set_num_threads(threads)


def test_a_journal_is_read_as_it_was_written(tmp_path):
    found = Finding("ann", hostile.LESSON, hostile.NAME, "digest", "pass", 1.0)
    kept = journal.Journal(tmp_path, {hostile.NAME: "these"})
    kept.write(found)
    kept.write(found)
    kept.close()
    with open(tmp_path / journal.NAME, "ab") as file:
        file.write(b'{"cut off')
    assert journal.read(tmp_path / journal.NAME) == ([kept.seed], [found, found])


def test_what_judges_nothing_costs_no_verdict(tmp_path, monkeypatch):
    """How a check is measured or handed out may change without a class being asked again; how it judges may not."""
    shutil.copytree(PROJECT / "course_lib", tmp_path / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(settings, "COURSE", tmp_path / "course_lib")
    before = settings.Settings().fingerprints()
    for name in settings.NO_JUDGES:
        with open(tmp_path / f"course_lib/check/{name}.py", "a", encoding="utf-8") as file:
            file.write("# changed\n")
    assert settings.Settings().fingerprints() == before
    with open(tmp_path / "course_lib/check/judge.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert not settings.Settings().fingerprints().items() & before.items()


def test_one_thing_is_asked_at_a_time(capsys):
    for words in (["--about", "--try", "x.py"], [], ["folder"], ["--out", "marks"]):
        with pytest.raises(SystemExit) as refused:
            main(words)
        assert refused.value.code == 2 and capsys.readouterr().err
