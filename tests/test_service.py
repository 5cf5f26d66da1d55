"""One student's work, graded for Gradescope, PrairieLearn and Classroom 50 by the scripts that these start."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hostile
import jsonschema
import pytest
from test_grade import PRIVATE

from course_lib.grade import service

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these services start containers of Linux")
PROJECT = Path(__file__).resolve().parent.parent
RUN = {  # what each service starts, below the folder that it works in
    "gradescope": (["bash", "source/run_autograder"], "submission", "results/results.json"),
    "prairielearn": (["bash", "tests/run.sh"], "student", "results/results.json"),
    "classroom50": ([sys.executable, "../bundle/autograder.py"], "", "result.json"),
}
GITHUB = {
    "CLASSROOM": "vae", "ASSIGNMENT": "04", "ASSIGNMENT_TYPE": "individual", "OWNER": "ann",
    "SUBMISSION_TAG": "submit/2026-06-01T14-32-05Z-a1b2c3d", "COMMIT_URL": "https://c", "RELEASE_URL": "https://r",
    "REVIEW_URL": "https://v",
}  # fmt: skip
WHOLE = {"type": "integer", "minimum": 0}
RESULT = {  # as Classroom 50's wiki page "Advanced Autograding" describes result.json
    "type": "object",
    "additionalProperties": False,
    "required": [
        "schema", "classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release", "review",
        "datetime", "score", "max-score", "tests",
    ],
    "properties": {
        "schema": {"const": "classroom50/result/v1"},
        **{name: {"type": "string", "minLength": 1} for name in ("classroom", "assignment", "owner")},
        **{name: {"type": "string", "minLength": 1} for name in ("commit", "release", "review")},
        "assignment_type": {"enum": ["individual", "group"]},
        "submission": {"type": "string", "pattern": "^submit/"},
        "datetime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "score": WHOLE,
        "max-score": WHOLE,
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["test-name", "passed", "score", "max-score"],
                "properties": {
                    "test-name": {"type": "string", "minLength": 1},
                    "passed": {"type": "boolean"},
                    "score": WHOLE,
                    "max-score": WHOLE,
                },
            },
        },
    },
}  # fmt: skip

spec = importlib.util.spec_from_file_location("autograder", PROJECT / "tools/autograder.py")
autograder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(autograder)


def build(kind: str, place: Path, *options: str) -> None:
    """What an instructor uploads, laid out as the service lays it out in `place`."""
    image = ["--image", "me/vq-course"] if kind == "prairielearn" else []
    built = place.parent / f"built-{place.name}"
    assert autograder.main([kind, str(built), "--exercise", "04", *image, *options]) == 0
    place.mkdir()
    if kind == "gradescope":
        with zipfile.ZipFile(built) as file:
            assert not [name for name in file.namelist() if name.startswith(("solutions", "tests", "notebooks"))]
            file.extractall(place / "source")
    elif kind == "prairielearn":
        shutil.copytree(built / "tests", place / "tests")
    else:
        shutil.copytree(built / "autograder", place.parent / "bundle")


def start(kind: str, place: Path, **environment: str):
    """The result of what was handed in, and what was printed."""
    command, folder, results = RUN[kind]
    (place / folder).mkdir(exist_ok=True)
    known = os.environ | GITHUB | {"COURSE_PYTHON": sys.executable, "AUTOGRADER": str(place), "GRADE": str(place)}
    known |= {"GITHUB_OUTPUT": str(place.parent / "outputs")} | environment
    run = subprocess.run(command, cwd=place, env=known, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    result = json.loads((place / results).read_text())
    if kind == "classroom50":
        jsonschema.validate(result, RESULT)
    return result, run


def solved(answer: str) -> str:
    return hostile.notebook(hostile.cell(answer, hostile.TAG))


def checked(name: str, score: float | None, most: float = 2, status: str = "", output: str = "o") -> dict:
    """One test of Gradescope's result."""
    counted = {} if score is None else {"score": score, "max_score": most}
    return {"name": name, "output": output, **counted, **({"status": status} if status else {})}


