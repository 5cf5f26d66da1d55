"""Every answer of an exercise leads back to a section that is there."""

import json
from pathlib import Path

import pytest

from course_lib.check.exercises import EXERCISES
from course_lib.grade.sections import SECTIONS

PROJECT = Path(__file__).resolve().parent.parent


def test_every_graded_answer_has_a_section():
    assert SECTIONS.keys() == {exercise.name for exercise in EXERCISES.values() if not exercise.in_lesson}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_section_is_a_heading_of_its_lesson(name):
    section = SECTIONS[name]
    notebook = json.loads((PROJECT / f"notebooks/{section.lesson}.ipynb").read_text(encoding="utf-8"))
    lines = [line for cell in notebook["cells"] if cell["cell_type"] == "markdown" for line in cell["source"]]
    assert f"## {section.heading}" in map(str.strip, lines)
    assert EXERCISES[name].lesson in (section.lesson, "15_bug_hunt")
