"""Lessons in other languages keep step with the English: tools/translate.py, and the notebooks that it has written."""

import ast
import io
import json
import re
import sys
import tokenize
import tomllib
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from course_lib.lesson.predict import MIME

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT / "tools"))

import translate  # noqa: E402

CATALOGUES = sorted(PROJECT.glob("locale/*/LC_MESSAGES/[0-9][0-9]_*.po"))


@pytest.fixture(params=CATALOGUES, ids=lambda path: f"{path.parts[-3]} {path.stem}")
def catalogue(request):
    return request.param


@pytest.fixture
def pairs(catalogue):
    """The cells in English beside the same in the other language."""
    english = nbformat.read(english_of(catalogue), as_version=4)
    other = nbformat.read(written(catalogue), as_version=4)
    assert [cell.id for cell in other.cells] == [cell.id for cell in english.cells]
    return list(zip(english.cells, other.cells))


def english_of(catalogue):
    return PROJECT / "notebooks" / f"{catalogue.stem}.ipynb"


def written(catalogue):
    return PROJECT / "notebooks" / catalogue.parts[-3] / f"{catalogue.stem}.ipynb"


def test_each_translated_notebook_has_its_catalogue():
    assert sorted(PROJECT.glob("notebooks/*/*.ipynb")) == sorted(map(written, CATALOGUES))


def test_the_catalogue_is_whole_and_the_committed_files_follow_from_it(catalogue):
    messages, files = translate.translation(catalogue)
    language = catalogue.parts[-3]
    waiting = [
        f"cell {place}: {why}: {message.id}"
        for message in messages
        for place, _ in message.locations
        if message.id and (why := translate.waits(message))
    ]
    assert not waiting, (
        f"the English has changed. Run `make messages`, translate in {catalogue} what it lists, take `fuzzy` away, "
        f"run it again, then `make outputs NOTEBOOKS=notebooks/{language}/{catalogue.stem}.ipynb`:\n"
        + "\n".join(waiting)
    )
    assert not messages.obsolete and not translate.read_catalogue(catalogue, language).obsolete, "run `make messages`"
    for file, text in files.items():
        there = file.read_text(encoding="utf-8")
        if file.suffix == ".ipynb":  # which cell is at fault is seen best without the outputs
            sources = [[(cell["id"], cell["source"]) for cell in json.loads(each)["cells"]] for each in (there, text)]
            assert sources[0] == sources[1], f"{file} is not what its catalogue says: run `make messages`"
        assert there == text, f"{file} is not what `make messages` writes"


def test_cells_and_what_is_known_of_them_are_those_of_the_english(catalogue, pairs):
    for english, other in pairs:
        assert (other.cell_type, other.metadata) == (english.cell_type, english.metadata), english.id
    both = [
        json.loads(file.read_text(encoding="utf-8"))["metadata"] for file in (english_of(catalogue), written(catalogue))
    ]
    for metadata in both:
        del metadata["course"]["made"]
    assert both[0] == both[1]


