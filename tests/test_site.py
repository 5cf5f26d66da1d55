"""The site, as somebody sees it who opens it; and what is left of it when something goes wrong."""

import base64
import re
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import course_lib
from course_lib.lesson import widgets

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "site"))
import check  # noqa: E402
import formulas  # noqa: E402
import outputs  # noqa: E402
import stage  # noqa: E402
import widget_scripts  # noqa: E402

import build as site  # noqa: E402


def dot(kind: str) -> str:
    """A picture of 8 x 4 pixels, as a notebook keeps it."""
    file = BytesIO()
    Image.new("L", (8, 4)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def displayed(**data):
    """A code cell whose output is `data`, type to (content, metadata)."""
    data = {kind.replace("_", "/"): both for kind, both in data.items()}
    output = new_output(
        "display_data",
        data={kind: content for kind, (content, _) in data.items()} | {"text/plain": "<Figure>"},
        metadata={kind: metadata for kind, (_, metadata) in data.items()},
    )
    return new_code_cell("show()", outputs=[output])


def stopping(ename: str, evalue: str):
    return new_code_cell("1 / 0", outputs=[new_output("error", ename=ename, evalue=evalue, traceback=[evalue])])


def write(folder: Path, name: str, *cells, **course) -> Path:
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"language_info": {"name": "python"}} | ({"course": course} if course else {})
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def built(project: Path) -> int | str:
    """Writes the site of a project into its build/course: the status, or the words it ends with."""
    try:
        return site.main(["--project", str(project), "--out", str(project / "build/course")])
    except SystemExit as end:
        return end.code


