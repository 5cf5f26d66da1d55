"""Begin an exercise: `make new-exercise NAME=row_lengths LESSON=03_nearest_code` calls it.

Writes course_lib/check/exercises/NAME.py, whole and passing, to be changed into what is to be asked, and a cell for its
answer at the end of solutions/LESSON.ipynb, which is made where it is missing. Nothing that is there is overwritten.
"""

import json
import sys
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from course_lib.check import template  # noqa: E402


def main(name: str, lesson: str, project: Path = PROJECT) -> int:
    """-> the exit status: 0, or 2 for names that cannot be."""
    try:
        text = template.begin(name, lesson)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    path = project / "course_lib" / "check" / "exercises" / f"{name}.py"
    solution = project / "solutions" / f"{lesson}.ipynb"
    if path.exists():
        print(f"there is a {path.relative_to(project)} already; the name of an answer belongs to one", file=sys.stderr)
        return 2
    number, topic = lesson.split("_", 1)
    new = not solution.exists()
    if not new:
        notebook = json.loads(solution.read_text(encoding="utf-8"))
    else:
        notebook = new_notebook(metadata={"course": {"minutes": 20}})
        imports = new_code_cell("import torch\n\nfrom course_lib.check import check, hint")
        notebook["cells"] = [
            new_markdown_cell(f"# Exercise {number} · {topic.replace('_', ' ').capitalize()}"),
            imports,
        ]
    answer = new_code_cell("", metadata={"tags": [f"answer:{name}"]})
    notebook["cells"] += [new_markdown_cell(f"## `{name}`\n\nWhat is asked, and a small case worked by hand."), answer]
    path.write_text(text, encoding="utf-8")
    solution.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{solution.relative_to(project)} {'is new' if new else 'has a cell for it at its end'}")
    print(
        f"{path.relative_to(project)}: say there what is asked; then make exercises, which writes it into the notebooks"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:3] if len(sys.argv) == 3 else ("", ""))))
