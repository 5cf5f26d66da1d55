"""A class that never was: notebooks as a room of learners hands them in, with what each must be worth.

    python tests/classes.py FOLDER [STUDENTS] [SEED]     # writes it, to be graded or looked at

Most answers are right, in several styles; the rest are the known mistakes, slips of the hand, cells left as they were,
and the odd one that never ends. Some students copy, some rename their files, one attacks the grader.
"""

import inspect
import json
import random
import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import hostile

sys.path.insert(0, str(Path(__file__).parent / "proof"))

import torch
from variants import VARIANTS

from course_lib.check.author import changed, program_of
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise, draw_calls, judge
from course_lib.check.observe import observe

PROJECT = Path(__file__).resolve().parent.parent
LESSONS = ("04_straight_through", "05_three_losses")
FIRST = "Ada Ben Cleo Dan Eve Finn Gita Hugo Ines Jon Kaya Leo Mia Nils Olga Pau Quin Rosa Sam Tess".split()
LAST = "Abel Brandt Costa Diaz Ekwall Fischer Garcia Haddad Ito Jensen Khan Lopez Meyer Novak Okoro Petrov".split()
NAMES_OF_FILES = ("Copy of {}.ipynb", "{} (1).ipynb", "{}-Copy1.ipynb", "{} - Copy.ipynb", "{}.ipynb.txt")
SLIPS = {  # verdict -> what stands in the cell
    "syntax": lambda program: program.replace(":", "", 1) if "):" in program else program + ")",
    "raised": lambda program: program.replace("return ", "return undefined_name + ", 1),
    "timeout": lambda program: re.sub(r"^( +)return ", r"\1while True:\n\1    pass\n\1return ", program, flags=re.M),
}


@dataclass
class Student:
    """verdicts: by answer, what it must be worth. sources: what stands in its cell. copied_from: another's name."""

    name: str
    verdicts: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)
    copied_from: str = ""


def class_of(count: int, seed: int = 0, lessons: tuple[str, ...] = LESSONS) -> list[Student]:
    """The students, without their files. Who is good at one answer is so at the others, more or less."""
    chance = random.Random(seed)
    exercises = [exercise for exercise in EXERCISES.values() if exercise.lesson in lessons and not exercise.in_lesson]
    styles = {exercise.name: right_programs(exercise) for exercise in exercises}
    favourite = {e.name: chance.sample(range(len(e.mistakes)), min(3, len(e.mistakes))) for e in exercises}
    students: list[Student] = []
    for number in range(count):
        student = Student(
            f"{LAST[number // len(FIRST) % len(LAST)]}_{FIRST[number % len(FIRST)]}_{1000 + number}".lower()
        )
        skill = chance.gauss(0.7, 0.2)
        if students and number % 17 == 16:
            other = chance.choice(students)
            student.verdicts, student.mistakes = dict(other.verdicts), dict(other.mistakes)
            student.sources = {name: disguised(source) for name, source in other.sources.items()}
            student.copied_from = other.name
            students.append(student)
            continue
        for exercise in exercises:
            luck, program = chance.random(), program_of(exercise.reference)
            if luck < skill:
                verdict, source = "pass", chance.choice(styles[exercise.name])
            elif luck < 0.93:
                often = chance.random() < 0.7
                place = chance.choice(favourite[exercise.name]) if often else chance.randrange(len(exercise.mistakes))
                mistake = exercise.mistakes[place]
                verdict, source = "", mistaken(exercise, place)
                student.mistakes[exercise.name] = mistake.name
            elif luck < 0.96:
                verdict, source = "blank", ""
            else:
                verdict = chance.choices(list(SLIPS), [6, 6, 1])[0]
                source = SLIPS[verdict](program)
            student.verdicts[exercise.name], student.sources[exercise.name] = verdict, source
        students.append(student)
    return students


def right_programs(exercise: Exercise) -> list[str]:
    """The right answer, and those variants that are right by their own lines, under its name."""
    programs, calls = [program_of(exercise.reference)], draw_calls(exercise, seed=0)
    for variant in filter(inspect.isfunction, VARIANTS[exercise.name]):
        program = re.sub(
            rf"\b{variant.__name__}\b", exercise.name, textwrap.dedent(inspect.getsource(variant)).rstrip()
        )
        space = {"torch": torch, "Tensor": torch.Tensor}
        try:
            exec(program, space)
        except NameError:  # of a helper beside it
            continue
        if judge(exercise, calls, [observe(space[exercise.name], call) for call in calls]).status == "right":
            programs.append(program)
    return programs


def mistaken(exercise: Exercise, place: int) -> str:
    mistake = exercise.mistakes[place]
    if mistake.change and not mistake.change[0].startswith("-> "):
        return changed(program_of(exercise.reference), mistake.change)
    return program_of(mistake.answer).replace(mistake.answer.__name__, exercise.name, 1)


def disguised(source: str) -> str:
    """As somebody hands on another's work: a comment, other blanks, another name for an argument."""
    names = re.search(r"def \w+\((\w+)", source)
    return "# my own\n" + (re.sub(rf"\b{names[1]}\b", "z", source) if names else source)


def write(folder: Path, students: list[Student], lessons: tuple[str, ...] = LESSONS) -> None:
    """A folder for each, with the exercise's own notebook, worked in."""
    for number, student in enumerate(students):
        place = folder / student.name
        place.mkdir(parents=True)
        for lesson in lessons:
            notebook = json.loads((PROJECT / "exercises" / f"{lesson}.ipynb").read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                for tag in cell["metadata"].get("tags", []):
                    if source := student.sources.get(tag.removeprefix("answer:")):
                        cell["source"] = source.splitlines(keepends=True)
            odd = number % 13 == 12
            name = NAMES_OF_FILES[number // 13 % len(NAMES_OF_FILES)].format(lesson) if odd else f"{lesson}.ipynb"
            (place / name).write_text(json.dumps(notebook), encoding="utf-8")


def attacker(folder: Path, name: str = "mallory_1999", attack: str = "wrong") -> None:
    """One of the hostile submissions, as a student of the class."""
    place = folder / name
    place.mkdir(parents=True)
    source = hostile.CELLS[attack][1]
    (place / f"{hostile.LESSON}.ipynb").write_text(
        hostile.notebook(hostile.cell(source, hostile.TAG)), encoding="utf-8"
    )


if __name__ == "__main__":
    target, count, seed = (*sys.argv[1:], *("40", "0")[len(sys.argv) - 2 :])[:3]
    write(Path(target), class_of(int(count), int(seed)))
    attacker(Path(target), attack="wrong")