def read(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def fill(project: Path) -> None:
    """A course of three lessons, an exercise and a guide."""
    bar = [new_output("stream", name="stderr", text=text) for text in ("\r 0%", "\r\x1b[32m50%\x1b[0m", "\r100%\n")]
    write(
        project / "notebooks",
        "01_first",
        "# 01 · First\n\nAbout 45 minutes. Difficulty: 1 of 3. It runs in seconds.\n\n## The *whole* model\n\n"
        "A [table](#Symbols-of-all), [two](02_second.ipynb#A-part), [it](../exercises/01_first.ipynb), "
        "[GPU](../docs/gpu.md), "
        "[`course_lib/x.py`](../course_lib/x.py), [the solution](../course_lib/x.py), [paper](https://arxiv.org/abs/1711.00937)."
        "\n\nHere $x < y$ and\n\n$$\\lVert x - \\hat{x} \\rVert_2^2$$\n\nwrite `$x$`.\n\n## Symbols of all\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "<details><summary>What is $K$?</summary>\n\nThe **size**, `8`, zanzibar.\n\n</details>\n\nafter",
        new_code_cell("plot()", metadata={"jupyter": {"source_hidden": True}}),
        new_code_cell("fit()", outputs=bar),
        displayed(image_png=(dot("png"), {"alt": 'a "dot" & <no> more'})),
        displayed(text_html=('<audio controls src="data:audio/wav;base64,UklGRg=="></audio> costs $5 and $6', {})),
        minutes=45,
        difficulty=1,
        made={"date": "2026-11-05", "data": {"mnist": "real"}, "machine": "Some CPU, 2 cores, Linux", "seconds": 19},
    )
    write(
        project / "notebooks",
        "02_second",
        "# 02 · The *second* `K`\n\n## A part",
        made={"date": "2026-11-05", "data": {"mnist": "sample"}, "machine": "Some CPU", "seconds": 19},
    )
    write(
        project / "notebooks", "10_last", "# 10 · Last", new_code_cell("x = 1"), stopping("ZeroDivisionError", "by <0>")
    )
    write(
        project / "exercises",
        "01_first",
        "# Exercise 01 · What it costs\n\n[lesson](../notebooks/01_first.ipynb)",
        minutes=15,
    )
    for name, text in {
        "docs/gpu.md": "# A borrowed GPU\n\nSee [lesson 01](../notebooks/01_first.ipynb#Symbols-of-all).\n",
        "README.md": "| 01 | [First](notebooks/01_first.ipynb) | the `whole` model | 45 |\n",
        "course_lib/x.py": "",
    }.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of the site of `fill`."""
    project = tmp_path_factory.mktemp("course")
    fill(project)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_URL", raising=False)
        assert built(project) == 1  # lesson 10 stopped
    return project / "build/course"


@pytest.fixture(scope="module")
def first(course):
    return read(course / "notebooks/01_first.html")


# --- What a reader sees


def test_facts_stand_once_under_the_title(first):
    assert [first.select_one(".facts").get_text(), first.select_one(".made").get_text()] == [
        "45 minutes · difficulty 1 of 3",
        "Outputs of 5 November 2026 · MNIST · Some CPU, 2 cores, Linux · ran in 19 s",
    ]
    assert "It runs in seconds." in first.article.get_text() and "About 45" not in first.article.get_text()


def test_links_lead_to_pages_and_headings_or_are_text(first):
    links = {link.get_text(): link["href"] for link in first.article.select("a.reference")}
    assert {name: links[name] for name in ("two", "it", "GPU", "paper", "table")} == {
        "two": "02_second.html#a-part",
        "it": "../exercises/01_first.html",
        "GPU": "../docs/gpu.html",
        "paper": "https://arxiv.org/abs/1711.00937",
        "table": "#symbols-of-all",
    }
    assert "course_lib/x.py, the solution (course_lib/x.py)" in first.article.get_text()


def test_formulas_are_mathml_and_code_is_code(first):
    inline, block = first.select("article p > math, .formula > math")
    assert inline["display"] == "inline" and inline.get_text() == "x<y"
    assert block["display"] == "block" and block.get_text().replace(" ", "") == "‖x−x^‖22"
    assert "$x$" in [code.get_text() for code in first.select("article code")]


def test_answers_fold_with_their_markdown_inside(first):
    details = next(fold for fold in first.select("article details") if "What is" in fold.get_text())
    assert details.summary.math and "$" not in details.summary.get_text()
    assert details.strong.get_text() == "size" and details.code.get_text() == "8"
    assert "after" not in details.get_text()


def test_code_hidden_in_the_lesson_is_folded(first):
    folds = [fold for fold in first.select("div.cell details") if "plot()" in fold.get_text()]
    assert len(folds) == 1 and not folds[0].has_attr("open")
    assert "Show the code" in folds[0].summary.get_text()
    assert not [fold for fold in first.select("div.cell details") if "fit()" in fold.get_text()]


def test_outputs(first, course):
    (image,) = first.select("img.figure")
    assert (image["alt"], image["width"], image["height"]) == ('a "dot" & <no> more', "8", "4")
    assert (course / "notebooks" / image["src"]).read_bytes() == base64.b64decode(dot("png"))
    shown = [output.get_text().split() for output in first.select(".cell_output pre")]
    assert ["100%"] in shown and not any("50%" in words for words in shown)
    assert first.audio["src"].startswith("data:audio") and "costs $5 and $6" in first.article.get_text()


def test_a_lesson_that_stopped_says_where(course, quick, tmp_path, capsys):
    write(tmp_path / "notebooks", "01_first", "# First")
    write(
        tmp_path / "notebooks",
        "10_last",
        "# 10 · Last",
        new_code_cell("x = 1"),
        stopping("ZeroDivisionError", "by <0>"),
    )
    assert quick() == 1
    said = capsys.readouterr().out
    assert "10_last.ipynb stopped at cell 2: ZeroDivisionError: by <0>" in said
    assert f"Open {tmp_path}/build/course/index.html" in said

    soup = read(course / "notebooks/10_last.html")
    top, there = soup.select(".notice.failure")
    assert "stopped at cell 2: ZeroDivisionError: by <0>" in top.get_text()
    assert top.a["href"] == "#stopped" and there.find_previous(class_="cell").get_text().count("1 / 0") == 1
    assert not read(course / "notebooks/01_first.html").select(".notice")


def test_a_page_made_with_a_sample_says_so(course):
    (notice,) = read(course / "notebooks/02_second.html").select(".notice")
    assert "not with MNIST" in notice.get_text() and "make run" in notice.get_text()
    assert "MNIST (a sample)" in read(course / "notebooks/02_second.html").select_one(".made").get_text()


def test_titles_contents_and_the_way_through(course):
    second = read(course / "notebooks/02_second.html")
    assert second.title.get_text().startswith("02 · The second K")
    assert second.select_one("a.left-prev")["href"] == "01_first.html"
    assert second.select_one("a.right-next")["href"] == "10_last.html"
    sidebar = second.select_one(".bd-links")
    assert [caption.get_text() for caption in sidebar.select(".caption-text")] == ["Lessons", "Exercises", "Guides"]
    assert [link.get_text().strip() for link in sidebar.select("a.internal")] == [
        "01 · First", "02 · The second K", "10 · Last", "01 · What it costs", "A borrowed GPU",
    ]  # fmt: skip
    assert [link.get_text().strip() for link in second.select(".bd-toc a")] == ["A part"]


def test_front_page(course):
    rows = read(course / "index.html").select(".syllabus li")
    assert [row.a["href"] for row in rows][:2] == ["notebooks/01_first.html", "notebooks/02_second.html"]
    assert rows[0].get_text(" ", strip=True) == "01 First the whole model 45 min"
    assert rows[0].code.get_text() == "whole"
    assert rows[3].get_text(" ", strip=True) == "01 What it costs 15 min"


def test_nothing_is_loaded_from_elsewhere(course):
    for file in course.rglob("*.html"):
        for tag in read(file).select("[src], link[href]"):
            assert "//" not in tag.get("src", tag.get("href")), (file, tag)
    for file in course.rglob("*.css"):
        assert not re.search(r"(url\(|@import) *[\"']?(https?:)?//", file.read_text()), file


def test_launch_buttons_only_with_an_address(course, tmp_path, monkeypatch):
    assert not read(course / "notebooks/01_first.html").select(".dropdown-launch-buttons")
    write(tmp_path / "notebooks", "01_first", "# One\n\n[it](../course_lib/x.py)")
    (tmp_path / "course_lib").mkdir()
    (tmp_path / "course_lib/x.py").touch()
    (tmp_path / "exercises").mkdir()
    monkeypatch.setenv("COURSE_URL", "https://github.com/someone/course/")
    assert built(tmp_path) == 0
    soup = read(tmp_path / "build/course/notebooks/01_first.html")
    launched = [link["href"] for link in soup.select(".dropdown-launch-buttons a")]
    assert any("colab" in link and "someone/course/blob/main/notebooks/01_first.ipynb" in link for link in launched)
    assert any("mybinder.org" in link for link in launched)
    assert (
        soup.select_one("article a.reference")["href"] == "https://github.com/someone/course/blob/main/course_lib/x.py"
    )


def test_in_a_browser(course, visit):
    with visit(course / "notebooks/01_first.html", width=390) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        answer = page.get_by_text("zanzibar")
        assert not answer.is_visible()
        page.get_by_text("What is").click()
        assert answer.is_visible()
    with visit(f"{(course / 'search.html').as_uri()}?q=zanzibar") as page:
        page.get_by_text("found one page").wait_for()
        assert page.locator("#search-results li a").first.get_attribute("href").startswith("notebooks/01_first.html")


# --- What fails the build, or an older site would be lost to


def test_what_is_wrong_in_a_lesson_fails_the_build(tmp_path):
    (tmp_path / "exercises").mkdir()
    write(
        tmp_path / "notebooks",
        "01_first",
        "# One\n\n[later](03_third.ipynb), [nowhere](#Nothing), [there](02_second.ipynb#Nothing-there) $\\nonsense{x}$",
        "<details><summary>$\\frac{a$</summary></details>",
    )
    write(tmp_path / "notebooks", "02_second", "# Two")
    old = tmp_path / "build/course/index.html"
    old.parent.mkdir(parents=True)
    old.write_text("<meta name=generator content='vq-course site'> old")
    said = built(tmp_path)
    for wrong in ("03_third.ipynb", "'Nothing'", "Nothing-there", r"\nonsense", r"\frac{a"):
        assert wrong in said, (wrong, said)
    assert "notebooks/01_first.ipynb, cell 2: a formula cannot be drawn, unbalanced braces" in said
    assert "old" in old.read_text() and list((tmp_path / "build").iterdir()) == [old.parent]


def test_links_in_html_are_looked_at(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "a.html").write_text(
        '<a href="notebooks/b.html#there">1</a><a href="notebooks/b.html#gone">2</a><a href="c.html">3</a>'
        '<img src="no.png"><a href="#here" id="here">4</a><a href="https://x.org/c.html">5</a><a href="#away">6</a>'
    )
    (tmp_path / "notebooks/b.html").write_text('<h1 id="there">B</h1><a href="../a.html?q=1#here">back</a>')
    assert check.broken_links(tmp_path) == [
        f"a.html: {link} leads nowhere" for link in ("#away", "c.html", "no.png", "notebooks/b.html#gone")
    ]


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Builds without Sphinx: the site is one page with the first lesson's title."""

    def pretend(project, sources, pages):
        (pages / "index.html").write_text(f"vq-course site {(sources / 'notebooks/01_first.ipynb').read_text()}")
        return []

    monkeypatch.setattr(site, "written", pretend)
    return lambda: site.main(["--project", str(tmp_path), "--out", str(tmp_path / "build/course")])


def test_interrupted_build_leaves_the_earlier_site(quick, tmp_path, monkeypatch):
    write(tmp_path / "notebooks", "01_first", "# First")
    out = tmp_path / "build/course"
    assert quick() == 0
    write(tmp_path / "notebooks", "01_first", "# Anew")
    rename = Path.rename

    def interrupted(path, to):
        if path.name == "new":
            raise KeyboardInterrupt
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        assert quick() == 130
    assert "# First" in (out / "index.html").read_text() and list(out.parent.iterdir()) == [out]
    assert quick() == 0
    assert "# Anew" in (out / "index.html").read_text() and list(out.parent.iterdir()) == [out]


def test_folder_that_is_not_a_course_is_not_replaced(quick, tmp_path):
    write(tmp_path / "notebooks", "01_first", "# First")
    dear = tmp_path / "build/course/index.html"
    dear.parent.mkdir(parents=True)
    dear.write_text("something dear")
    with pytest.raises(SystemExit, match="holds something else"):
        quick()
    assert dear.read_text() == "something dear"


def test_unreadable_notebook_is_named(quick, tmp_path):
    write(tmp_path / "notebooks", "01_first", "# First").write_text("{not json")
    with pytest.raises(SystemExit, match=r"01_first\.ipynb cannot be read"):
        quick()


def test_no_lessons_is_an_error(quick):
    with pytest.raises(SystemExit, match="no lesson"):
        quick()


# --- Formulas


@pytest.mark.parametrize(
    "tex, seen",
    [
        (r"\mathbb{R}^{K \times D}", "ℝK×D"),
        (r"\operatorname{sg}[z_e(x)]", "sg[ze(x)]"),
        (r"\lVert x - \hat{x} \rVert_2^2", "‖x−x^‖22"),
        (r"\underbrace{a}_{\text{codebook}}", "a⏟codebook"),
        (r"\arg\min_k d_k", "arg\u2009minkdk"),
        (r"\operatorname*{arg\,min}_k d_k", "arg\u2009minkdk"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "a=bc=d"),
        (r"p < q \text{ if } x & y", None),
        (r"\nonsense{x}", None),
        (r"\frac{a", None),
        (r"\left(", None),
    ],
)
def test_formula_becomes_mathml_or_is_refused(tex, seen):
    if seen is None:
        with pytest.raises(ValueError):
            formulas.to_mathml(tex, "block")
    else:
        formula = BeautifulSoup(formulas.to_mathml(tex, "block"), "html.parser").math
        assert formula["display"] == "block" and formula.get_text().replace(" ", "") == seen


def test_names_in_formulas_are_upright_and_set_off():
    formula = BeautifulSoup(formulas.to_mathml(r"2 \log p", "inline"), "html.parser")
    assert [tag.name for tag in formula.math.mrow.find_all(recursive=False)] == ["mn", "mspace", "mi", "mspace", "mi"]
    formula = BeautifulSoup(formulas.to_mathml(r"\log_2(p)", "inline"), "html.parser")
    assert not formula.select("mspace") and formula.select_one("msub > mi").get_text() == "log"


# --- Widgets, on their way from a notebook's output to a page


def test_a_widget_of_a_notebook_is_one_on_its_page(tmp_path, monkeypatch):
    bundle = {"widget": "demo", "state": '{"word": "</script>"}', "stored": ["tiny"]}
    data = {
        widgets.MIME: bundle,
        "image/png": dot("png"),
        "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
    }
    cell = new_code_cell("Demo()", outputs=[new_output("execute_result", data={**data, "text/plain": "in words"})])
    outputs.prepare(new_notebook(cells=[cell]), "01_first", tmp_path)
    html = cell.outputs[0].data["text/html"]
    assert html == widgets.element(bundle, dot("png"), "in words") and set(cell.outputs[0].data) == {"text/html"}

    here = tmp_path / "widgets"
    here.mkdir()
    for name, text in {"demo.js": "export default { render: 1 };", "host.js": "host", "widget.css": "shared"}.items():
        (here / name).write_text(text)
    monkeypatch.setattr(widgets, "HERE", here)
    stored = SimpleNamespace(read={"tiny": b"numbers"}.__getitem__, MODELS={"tiny": None})
    monkeypatch.setitem(sys.modules, "course_lib.weights", stored)
    monkeypatch.setattr(course_lib, "weights", stored, raising=False)

    class App:
        outdir, scripts, styles = tmp_path / "out", [], []

        def add_js_file(self, name, priority, loading_method):
            self.scripts.append((priority, name, loading_method))

        def add_css_file(self, name):
            self.styles.append(name)

    (App.outdir / "_static").mkdir(parents=True)
    widget_scripts._load(App(), "plain", "page.html", {"body": "<p>no widget</p>"}, None)
    assert not App.scripts
    widget_scripts._load(App(), "01_first", "page.html", {"body": html}, None)
    assert [name for _, name, _ in sorted(App.scripts)] == [
        "widgets/weights-tiny.js", "widgets/demo.js", "widgets/host.js",
    ]  # fmt: skip
    assert {method for _, _, method in App.scripts} == {"defer"} and App.styles == ["widgets/demo.css"]
    written = {file.name: file.read_text() for file in (App.outdir / "_static/widgets").iterdir()}
    assert written["demo.js"] == widgets.script("demo") and written["host.js"] == "host"
    assert written["weights-tiny.js"] == widgets.weights_script("tiny", b"numbers") and written["demo.css"] == "shared"


def test_a_view_without_its_kernel_is_left_out(tmp_path):
    cell = displayed(**{"application_vnd.jupyter.widget-view+json": ({"model_id": "x"}, {})})
    outputs.prepare(new_notebook(cells=[cell]), "01_first", tmp_path)
    assert set(cell.outputs[0].data) == {"text/plain"}


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif"])
def test_pictures_of_all_kinds_become_files(tmp_path, kind):
    cell = displayed(**{f"image_{kind}": (dot(kind), {"alt": "words"})})
    outputs.prepare(new_notebook(cells=[cell]), "01_first", tmp_path)
    assert 'alt="words"' in cell.outputs[0].data["text/html"]
    assert (tmp_path / f"01_first-0-0.{kind}").read_bytes() == base64.b64decode(dot(kind))


def test_dates_are_written_out():
    assert stage._day("2026-11-05") == "5 November 2026"


def test_lessons_in_another_language(tmp_path):
    """They lie under de/ with a front page; what is not translated is linked to in English, and each page to its twin."""
    fill(tmp_path)
    write(
        tmp_path / "notebooks" / "de",
        "01_first",
        "# 01 · Zuerst\n\nEtwa 45 Minuten. Schwierigkeit: 1 von 3. Es läuft in Sekunden.\n\n## Ein Teil\n\n"
        "[hier](#Ein-Teil), [zwei](../02_second.ipynb#A-part), [Übung](../../exercises/01_first.ipynb)",
        new_code_cell("fit()", metadata={"jupyter": {"source_hidden": True}}),
        minutes=45,
        difficulty=1,
        made={"date": "2026-11-05", "data": {"fsdd": "sample"}, "machine": "Some CPU, 2 cores", "seconds": 19},
    )
    assert built(tmp_path) == 1  # the English lesson 10 stopped
    course = tmp_path / "build/course"
    page = read(course / "de/notebooks/01_first.html")
    assert page.html["lang"] == "de" and read(course / "notebooks/01_first.html").html["lang"] == "en"
    words = page.select_one("article").get_text()
    assert "45 Minuten · Schwierigkeit 1 von 3" in words and "Etwa 45" not in words and "Es läuft in Sekunden." in words
    assert "Ausgaben vom 5. November 2026 · gesprochene Ziffern (eine Auswahl) · Some CPU, 2 Kerne" in words
    links = {link.get_text(): link["href"] for link in page.select("article a")}
    assert links["hier"] == "#Ein-Teil" and links["zwei"] == "../../notebooks/02_second.html#A-part"
    assert links["Übung"] == "../../exercises/01_first.html"
    for file, there in {
        "notebooks/01_first": ("Deutsch", "../de/notebooks/01_first.html"),
        "de/notebooks/01_first": ("English", "../../notebooks/01_first.html"),
        "index": ("Deutsch", "de/index.html"),
        "de/index": ("English", "../index.html"),
    }.items():
        twin = read(course / f"{file}.html").select_one("a.tongue")
        assert (twin.get_text(), twin["href"]) == there
    assert read(course / "notebooks/02_second.html").select_one("a.tongue") is None
    assert read(course / "de/index.html").select_one(".syllabus .name").get_text() == "Zuerst"


def test_a_wrong_link_of_a_translated_lesson_is_told(tmp_path):
    fill(tmp_path)
    write(tmp_path / "notebooks" / "de", "01_first", "# 01 · Zuerst\n\n[fort](../03_gone.ipynb)")
    words = built(tmp_path)
    assert "de/notebooks/01_first.ipynb, cell 1" in words and "03_gone.ipynb" in words
