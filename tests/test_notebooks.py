"""What every lesson owes its reader, as far as a machine can see it. nbval runs the cells; this reads the files."""

import json
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


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
    assert [name[:2] for name in syllabus] == [f"{n:02d}" for n in range(1, len(LESSONS) + 1)]


def test_it_says_what_it_asks_of_the_reader(notebook):
    course = notebook.metadata["course"]
    assert course["minutes"] > 0 and course["difficulty"] in (1, 2, 3)
    assert f"About {course['minutes']} minutes. Difficulty: {course['difficulty']} of 3." in prose(notebook)


def test_it_has_the_parts_of_every_lesson(path, notebook):
    text = prose(notebook)
    assert text.startswith(f"# {path.name[:2]} · ")
    assert "**After this lesson you can**" in text
    assert text.count("<details>") == text.count("</details>") == 3
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    for heading in ("Where this goes wrong in published code", "Make it yours", "What to read"):
        assert heading in headings
    assert "**Next:**" in text


def test_retrieval_questions_reach_back_beyond_the_last_lesson(path, notebook):
    number = int(path.name[:2])
    asked = [int(n) for n in re.findall(r"<summary>\d\. \((\d\d)\)", prose(notebook))]
    if number > 2:
        assert len(asked) == 3 and max(asked) < number and min(asked) < number - 1


def test_predictions_are_made_and_checked(notebook):
    code = "\n".join(cell.source for cell in code_cells(notebook))
    assert code.count("guess = {") >= 5
    assert len(re.findall(r"compare\(\s*guess,", code)) == code.count("guess = {")


def test_every_cell_was_run_in_order_without_an_error(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds
    assert not [o.text for cell in cells for o in cell.outputs if o.get("name") == "stderr"]


def test_figures_have_a_text_alternative(notebook):
    pictures = [o for cell in code_cells(notebook) for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
    for picture in pictures:
        assert len(picture.metadata["image/png"]["alt"]) > 30


def test_cells_fit_on_a_screen(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 30, cell.source
    for cell in notebook.cells:
        words = [line for line in cell.source.splitlines() if not re.match(r"\||<details|</details", line)]
        if cell.cell_type == "markdown" and "<details>" not in cell.source:
            assert len(" ".join(words).split()) <= 120, cell.source


def test_it_is_small_and_names_no_machine(path, notebook):
    assert path.stat().st_size < 1_000_000
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert not re.search(r"/(root|home|work|tmp|Users)/|[A-Z]:\\\\", outputs)


def test_links_to_files_lead_somewhere(notebook):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(notebook)):
        assert (FOLDER / target).exists(), target


def test_links_to_headings_lead_somewhere(notebook):
    for target, anchor in re.findall(r"\]\(([^)#:]+)#([^)]*)\)", prose(notebook)):
        headings = re.findall(r"^#+ (.+)$", prose(nbformat.read(FOLDER / target, as_version=4)), flags=re.MULTILINE)
        assert anchor in [heading.replace(" ", "-") for heading in headings]