class Wordless(ast.NodeTransformer):
    """Code without what its strings say, and without the words that choose a language."""

    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        values = [ast.unparse(part.value) for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.Constant("") if not values else ast.List([ast.Constant(v) for v in sorted(values)], ast.Load())

    def visit_ImportFrom(self, node):
        return None if node.module == "course_lib.language" else node

    def visit_Expr(self, node):
        return None if ast.unparse(node).startswith("speak(") else self.generic_visit(node)


def test_code_differs_in_nothing_but_words(pairs):
    for english, other in pairs:
        if english.cell_type == "code":
            both = [ast.dump(Wordless().visit(ast.parse(cell.source))) for cell in (english, other)]
            assert both[0] == both[1], english.id


def facts(cell):
    """All that is the same in each language: numbers, code, formulas, shapes, tags, where links lead."""
    text = cell.source
    if cell.cell_type == "code":
        read = tokenize.generate_tokens(io.StringIO(text).readline)
        comments = [token.string for token in read if token.type == tokenize.COMMENT]
        constants = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        text = "\n".join(comments + [value for value in constants if isinstance(value, str)])
    text = re.sub(r"\]\(\.\./", "](", text)  # a link from one folder further down
    text = re.sub(r"\b(\d{1,3}),(\d{3})\b", r"\1\2", text)  # 6,272
    found = Counter()
    for kind in (r"```.*?```", r"`[^`]+`", r"\$[^$]+\$", r"\]\([^)]+\)", r"</?\w+>", r"\([A-Z\d][^()a-z]*\)", r"\d+"):
        found.update(re.findall(kind, text, re.DOTALL))
        text = re.sub(kind, " ", text, flags=re.DOTALL)
    return found


def test_numbers_code_and_links_are_those_of_the_english(pairs):
    for english, other in pairs:
        assert facts(other) == facts(english), english.id


def test_buttons_are_called_as_the_widgets_call_them(catalogue, pairs):
    language = catalogue.parts[-3]
    words = translate.read_catalogue(PROJECT / f"course_lib/locale/{language}/LC_MESSAGES/course.po", language)
    named = [
        (english.id, words[name].string, re.findall(r"\*([^*\n]+)\*", other.source))
        for english, other in pairs
        if english.cell_type == "markdown"
        for name in re.findall(r"\*([^*\n]+)\*", english.source)
        if name in words
    ]
    assert named
    for cell, name, emphasized in named:
        assert name in emphasized, cell


def test_what_a_wrong_guess_is_told_is_what_the_catalogue_says(catalogue, pairs):
    file = PROJECT / translate.TEMPTING / f"{catalogue.stem[3:]}.{catalogue.parts[-3]}.toml"
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    asked = [
        {question["name"]: question["tempting"] for question in output.data[MIME]["questions"]}
        for _, cell in pairs
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]
    assert asked == list(tables.values())


LESSON = [
    nbformat.v4.new_markdown_cell(
        "# 01 · One\n\nA code is\na `name`, as said [here](../docs/a.md).\n\n- an item\n\n```\nas it is\n```\n\n"
        "| what | why |\n|---|---|\n| `x` | [so it is](02_two.ipynb) |",
        id="prose",
    ),
    nbformat.v4.new_code_cell(
        "from course_lib.lesson import plots\n\nplots.use_style()\nkinds = {'nearest': 3}  # (N, D), one of many\n"
        "print(f'there are {len(kinds):,} of {kinds!r}')\nax.set(xlabel='seconds', color='black')",
        id="code",
    ),
]
WORDS = {
    "01 · One": "01 · Eins",
    "A code is a `name`, as said [here](../docs/a.md).": "Ein Code ist ein `name`, wie [hier](../docs/a.md) gesagt.",
    "an item": "ein Punkt",
    "what": "was",
    "why": "warum",
    "[so it is](02_two.ipynb)": "[so ist es](02_two.ipynb)",
    "(N, D), one of many": "(N, D), eins von vielen",
    "there are {len(kinds):,} of {kinds!r}": 'von {kinds!r} gibt es {len(kinds)} "Stück"',
    "seconds": "Sekunden",
}


@pytest.fixture
def course(tmp_path):
    """A course of one short lesson that is translated in full."""
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "locale/de/LC_MESSAGES/01_one.po"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=LESSON), tmp_path / "notebooks/01_one.ipynb")
    entries = [f"msgid {quoted(english)}\nmsgstr {quoted(german)}\n" for english, german in WORDS.items()]
    path.write_text("\n".join(entries), encoding="utf-8")
    return tmp_path


def quoted(words):
    return json.dumps(words, ensure_ascii=False)


