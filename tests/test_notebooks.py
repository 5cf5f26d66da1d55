"""What every lesson owes its reader, as far as a machine can see it. nbval runs the cells; this reads the files."""

import ast
import json
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

from course_lib.check import handout
from course_lib.check.author import program_of, text_of
from course_lib.check.exercises import EXERCISES
from course_lib.lesson.predict import MIME, STILL_OPEN, TEMPTING

FIRST_DAY = "08"  # the last lesson that is written as the first day is
FOLDER = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
in_every_language = pytest.mark.parametrize(
    "path",
    [*LESSONS, *sorted(FOLDER.glob("*/*.ipynb"))],
    ids=lambda path: str(path.relative_to(FOLDER).with_suffix("")),
)


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_lessons_are_those_of_the_syllabus_in_order():
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    syllabus = re.findall(r"^\| \d\d \| \[.+?\]\(notebooks/(\S+)\)", readme, flags=re.MULTILINE)
    assert [path.name for path in LESSONS] == syllabus
    assert [name[:2] for name in syllabus] == [
        f"{n:02d}" for n in range(int(syllabus[0][:2]), int(syllabus[-1][:2]) + 1)
    ]


def test_it_says_what_it_asks_of_the_reader(notebook):
    course = notebook.metadata["course"]
    assert course["minutes"] > 0 and course["difficulty"] in (1, 2, 3)
    assert f"About {course['minutes']} minutes. Difficulty: {course['difficulty']} of 3." in prose(notebook)


def test_it_has_the_parts_of_every_lesson(path, notebook):
    text = prose(notebook)
    assert text.startswith(f"# {path.name[:2]} · ")
    assert "**After this lesson you can**" in text
    assert text.count("<details>") == text.count("</details>")
    assert "**Next:**" in text
    if path.name[:2] == "00":  # nothing came before it, and it takes nothing apart
        return
    (retrieval,) = [cell.source for cell in notebook.cells if "<details><summary>1. " in cell.source]
    assert retrieval.count("<details>") == retrieval.count("</details>") == 3
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    for heading in ("Where this goes wrong in published code", "Make it yours", "What to read"):
        assert heading in headings


def test_retrieval_questions_reach_back_beyond_the_last_lesson(path, notebook):
    number = int(path.name[:2])
    asked = [int(n) for n in re.findall(r"<summary>\d\. \((\d\d)\)", prose(notebook))]
    if number > 2:
        assert len(asked) == 3 and max(asked) < number and min(asked) < number - 1


def predictions(notebook):
    """Each cell with a guess, and the code cells from there to the next text or guess."""
    found, waiting = [], False
    for cell in notebook.cells:
        if cell.cell_type != "code":
            waiting = False
        elif re.search(r"^guess = ", cell.source, flags=re.MULTILINE):
            found.append((cell, []))
            waiting = True
        elif waiting:
            found[-1][1].append(cell)
    return found


def asked(cells):
    """What the one `compare` in these cells left for a page."""
    (data,) = [output.data[MIME] for cell in cells for output in cell.outputs if MIME in output.get("data", {})]
    return data


@in_every_language
def test_a_guess_holds_no_answer(notebook):
    for guess, _ in predictions(notebook):
        (value,) = [
            node.value for node in ast.parse(guess.source).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "guess"
        ]  # fmt: skip
        answers = [value.value] if isinstance(value, ast.DictComp) else value.values
        assert answers and {ast.unparse(answer) for answer in answers} == {"..."}, guess.source


def test_a_guess_says_what_kinds_of_answers_are_wanted(notebook):
    printed = ""
    for cell in code_cells(notebook):
        for guess, cells in predictions(notebook):
            if guess is cell:
                data = asked(cells)
                for question in data["questions"]:
                    if question["kind"] == "yes/no":
                        assert "yes or no: True or False" in guess.source
                    elif question["kind"] == "number":
                        assert re.search(r"# .*number", guess.source), guess.source
                        assert not data["within"] or f"within {100 * data['within']:g}%" in guess.source, guess.source
                    for choice in question["choices"]:
                        assert choice in guess.source or choice in printed, choice
        printed = "".join(output.get("text", "") for output in cell.outputs) or printed


def test_each_guess_is_compared_before_the_text_goes_on(path, notebook):
    assert 2 <= len(predictions(notebook)) <= (6 if path.name[:2] <= FIRST_DAY else 20)
    for guess, cells in predictions(notebook):
        calls = re.findall(r"\bcompare\(\s*guess,", "\n".join(cell.source for cell in cells))
        assert len(calls) == 1, guess.source
        for question in asked(cells)["questions"]:
            assert f'"{question["name"]}": ...' in guess.source or "... for name in" in guess.source, guess.source


def test_outcomes_are_folded_and_nobody_is_scored(notebook):
    for _, cells in predictions(notebook):
        for cell in cells:
            if cell.outputs:
                assert cell.metadata.collapsed and cell.metadata.jupyter.outputs_hidden, cell.source
        (text,) = [o.data["text/plain"] for cell in cells for o in cell.outputs if MIME in o.get("data", {})]
        assert text.endswith(STILL_OPEN) and "held" not in text and "your guess" not in text


