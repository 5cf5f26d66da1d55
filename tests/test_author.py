"""Known mistakes as changes of a right answer: what a table may hold, and what is refused at import."""

import pytest
import torch
from torch import nn

from course_lib.check.author import known_mistakes, planted_in, program_of, text_of
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise


def scaled(x, factor=2):
    """x times factor: total is no name here, and `return x` stands in words alone."""
    ### BEGIN SOLUTION
    total = x * factor  # of all numbers
    return total
    ### END SOLUTION


def of_two_lines(x):
    if x > 0:
        x = x + 1
    return x


def zero(x, factor=2):
    return 0 * x


class Scaled(nn.Module):
    """Has a method of two lines."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        y = self.factor * x
        return y + 1


def answer_to(right, table: str):
    (mistake,) = known_mistakes(right, table)
    return mistake.answer


@pytest.mark.parametrize(
    "change, result",
    [
        ("x * factor -> x + factor", 5),
        ("* factor ->", 3),
        ("total = x * factor -> total = -x", -3),
        ("x * factor -> x + factor\nreturn total -> return -total", -5),
        ("return -x", -3),
        ("total -= 1; return total", 5),
        ("factor=2 -> factor=5", 15),
        (r"return total -> if x:\n    total = 7\nreturn total", 7),
        ("-> zero", 0),
        ("# of all numbers -> + 1", 7),
    ],
)
def test_a_change_does_what_it_says(change, result):
    assert answer_to(scaled, f"{change}\n    words")(3) == result
    assert scaled(3) == 6


def test_new_lines_are_indented_like_the_line_they_begin_in():
    mended = answer_to(of_two_lines, r"x = x + 1 -> x = 2 * x\nx = x + 2" + "\n    words")
    assert (mended(3), mended(-3)) == (8, -3)


def test_a_class_is_changed_like_a_function():
    x = torch.ones(1)
    assert answer_to(Scaled, "self.factor * x -> x\n    words")(3)(x).item() == 2
    assert answer_to(Scaled, "return y - 1\n    words")(3)(x).item() == 2
    assert Scaled(3)(x).item() == 4


def test_words_and_origins_are_read():
    first, second = known_mistakes(
        scaled,
        r"""
        x * factor -> x  # zoo 3, planted
            the factor
            is not used
        return 0
            nothing
        """,
    )
    assert (first.message, first.planted, first.name) == ("the factor is not used", True, "x * factor -> x")
    assert (second.message, second.planted) == ("nothing", False)


@pytest.mark.parametrize(
    "table, fault",
    [
        ("y * factor -> y\n    words", "stands there 0 times"),
        ("x -> y\n    words", "stands there"),
        ("x * factor -> x *\n    words", "invalid syntax"),
        ("x * factor -> x", "has no words below it"),
        ("    words\nreturn x\n    more", "begins with a change"),
        ("return x\n    one\nreturn total -> return x\n    two", "makes the same program as"),
        ("-> nobody\n    words", "nobody"),
    ],
)
def test_a_faulty_table_is_refused_with_the_entry_that_is_at_fault(table, fault):
    with pytest.raises((ValueError, KeyError), match=fault):
        known_mistakes(scaled, table)


def test_a_mistake_is_made_beside_other_ways_to_draw_where_both_fit():
    table = "return total + 1\n    words\nx * factor -> x + factor\n    other words"
    ways = "x * factor -> (x + 5) * factor", "no such text -> nothing"
    mistakes = known_mistakes(scaled, table, ways)
    assert [[way(1) for way in mistake.ways] for mistake in mistakes] == [[3, 13], [3]]


def test_the_text_is_the_source_and_the_program_is_without_marks():
    assert text_of(scaled).splitlines()[2] == "    ### BEGIN SOLUTION"
    assert "SOLUTION" not in program_of(scaled)
    assert [line for line in text_of(scaled).splitlines() if "###" not in line] == program_of(scaled).splitlines()


def test_a_planted_program_may_stand_as_a_whole():
    (mistake,) = known_mistakes(scaled, "-> zero  # planted\n    nothing is scaled")
    hunt = Exercise("scaled", "01_first", scaled, None, (mistake,), ("", "", ""))
    assert planted_in(hunt) == "def scaled(x, factor=2):\n    return 0 * x"


def test_bug_hunts_hand_out_a_program_and_others_do_not():
    assert planted_in(EXERCISES["straight_through"]) is None
    hunts = [exercise for exercise in EXERCISES.values() if exercise.lesson == "15_bug_hunt"]
    for hunt in hunts:
        planted = planted_in(hunt)
        assert planted != program_of(hunt.reference) and "SOLUTION" not in planted
