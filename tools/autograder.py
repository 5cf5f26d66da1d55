"""Build what a service grades with: `make gradescope`, `make prairielearn` and `make classroom` call it.

    python tools/autograder.py gradescope build/gradescope.zip --exercise NN_topic [--settings grading.toml]
    python tools/autograder.py prairielearn build/prairielearn --exercise NN_topic --image me/vq-course
    python tools/autograder.py classroom50 build/classroom --exercise NN_topic

Each holds course_lib, the locked packages' names, and what lies in tools/autograders/; no solutions. Private exercises
that the settings name come along, but not to Classroom 50, which publishes what it grades with.
"""

import argparse
import json
import shutil
import sys
import tomllib
import uuid
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from course_lib import files  # noqa: E402
from course_lib.grade import settings as grading  # noqa: E402

SET_UP = ("Makefile", "pyproject.toml", "LICENSE", "README.md", "tools/set_up.sh")  # for `make .venv/ready`
QUESTION = """<pl-question-panel>
  <p>Work in the notebook, run it from the top, save it, and upload it under the name that it has.</p>
  {downloads}
  <pl-file-upload file-names="{names}"></pl-file-upload>
</pl-question-panel>
<pl-submission-panel><pl-external-grader-results></pl-external-grader-results></pl-submission-panel>
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build what a service grades with.")
    parser.add_argument("service", choices=["gradescope", "prairielearn", "classroom50"])
    parser.add_argument("target", type=Path)
    parser.add_argument("--exercise", action="append", required=True, help="NN or NN_topic; may be given several times")
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--uv-version", default="", help="for Gradescope: what its image is set up with")
    parser.add_argument("--image", help="for PrairieLearn: where it finds an image with the course's packages")
    options = parser.parse_args(arguments)
    try:
        chosen = grading.load(options.settings)
        exercises = named(chosen, options.exercise)
        content = {"gradescope": gradescope, "prairielearn": prairielearn, "classroom50": classroom50}
        content = content[options.service](options, chosen, exercises)
        options.target.parent.mkdir(parents=True, exist_ok=True)
        (as_zip if options.service == "gradescope" else as_folder)(options.target, content)
    except ValueError as error:  # BadSettings is one
        print(error, file=sys.stderr)
        return 2
    print(
        f"{options.target}: for an assignment that asks for {', '.join(exercises)}; docs/instructors.md says what next"
    )
    return 0


def named(chosen: grading.Settings, names: list[str]) -> list[str]:
    there = chosen.lessons()
    exercises = [lesson for name in names for lesson in there if name in (lesson, lesson.split("_")[0])]
    if not exercises:
        raise ValueError(f"there is no exercise {', '.join(names)}; there are {', '.join(there)}")
    return exercises


def gradescope(options, chosen: grading.Settings, exercises: list[str]) -> dict[str, bytes]:
    return grader(options, chosen, exercises) | {"uv-version": options.uv_version.encode()}


def prairielearn(options, chosen: grading.Settings, exercises: list[str]) -> dict[str, bytes]:
    if not options.image:
        raise ValueError("say where PrairieLearn finds the course's image: make prairielearn ... IMAGE=me/vq-course")
    about = {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"vq-course {exercises}")),  # the same question, however often built
        "title": ", ".join(lesson.replace("_", " ") for lesson in exercises),
        "topic": "VQ-VAE",
        "type": "v3",
        "singleVariant": True,
        "gradingMethod": "External",
        "externalGradingOptions": {
            "enabled": True,
            "image": options.image,
            "entrypoint": "/grade/tests/run.sh",
            "timeout": 600,
            "enableNetworking": False,
        },
    }
    handouts = handed_out(exercises)
    downloads = "".join(f'<pl-file-download file-name="{name}"></pl-file-download>' for name in handouts)
    question = QUESTION.format(downloads=downloads, names=", ".join(f"{lesson}.ipynb" for lesson in exercises))
    content = {f"tests/{name}": data for name, data in grader(options, chosen, exercises).items()}
    content |= {f"clientFilesQuestion/{name}": data for name, data in handouts.items()}
    return content | {"info.json": (json.dumps(about, indent=2) + "\n").encode(), "question.html": question.encode()}


def classroom50(options, chosen: grading.Settings, exercises: list[str]) -> dict[str, bytes]:
    if chosen.private:
        names = ", ".join(path.name for path in chosen.private)
        raise ValueError(
            f"Classroom 50 publishes what it grades with: {names} would lie on the web. Leave `private` out"
        )
    content = grader(options, chosen, exercises) | {name: (PROJECT / name).read_bytes() for name in SET_UP}
    content = {f"autograder/{name}": data for name, data in content.items()}
    content["runtime.json"] = content.pop("autograder/runtime.json")
    return content | {f"template/{name}": data for name, data in handed_out(exercises).items()}


def grader(options, chosen: grading.Settings, exercises: list[str]) -> dict[str, bytes]:
    """What every service gets, and its own files. Without weights, which no check needs."""
    content = {
        path.relative_to(PROJECT).as_posix(): path.read_bytes()
        for path in sorted((PROJECT / "course_lib").rglob("*"))
        if path.is_file() and not {"__pycache__", "weights"} & set(path.parts)
    }
    content |= {path.name: path.read_bytes() for path in (PROJECT / "tools/autograders" / options.service).iterdir()}
    content["requirements.lock"] = (PROJECT / "requirements.lock").read_bytes()
    points = [chosen.points[name] for lesson in exercises for name in chosen.lessons()[lesson]]
    whole = not chosen.partial_credit and all(float(value).is_integer() for value in points)
    asked = {"exercises": exercises, "settings": options.settings is not None, "parts": 1 if whole else 100}
    content["assignment.json"] = json.dumps(asked).encode()
    if options.settings:
        content["settings.toml"] = with_private_files(options.settings.read_text(encoding="utf-8-sig"), chosen).encode()
        content |= {f"private/{path.name}": path.read_bytes() for path in chosen.private}
    return content


def handed_out(exercises: list[str]) -> dict[str, bytes]:
    paths = [PROJECT / "exercises" / f"{lesson}.ipynb" for lesson in exercises]
    return {path.name: path.read_bytes() for path in paths if path.exists()}  # one's own lies elsewhere


def mode(data: bytes) -> int:
    return 0o755 if data.startswith(b"#!") else 0o644


def as_zip(target: Path, content: dict[str, bytes]) -> None:
    with files.replacing(target) as whole, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100000 | mode(data)) << 16
            file.writestr(entry, data, zipfile.ZIP_DEFLATED)


def as_folder(target: Path, content: dict[str, bytes]) -> None:
    if target.exists() and not list(target.glob("*/assignment.json")):
        raise ValueError(f"{target} is there, and was not built by this: name another folder")
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for name, data in content.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_bytes(data)
        (part / name).chmod(mode(data))
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def with_private_files(text: str, chosen: grading.Settings) -> str:
    """The settings, with private files where they come to lie. The service counts late days itself."""
    points = tomllib.loads(text).get("points", {})
    lines = [f"private = {json.dumps([f'private/{path.name}' for path in chosen.private])}"]
    lines += [f"partial_credit = {json.dumps(chosen.partial_credit)}", "[points]"]
    lines += [f"{json.dumps(name)} = {value!r}" for name, value in points.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