# ----------------------------------------------------------------------------------------------------------------------
# What is built


def test_gradescopes_scripts_are_programs(tmp_path):
    assert autograder.main(["gradescope", str(tmp_path / "g.zip"), "--exercise", "04_straight_through"]) == 0
    with zipfile.ZipFile(tmp_path / "g.zip") as file:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in file.infolist()}
    assert modes["setup.sh"] == modes["run_autograder"] == 0o755
    for script in ("setup.sh", "run_autograder"):
        assert subprocess.run(["bash", "-n", PROJECT / "tools/autograders/gradescope" / script]).returncode == 0


@pytest.mark.parametrize("kind", RUN)
def test_what_cannot_be_built_leaves_nothing(kind, tmp_path, capsys):
    assert autograder.main([kind, str(tmp_path / "out"), "--exercise", "77"]) == 2
    assert "there is no exercise 77" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years")
    assert autograder.main(["classroom50", str(tmp_path), "--exercise", "04"]) == 2
    assert "name another folder" in capsys.readouterr().err and (tmp_path / "thesis.tex").exists()


def test_a_question_of_prairielearns(tmp_path):
    command = ["prairielearn", str(tmp_path / "q"), "--exercise", "04"]
    assert autograder.main(command) == 2 and autograder.main([*command, "--image", "me/vq:1"]) == 0
    about = json.loads((tmp_path / "q/info.json").read_text())
    assert (about["type"], about["gradingMethod"]) == ("v3", "External")
    options = about["externalGradingOptions"]
    assert (options["image"], options["enableNetworking"], options["entrypoint"]) == (
        "me/vq:1",
        False,
        "/grade/tests/run.sh",
    )
    assert service.SECONDS < options["timeout"] <= 600  # or it would be ended before it could say so
    assert os.access(tmp_path / "q/tests/run.sh", os.X_OK)
    assert 'file-names="04_straight_through.ipynb"' in (tmp_path / "q/question.html").read_text()
    assert autograder.main([*command, "--image", "me/vq:2"]) == 0
    assert json.loads((tmp_path / "q/info.json").read_text())["uuid"] == about["uuid"]


def test_what_classroom_50_publishes_is_small_and_not_private(tmp_path, capsys):
    (tmp_path / "e90.py").write_text(PRIVATE)
    (tmp_path / "mine.toml").write_text('private = ["e90.py"]\n')
    command = ["classroom50", str(tmp_path / "out"), "--exercise", "04"]
    assert autograder.main([*command, "--settings", str(tmp_path / "mine.toml")]) == 2
    assert "would lie on the web" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert autograder.main(command) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"autograder", "runtime.json", "template"}
    shutil.make_archive(str(tmp_path / "bundle"), "gztar", tmp_path / "out/autograder")
    assert (tmp_path / "bundle.tar.gz").stat().st_size < 10 * 2**20  # more is not fetched


# ----------------------------------------------------------------------------------------------------------------------
# What each is told


HALF = {
    "score": 5.0,
    "output": "late",
    "tests": [checked("a", 3.3333, 3.3333, "passed"), checked("b", 1.6667, 3.3333, "failed")],
}
OPEN = {"output": "", "tests": [checked("a", 2.0, status="passed"), checked("b", None, output="b cannot be read")]}


def test_prairielearn_counts_shares():
    told = service.prairielearn(HALF)
    assert told["gradable"] is True and told["score"] == pytest.approx(0.75, abs=1e-4) and told["output"] == "late"
    assert [(test["name"], test["points"], test["max_points"]) for test in told["tests"]] == [
        ("a", 3.3333, 3.3333),
        ("b", 1.6667, 3.3333),
    ]
    thirds = {"score": 10.0, "output": "", "tests": [checked(name, 1.6667, 1.6667, "passed") for name in "abcdef"]}
    assert service.prairielearn(thirds)["score"] == 1  # though 10 of 10.0002 is less