def cells(course):
    return {cell.id: cell for cell in nbformat.read(course / "notebooks/de/01_one.ipynb", as_version=4).cells}


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_is_read_is_translated_and_nothing_else(course, capsys):
    translate.main(course)
    assert capsys.readouterr().out == "locale/de/LC_MESSAGES/01_one.po: 9 messages, 0 wait for a translator\n"
    assert cells(course)["prose"].source == (
        "# 01 · Eins\n\nEin Code ist ein `name`, wie [hier](../../docs/a.md) gesagt.\n\n- ein Punkt\n\n"
        "```\nas it is\n```\n\n| was | warum |\n|---|---|\n| `x` | [so ist es](../02_two.ipynb) |"
    )
    assert cells(course)["code"].source == (
        'from course_lib.language import speak\nfrom course_lib.lesson import plots\n\nspeak("de")\nplots.use_style()\n'
        'kinds = {"nearest": 3}  # (N, D), eins von vielen\n'
        "print(f'von {kinds!r} gibt es {len(kinds)} \"Stück\"')\n"
        'ax.set(xlabel="Sekunden", color="black")'
    )
    (course / "locale/de/LC_MESSAGES/02_two.po").touch()
    nbformat.write(nbformat.v4.new_notebook(cells=LESSON), course / "notebooks/02_two.ipynb")
    translate.main(course)
    assert "[so ist es](02_two.ipynb)" in cells(course)["prose"].source  # now there is one in German


def test_a_change_of_the_english_keeps_the_old_words_and_says_where_they_are_wanted(course, capsys):
    translate.main(course)
    edit(course / "notebooks/01_one.ipynb", "as said", "as was said")
    capsys.readouterr()
    translate.main(course)
    english = "A code is a `name`, as was said [here](../docs/a.md)."
    assert f"1 wait for a translator\n  fuzzy, cell prose: {english}\n" in capsys.readouterr().out
    assert english.replace("../", "../../") in cells(course)["prose"].source
    catalogue = course / "locale/de/LC_MESSAGES/01_one.po"
    edit(catalogue, "#, fuzzy\n", "")
    translate.main(course)
    assert "wie [hier](../../docs/a.md) gesagt." in cells(course)["prose"].source


def test_outputs_stay_while_the_code_is_the_same(course):
    translate.main(course)
    notebook = nbformat.read(course / "notebooks/de/01_one.ipynb", as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="da")]
    nbformat.write(notebook, course / "notebooks/de/01_one.ipynb")
    edit(course / "locale/de/LC_MESSAGES/01_one.po", "ein Punkt", "ein Eintrag")
    translate.main(course)
    assert cells(course)["code"].outputs
    edit(course / "locale/de/LC_MESSAGES/01_one.po", "Sekunden", "Zeit (s)")
    translate.main(course)
    assert not cells(course)["code"].outputs


@pytest.mark.parametrize(
    "old, new, told",
    [
        ('"Sekunden"', '"Sekunden', "01_one.po cannot be read as a gettext catalogue: line 26: msgstr .Sekunden$"),
        ('"ein Punkt"', '"ein \\udcff"', "01_one.po cannot be read as a gettext catalogue: .*utf-8"),
        ("{len(kinds)}", "{len(kind)}", "01_one.po, cell code: wanted the values in braces of 'there are .*kind"),
        ("{len(kinds)}", "{len(kinds", "01_one.po, cell code: wanted the values in braces of 'there are "),
    ],
)
def test_a_broken_catalogue_is_refused_with_the_place(course, old, new, told):
    path = course / "locale/de/LC_MESSAGES/01_one.po"
    text = path.read_text(encoding="utf-8").replace(old, new.replace("\\udcff", "\udcff"))
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=told):
        translate.main(course)
    assert path.read_bytes() == before and not (course / "notebooks/de").exists()


def test_a_catalogue_without_a_lesson_is_refused(course):
    (course / "notebooks/01_one.ipynb").unlink()
    with pytest.raises(SystemExit, match="01_one.po is for no lesson: there is no .*01_one.ipynb"):
        translate.main(course)
