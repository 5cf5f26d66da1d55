"""One student's work, graded where a service starts a container for it, and told in that service's words.

    python -m course_lib.grade.service gradescope SUBMISSION RESULTS

The same command as for a class judges it, in a process of its own. Whatever becomes of that, RESULTS is a whole file;
where something could not be graded it says so, and is no zero. What is asked stands in `assignment.json`, beside
`course_lib`: tools/autograder.py builds a folder with both.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from course_lib import files
from course_lib.grade.finding import cleaned
from course_lib.grade.submissions import files_below

HERE = Path(__file__).resolve().parent.parent.parent
SECONDS = 540.0  # for all of it; a service that is told nothing else gives ten minutes
MOST = 10_000  # characters of feedback on one answer: results have at most a megabyte, a release's text an eighth
STUDENT = "submission"
UNKNOWN = "The grader could not be run, and nothing was graded. Tell your instructor, who finds the reason in the log."


def main(service: str, uploaded: Path, results: Path) -> None:
    asked = json.loads((HERE / "assignment.json").read_text(encoding="utf-8"))
    try:
        result = grade(uploaded, asked["exercises"], HERE / "settings.toml" if asked["settings"] else None)
    except Exception as error:  # a student is told that it failed, and an instructor how
        log(f"{type(error).__name__}: {error}")
        result = {"tests": [], "output": UNKNOWN}
    for test in result["tests"]:
        test["output"] = test["output"][:MOST]
    results.parent.mkdir(parents=True, exist_ok=True)
    if service == "gradescope":
        write(results, result)
    elif service == "prairielearn":
        write(results, prairielearn(result))
    else:
        files.write(results.with_name("release-body.md"), release(result))
        write(results, classroom50(result, asked["parts"], os.environ))
        if "score" not in result:
            with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
                outputs.write("status=error\nsummary=not graded, and no score: the page of this run says why\n")


def grade(uploaded: Path, exercises: list[str], settings: Path | None) -> dict:
    """What Gradescope is told of the student: `gradescope.results`. Any error is one of the grader's."""
    end = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "in", STUDENT)
        for path, name in named(uploaded, exercises):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / name, follow_symlinks=False)
        place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "course_lib.grade", place.parent, "--out", f"{folder}/out", "--jobs", "1"]
        command += [part for lesson in exercises for part in ("--exercise", lesson)]
        command += ["--settings", settings] if settings else []
        for kind in ("bubblewrap", "process"):  # this container is one student's alone: in it the weaker one will do
            run = subprocess.run(
                [*map(str, command), "--sandbox", kind], cwd=HERE, env=os.environ | {"PYTHONPATH": str(HERE)},
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=max(1.0, end - time.monotonic()),
            )  # fmt: skip
            if run.returncode != 2:
                break
        log(run.stderr.decode(errors="replace"))
        return json.loads(Path(folder, "out", f"{STUDENT}.json").read_bytes())


def named(uploaded: Path, exercises: list[str]) -> list[tuple[Path, Path]]:
    """The notebooks, and how the grader shall find them. Of one exercise and one notebook, any name will do."""
    notebooks = [path for path in sorted(files_below(uploaded)[0]) if path.suffix == ".ipynb" and path.is_file()]
    if len(notebooks) == len(exercises) == 1:
        return [(notebooks[0], Path(f"{exercises[0]}.ipynb"))]
    return [(path, path.relative_to(uploaded)) for path in notebooks]


def log(text: str) -> None:
    """For instructors. No line begins where GitHub would look for a command."""
    print("\n".join(f"  {line}" for line in cleaned(text).split("\n") if line.strip()), file=sys.stderr)


def write(path: Path, document: dict) -> None:
    files.write(path, json.dumps(document, indent=1, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")


def prairielearn(result: dict) -> dict:
    """results.json of an external grader. Its page escapes texts itself. "Not gradable" costs no attempt."""
    if "score" not in result:
        unknown = [test["output"] for test in result["tests"] if "score" not in test]
        return {"gradable": False, "format_errors": unknown or [result["output"]]}
    tests = [
        {"name": t["name"], "points": t["score"], "max_points": t["max_score"], "output": t["output"]}
        for t in result["tests"]
    ]
    share = sum(test["points"] for test in tests) / sum(test["max_points"] for test in tests)
    return {"gradable": True, "score": share, "output": result["output"], "tests": tests}


def classroom50(result: dict, parts: int, environment: Mapping[str, str]) -> dict:
    """result.json as `classroom50/result/v1` wants it, which counts in whole numbers. parts: of a point, in one."""
    tests = []
    for test in result["tests"] if "score" in result else ():
        most, passed = round(test["max_score"] * parts), test["status"] == "passed"
        score = most if passed else min(most, int(test["score"] * parts))
        tests.append({"test-name": test["name"], "passed": passed, "score": score, "max-score": most})
    return {
        "schema": "classroom50/result/v1",
        "classroom": environment["CLASSROOM"],
        "assignment": environment["ASSIGNMENT"],
        "assignment_type": environment["ASSIGNMENT_TYPE"],
        "owner": environment["OWNER"],
        "submission": environment["SUBMISSION_TAG"],
        "commit": environment["COMMIT_URL"],
        "release": environment["RELEASE_URL"],
        "review": environment["REVIEW_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }


def release(result: dict) -> str:
    """The page of a submission: what a student wrote stands between fences that are longer than any in it."""
    tests = result["tests"]
    lines = ["| answer | points |", "|---|---|"] if tests else []
    lines += [
        f"| `{t['name']}` | {t['score']:g} of {t['max_score']:g} |"
        if "score" in t
        else f"| `{t['name']}` | not graded |"
        for t in tests
    ]
    for text in [*(test["output"] for test in tests), result["output"]]:
        if text:
            fence = "`" * (1 + max(map(len, re.findall("`{2,}", text)), default=2))
            lines += ["", fence, text, fence]
    return "\n".join(lines)[:100_000] + "\n"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