def test_classroom_50_counts_whole_numbers_and_never_up():
    told = service.classroom50(HALF, 100, GITHUB)
    jsonschema.validate(told, RESULT)
    assert (told["score"], told["max-score"]) == (333 + 166, 333 + 333)
    assert [test["passed"] for test in told["tests"]] == [True, False]
    whole = service.classroom50({"score": 2.0, "tests": [checked("a", 2.0, 2.0, "passed")]}, 1, GITHUB)
    assert (whole["score"], whole["max-score"]) == (2, 2)


def test_what_is_not_graded_is_no_zero():
    assert service.prairielearn(OPEN) == {"gradable": False, "format_errors": ["b cannot be read"]}
    told = service.classroom50(OPEN, 1, GITHUB)
    jsonschema.validate(told, RESULT)
    assert (told["max-score"], told["tests"]) == (0, [])  # and status=error beside it


def never(*_, **__):
    raise subprocess.TimeoutExpired("grader", 1)


@pytest.mark.parametrize("kind", RUN)
@pytest.mark.parametrize("fault", ["too long", "no result", "no folder"])
def test_a_grader_that_fails_says_so(kind, fault, tmp_path, monkeypatch, capsys):
    (tmp_path / "assignment.json").write_text('{"exercises": ["04_straight_through"], "settings": false, "parts": 1}')
    monkeypatch.setattr(service, "HERE", tmp_path)
    for name, value in GITHUB.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    ended = subprocess.CompletedProcess("", 1, stderr=b"::error::SECRET = 1\n")
    monkeypatch.setattr(subprocess, "run", never if fault == "too long" else lambda *_, **__: ended)
    handed_in = tmp_path / "in"
    if fault != "no folder":
        handed_in.mkdir()
    service.main(kind, handed_in, tmp_path / "out/result.json")
    text = (tmp_path / "out/result.json").read_text()
    result = json.loads(text)
    assert "SECRET" not in text  # the grader's own lines may hold a right answer
    if kind == "gradescope":
        assert "score" not in result and result["output"] == service.UNKNOWN
    elif kind == "prairielearn":
        assert result == {"gradable": False, "format_errors": [service.UNKNOWN]}
    else:
        jsonschema.validate(result, RESULT)
        assert (result["score"], result["max-score"]) == (0, 0)
        assert (tmp_path / "outputs").read_text().startswith("status=error\nsummary=")
        assert service.UNKNOWN in (tmp_path / "out/release-body.md").read_text()
    assert not re.search("^::", capsys.readouterr().err, re.MULTILINE)


def test_no_text_ends_the_fence_around_it():
    texts = ["plain", "```\n# mine", "``", "`````` and ```"]
    page = service.release({"tests": [checked("a", 2.0, output=text) for text in texts], "output": ""})
    lines = page.splitlines()
    inside = lines[lines.index("") :]
    for text in texts:  # a fence, the text, the same fence
        assert inside[0] == "" and set(inside[1]) == {"`"} and inside[1] not in text
        assert inside[2 : 2 + len(text.splitlines())] == text.splitlines()
        assert inside[2 + len(text.splitlines())] == inside[1]
        inside = inside[3 + len(text.splitlines()) :]


# ----------------------------------------------------------------------------------------------------------------------
# The whole way, each by the scripts that the service starts


