"""Begin an exercise: `make new-exercise NAME=row_lengths LESSON=03_nearest_code` calls it.

Writes course_lib/check/exercises/NAME.py, whole and passing, to be changed into what is to be asked, and a cell for its
answer at the end of solutions/LESSON.ipynb, which is made where it is missing. Nothing that is there is overwritten.
"""

import json
import re
import sys
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PROJECT = Path(__file__).resolve().parent.parent

TEMPLATE = '''"""Exercise {number}: one line on what is asked."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def {name}(flat):
    """(N, D) -> (N,): the squared length of each row. All that a learner must know to write it stands here."""
    ### BEGIN SOLUTION
    return flat.square().sum(dim=1)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    """Valid input only. The plainest call first, as it is the one that is shown; then odd sizes, ties, dtypes."""

    def call(n, d, part="values", dtype=torch.float32, **more):
        return Call((normal(generator, n, d).to(dtype),), ("flat",), ("lengths",), part, differentiate=(0,), **more)

    odd = [call(n, d, part="odd sizes") for n, d in ((1, 4), (5, 1))]
    return [call(3, 2), *odd, call(4, 3, part="dtypes", dtype=torch.float64, elsewhere=True)]


# A change of the right answer, and below it one sentence for somebody who has just made this mistake: it names the
# mistake and leaves the cure to be found. course_lib/check/author.py tells all that a change can be.
WRONG = r"""
dim=1 -> dim=0
    the sum runs over the rows; each row has a length of its own
.square() -> .abs()
    these are sums of absolute values; what does a squared length add up?
"""

EXERCISE = exercise(
    {name},
    lesson="{lesson}",
    draw=draw,
    wrong=WRONG,
    hints=(
        "A question that leads to the idea.",
        "The idea, in words.",
        "Almost the code: return flat.(what makes each number count positively).sum(over which axis?)",
    ),
)
'''


def main(name: str, lesson: str, project: Path = PROJECT) -> int:
    """-> the exit status: 0, or 2 for names that cannot be."""
    if not name.isidentifier() or not re.fullmatch(r"\d\d_[a-z0-9_]+", lesson):
        print(
            f"NAME is {name!r}, LESSON {lesson!r}; wanted a Python name, and NN_topic like 03_nearest_code",
            file=sys.stderr,
        )
        return 2
    path = project / "course_lib" / "check" / "exercises" / f"{name}.py"
    solution = project / "solutions" / f"{lesson}.ipynb"
    if path.exists():
        print(f"there is a {path.relative_to(project)} already; the name of an answer belongs to one", file=sys.stderr)
        return 2
    number, topic = lesson.split("_", 1)
    if solution.exists():
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
    path.write_text(TEMPLATE.format(number=number, name=name, lesson=lesson), encoding="utf-8")
    solution.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(
        f"{path.relative_to(project)}: say there what is asked; then make exercises, which writes it into the notebooks"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:3] if len(sys.argv) == 3 else ("", ""))))
