"""Build the autograder for Gradescope: `make gradescope` calls it.

    python tools/gradescope_zip.py build/gradescope.zip UV_VERSION --exercise NN_topic [--settings grading.toml]

The zip holds course_lib, the locked packages' names, and what lies in tools/gradescope/; no notebooks, no solutions.
Private exercises that the settings name come along.
"""

import argparse
import json
import sys
import tomllib
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from course_lib import files  # noqa: E402
from course_lib.grade import settings as grading  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the autograder for Gradescope.")
    parser.add_argument("target", type=Path)
    parser.add_argument("uv_version")
    parser.add_argument("--exercise", action="append", required=True, help="NN or NN_topic; may be given several times")
    parser.add_argument("--settings", type=Path)
    options = parser.parse_args(arguments)
    try:
        chosen = grading.load(options.settings)
    except grading.BadSettings as error:
        print(error, file=sys.stderr)
        return 2
    there = chosen.lessons()
    exercises = [lesson for name in options.exercise for lesson in there if name in (lesson, lesson.split("_")[0])]
    if not exercises:
        print(f"there is no exercise {', '.join(options.exercise)}; there are {', '.join(there)}", file=sys.stderr)
        return 2
    options.target.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(options.target) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted((PROJECT / "tools/gradescope").iterdir()):
            add(file, path.name, path.read_text(encoding="utf-8"), executable=path.suffix != ".py")
        for path in sorted((PROJECT / "course_lib").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, path.relative_to(PROJECT))
        file.write(PROJECT / "requirements.lock", "requirements.lock")
        add(file, "uv-version", options.uv_version)
        add(file, "assignment.json", json.dumps({"exercises": exercises, "settings": options.settings is not None}))
        if options.settings:
            add(file, "settings.toml", with_private_files(options.settings.read_text(encoding="utf-8"), chosen))
            for path in chosen.private:
                file.write(path, f"private/{path.name}")
    print(f"{options.target}: upload it as the autograder of an assignment that asks for {', '.join(exercises)}")
    return 0


def add(file: zipfile.ZipFile, name: str, text: str, executable: bool = False) -> None:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (0o100755 if executable else 0o100644) << 16
    file.writestr(entry, text, zipfile.ZIP_DEFLATED)


def with_private_files(text: str, chosen: grading.Settings) -> str:
    """The settings, with private files where the zip has them. Gradescope counts late days itself."""
    points = tomllib.loads(text).get("points", {})
    lines = [f"private = {json.dumps([f'private/{path.name}' for path in chosen.private])}"]
    lines += [f"partial_credit = {json.dumps(chosen.partial_credit)}", "[points]"]
    lines += [f"{json.dumps(name)} = {value!r}" for name, value in points.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