def test_wrong_guesses_are_explained(path, notebook):
    tables = tomllib.loads((TEMPTING / f"{path.stem[3:]}.toml").read_text(encoding="utf-8"))
    code = "\n".join(cell.source for cell in code_cells(notebook))
    assert re.findall(r'tempting="(.+?)"', code) == [f"{path.stem[3:]}/{name}" for name in tables]
    sentences = [sentence for table in tables.values() for sentence in table.values()]
    assert len(sentences) >= 2
    for sentence in sentences:
        assert 30 < len(sentence) < 330 and sentence[-1] == ".", sentence


def test_what_the_learner_writes_is_checked_and_its_solution_folded(path, notebook):
    here = [exercise for exercise in EXERCISES.values() if exercise.in_lesson and exercise.lesson == path.stem]
    tagged = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", []) if tag.startswith("answer:")]
    assert tagged == [f"answer:{exercise.name}" for exercise in here]
    for exercise in here:
        (place,) = [
            i for i, cell in enumerate(notebook.cells) if f"answer:{exercise.name}" in cell.metadata.get("tags", [])
        ]
        written, checked, told = notebook.cells[place : place + 3]
        assert written.source == handout.cut(text_of(exercise.reference), [handout.ANSWER_STUB])
        assert re.search(rf'^\w+ = check\("{exercise.name}", {exercise.name}\)\.answer\b', checked.source, re.MULTILINE)
        (solution,) = re.findall(
            r"<details><summary>One way to write it</summary>\n\n```python\n(.+?)```", told.source, re.DOTALL
        )
        lines = [
            [line.strip() for line in text.strip().splitlines()] for text in (solution, program_of(exercise.reference))
        ]
        assert lines[0] == lines[1][-len(lines[0]) :]  # all of the answer, or its last lines


@pytest.mark.parametrize("path", [path for path in LESSONS if path.name[:2] <= FIRST_DAY], ids=lambda path: path.stem)
def test_a_lesson_of_the_first_day_can_be_sat_through(path, notebook):
    assert len(notebook.cells) <= 45
    assert 25 <= notebook.metadata["course"]["minutes"] <= 60
    assert len(re.findall(r"^five_boxes\(", "\n".join(cell.source for cell in code_cells(notebook)), re.MULTILINE)) >= 1
    written = re.findall(r"answer:my_\w+", json.dumps([cell.metadata for cell in notebook.cells]))
    assert len(written) >= (1 if path.name[:2] == "00" else 2)


@in_every_language
def test_every_cell_was_run_in_order_without_an_error(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds
    assert not [o.text for cell in cells for o in cell.outputs if o.get("name") == "stderr"]


KINDS = ("notebooks", "exercises", "solutions")
ALL = [path for kind in KINDS for path in sorted((FOLDER.parent / kind).glob("[0-9][0-9]_*.ipynb"))]


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_first_imports_say_what_to_do_where_the_course_is_not_found(path, notebook):
    first, *others = code_cells(notebook)[0].source.splitlines()
    assert re.fullmatch(r'(import|from) .+  # not found\? Choose the kernel of \.venv: README, "Another kernel"', first)
    assert any(line.startswith("from course_lib") for line in others)
    assert "**Another kernel.**" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")


@in_every_language
def test_figures_have_a_text_alternative(notebook):
    pictures = [o for cell in code_cells(notebook) for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
    for picture in pictures:
        assert len(picture.metadata["image/png"]["alt"]) > 30


@in_every_language
def test_cells_fit_on_a_screen(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 30, cell.source
    for cell in notebook.cells:
        words = [line for line in cell.source.splitlines() if not re.match(r"\||<details|</details", line)]
        if cell.cell_type == "markdown" and "<details>" not in cell.source:
            assert len(" ".join(words).split()) <= 120, cell.source


@in_every_language
def test_it_is_small_and_names_no_machine(path, notebook):
    assert path.stat().st_size < 1_000_000
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert not re.search(r"/(root|home|work|tmp|Users)/|[A-Z]:\\\\", outputs)


@in_every_language
def test_links_to_files_lead_somewhere(path, notebook):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(notebook)):
        assert (path.parent / target).exists(), target


@in_every_language
def test_links_to_headings_lead_somewhere(path, notebook):
    for target, anchor in re.findall(r"\]\(([^)#:]+)#([^)]*)\)", prose(notebook)):
        if target.endswith(".md"):
            text = (path.parent / target).read_text(encoding="utf-8")
            names = [
                re.sub(r"[^\w -]", "", heading).lower() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            ]
        else:
            names = re.findall(
                r"^#+ (.+)$", prose(nbformat.read(path.parent / target, as_version=4)), flags=re.MULTILINE
            )
        assert anchor in [name.replace(" ", "-") for name in names]