@pytest.mark.slow
def test_gradescope_with_an_instructors_settings(tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/e90.py").write_text(PRIVATE)
    (tmp_path / "mine.toml").write_text(
        'private = ["hidden/e90.py"]\n[points]\nstraight_through = 7\n'
        "[late]\ndue = 2020-01-01T00:00:00\nlost_per_day = 1\n"
    )
    build("gradescope", tmp_path / "place", "--settings", str(tmp_path / "mine.toml"))
    uploaded = tmp_path / "place/submission"
    uploaded.mkdir()
    (uploaded / "link").symlink_to("x" * 300)
    (uploaded / "my work (1).ipynb").write_text(solved(hostile.RIGHT))
    result, _ = start("gradescope", tmp_path / "place")
    assert result["score"] == 7 and [test["name"] for test in result["tests"]] == [
        "straight_through",
        "clipped_straight_through",
    ]


@pytest.mark.slow
def test_prairielearn_with_five_students(tmp_path):
    build("prairielearn", tmp_path / "place")
    handed_in = {
        "right": (PROJECT / "solutions/04_straight_through.ipynb").read_text(),
        "wrong": solved(hostile.WRONG),
        "blank": (PROJECT / "exercises/04_straight_through.ipynb").read_text(),
        "broken": solved(hostile.RIGHT)[:-20],
        "hostile": solved(hostile.does(hostile.WIRE + "\nopen('/grade/results/results.json', 'w').write('{}')")),
    }
    results = {}
    (tmp_path / "place/student").mkdir()
    for name, text in handed_in.items():
        (tmp_path / "place/student/04_straight_through.ipynb").write_text(text)
        results[name], _ = start("prairielearn", tmp_path / "place")
    assert {name: result.get("score") for name, result in results.items()} == {
        "right": 1, "wrong": 0, "blank": 0, "broken": None, "hostile": 0,
    }  # fmt: skip
    assert "which of the two terms should be detached?" in results["wrong"]["tests"][0]["output"]
    assert results["broken"]["gradable"] is False and "was cut off" in results["broken"]["format_errors"][0]


@pytest.mark.slow
def test_classroom_50_with_a_hostile_repository(tmp_path):
    build("classroom50", tmp_path / "place")
    place, outputs, elsewhere = tmp_path / "place", tmp_path / "outputs", tmp_path / "elsewhere"
    forged = dict.fromkeys(("score", "max-score"), 4) | {"schema": "classroom50/result/v1", "tests": []}
    for name in ("json.py", "pip.py", "course_lib/__init__.py", "course_lib/grade/service.py", "sitecustomize.py"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"import sys; open({str(elsewhere)!r}, 'w').write('ran'); sys.exit(0)")
    (place / "assignment.json").write_text('{"exercises": [], "settings": false, "parts": 1}')
    (place / "forged.json").write_text(json.dumps(forged))
    (place / "result.json").symlink_to("forged.json")
    (place / "release-body.md").symlink_to(elsewhere)
    (place / "two\nlines::error::").mkdir()
    (place / "two\nlines::error::/::set-output name=x::1.ipynb").write_text("{}")
    (place / "old").mkdir()
    (place / "old/04_straight_through.ipynb").write_text(solved(hostile.WRONG))
    with open(place / "large.ipynb", "wb") as large:
        large.truncate(200 * 2**20)
    lines = f"import os, sys\nfor path in ({str(outputs)!r}, os.environ.get('GITHUB_ENV', '/x')):\n"
    lines += "    try: open(path, 'a').write('status=success\\n')\n    except OSError: pass\n"
    lines += (
        "print('::set-output name=status::success', flush=True)\nraise ValueError('\\n::error::```\\n# Full marks')"
    )
    (place / "04_straight_through.ipynb").write_text(solved(hostile.does(lines)))
    result, run = start("classroom50", place, GITHUB_ENV=str(tmp_path / "github-env"))
    assert (result["score"], result["max-score"], len(result["tests"])) == (0, 4, 2)
    assert json.loads((place / "forged.json").read_text()) == forged and not (place / "result.json").is_symlink()
    assert not elsewhere.exists() and not outputs.exists() and not (tmp_path / "github-env").exists()
    assert not re.search("^::", run.stdout + run.stderr, re.MULTILINE)
    page = (place / "release-body.md").read_text()
    assert "Full marks" in page and page.index("````") < page.index("# Full marks") < page.rindex("````")

    (place / "04_straight_through.ipynb").write_text(solved(hostile.RIGHT))  # the same folder, pushed again
    result, _ = start("classroom50", place)
    assert [test["score"] for test in result["tests"]] == [2, 0]
    (place / "04_straight_through.ipynb").write_text("{")
    result, _ = start("classroom50", place)
    assert result["max-score"] == 0 and outputs.read_text().startswith("status=error\n")
    assert "was cut off" in (place / "release-body.md").read_text()
