"""All exercises by the name of their answer, in the order of the course."""

from importlib import import_module

from course_lib.check.judge import Exercise

NUMBERS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15")

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for number in NUMBERS
    for exercise in import_module(f"course_lib.check.exercises.e{number}").EXERCISES
}
