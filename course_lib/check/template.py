"""The file that an exercise begins as: whole and passing, to be changed into what is to be asked."""

import keyword
import re

COURSE = '''"""Exercise {number}: one line on what is asked."""

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

{beside}EXERCISE = exercise(
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

OWN = '''
def by_products(flat):
    return (flat * flat).sum(1)


# Right answers in other styles: a check that refuses one of them is wrong.
RIGHT = [by_products]

# Small changes of the right answer that --try lists, and that do the same whatever the input, by the reason:
# {{"squared afterwards": ["return flat.square().sum(dim=1)  |  minus added"]}}
SAME = {{}}

# What stands above the answer in the notebook that is handed out.
TEXT = """
## `{name}`

What is asked, and a small case worked by hand: for a row $(3, 4)$ it is $9 + 16 = 25$.
"""

'''


def begin(name: str, lesson: str, own: bool = False) -> str:
    """The text of a new exercise's file. `ValueError` for names that cannot be.

    own: an instructor's, whose one file has all that stands in several files of the course.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or not re.fullmatch(r"\d\d_[a-z0-9_]+", lesson):
        raise ValueError(
            f"NAME is {name!r}, LESSON {lesson!r}; wanted a Python name, and NN_topic like 03_nearest_code"
        )
    beside = OWN.format(name=name) if own else ""
    return COURSE.format(number=lesson[:2], name=name, lesson=lesson, beside=beside)
