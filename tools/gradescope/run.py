"""Grades what one student uploaded, in Gradescope's container: run.py SUBMISSION RESULTS"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from course_lib.grade.submissions import files_below

HERE = Path(__file__).resolve().parent
STUDENT = "submission"


def main(uploaded: Path, results: Path) -> None:
    assignment = json.loads((HERE / "assignment.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "in" / STUDENT
        place.mkdir(parents=True)
        for path, name in named(uploaded, assignment["exercises"]):
            shutil.copy(path, place / name, follow_symlinks=False)
        command = [sys.executable, "-m", "course_lib.grade", place.parent, "--out", f"{folder}/out", "--jobs", "1"]
        command += [part for lesson in assignment["exercises"] for part in ("--exercise", lesson)]
        command += ["--settings", HERE / "settings.toml"] if assignment["settings"] else []
        for kind in ("bubblewrap", "process"):  # this container is one student's alone: in it the weaker one will do
            run = subprocess.run([*map(str, command), "--sandbox", kind], cwd=HERE, capture_output=True, text=True)
            if run.returncode != 2:
                break
        try:
            text = (Path(folder) / "out" / f"{STUDENT}.json").read_text(encoding="utf-8")
        except OSError:  # no score: Gradescope then shows that the autograder failed, and no zero
            text = json.dumps({"output": f"The grader could not be run. Tell your instructor: {run.stderr[-2000:]}"})
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(text, encoding="utf-8")


def named(uploaded: Path, exercises: list[str]) -> list[tuple[Path, str]]:
    """The notebooks with the names that the grader looks for. Of one exercise and one notebook, any name will do."""
    notebooks = [path for path in sorted(files_below(uploaded)[0]) if path.suffix == ".ipynb" and path.is_file()]
    if len(notebooks) == len(exercises) == 1:
        return [(notebooks[0], f"{exercises[0]}.ipynb")]
    return [(path, path.name) for path in notebooks]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
