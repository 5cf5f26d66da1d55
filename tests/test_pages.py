"""The course as pages: what a reader sees, and what is left when something goes wrong."""

import os
import sys
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import course_lib
from course_lib import pages

DOT = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"  # a GIF of one pixel


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks"


def write(folder, name, *cells, **course):
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"course": course} if course else {}), path)
    return path


def read(file):
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def page(folder, monkeypatch, capsys):
    """Writes the page of a lesson 01 with these cells as they are, without a kernel, and reads it."""
    monkeypatch.setattr(pages, "run", lambda lesson, environment: None)

    def make(*cells, **frame):
        write(folder, "01_first", *cells)
        pages.build(folder, folder.parent / "out", {}, **frame)
        return read(folder.parent / "out" / "01_first.html")

    return make


def displayed(**data):
    """A code cell whose output is `data`, type to (content, metadata)."""
    data = {kind.replace("_", "/"): both for kind, both in data.items()}
    output = new_output(
        "display_data",
        data={kind: content for kind, (content, _) in data.items()} | {"text/plain": "<Figure>"},
        metadata={kind: metadata for kind, (_, metadata) in data.items()},
    )
    return new_code_cell("show()", outputs=[output])


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
def test_formula_becomes_mathml_or_stays_readable(page, capsys, tex, seen):
    paragraph = page(f"# One\n\n$${tex}$$").select_one("main p")
    said = capsys.readouterr().out
    if seen is None:
        assert paragraph.code.get_text() == f"$${tex}$$"
        assert tex in said and "not converted" in said
    else:
        assert paragraph.math["display"] == "block"
        assert paragraph.math.get_text().replace(" ", "") == seen
        assert "not converted" not in said


def test_names_in_formulas_are_upright_and_set_off():
    formula = BeautifulSoup(pages.to_mathml(r"2 \log p", "inline"), "html.parser")
    assert [tag.name for tag in formula.math.mrow.find_all(recursive=False)] == ["mn", "mspace", "mi", "mspace", "mi"]
    formula = BeautifulSoup(pages.to_mathml(r"\log_2(p)", "inline"), "html.parser")
    assert not formula.select("mspace") and formula.select_one("msub > mi").get_text() == "log"


def test_formula_in_a_code_span_is_code(page):
    assert page("# One\n\nwrite `$x$`").select_one("main p code").get_text() == "$x$"


# --- What a reader sees


def test_answers_fold_with_their_markdown_inside(page):
    answer = "<details><summary>What is $K$?</summary>\n\nThe **size**, `8`.\n\n</details>"
    details = page(f"# One\n\n{answer}\n\nafter").details
    assert details.summary.math and "$" not in details.summary.get_text()
    assert details.strong.get_text() == "size" and details.code.get_text() == "8"
    assert "after" not in details.get_text()


def test_links_lead_to_pages_or_are_text(page, folder):
    write(folder, "02_second", "# Two")
    text = page(
        "# One\n\n[two](02_second.ipynb#Part), [itself](../notebooks/01_first.ipynb), [here](#One), "
        "[paper](https://arxiv.org/abs/1711.00937), [do it](../exercises/01_first.ipynb), [later](03_third.ipynb), "
        "[`exercises/01_first.ipynb`](../exercises/01_first.ipynb)"
    ).select_one("main p")
    links = {link.get_text(): link["href"] for link in text.select("a")}
    assert links == {
        "two": "02_second.html#Part",
        "itself": "01_first.html",
        "here": "#One",
        "paper": "https://arxiv.org/abs/1711.00937",
    }
    told = "do it (exercises/01_first.ipynb), later (notebooks/03_third.ipynb), exercises/01_first.ipynb"
    assert told in text.get_text()


@pytest.mark.parametrize("kind", ["image_png", "image_jpeg", "image_gif"])
def test_image_has_its_alternative_text(page, kind):
    (image,) = page("# One", displayed(**{kind: (DOT, {"alt": 'a "dot" & <no> more'})})).select("img")
    assert image["alt"] == 'a "dot" & <no> more'
    assert image["src"] == f"data:{kind.replace('_', '/')};base64,{DOT}"


def test_image_file_is_taken_into_the_page(page, folder):
    (folder / "dot.gif").write_bytes(b"GIF89a")
    assert page("# One\n\n![a dot](dot.gif)").img["src"] == "data:image/gif;base64,R0lGODlh"


def test_progress_bar_shows_its_last_state(page):
    bar = [new_output("stream", name="stderr", text=text) for text in ("\r 0%", "\r50%", "\r100%\n")]
    text = page("# One", new_code_cell("fit()", outputs=bar)).select_one(".output").get_text()
    assert text.split() == ["100%"]


def test_code_hidden_in_the_lesson_is_folded(page):
    hidden = new_code_cell("plot()", metadata={"jupyter": {"source_hidden": True}})
    (fold,) = page("# One", hidden, new_code_cell("x = 1")).select("details")
    assert "plot()" in fold.get_text()


def test_page_needs_neither_scripts_nor_a_network(page):
    soup = page("# One\n\n$x$ and [paper](https://arxiv.org/abs/1711.00937)", displayed(image_png=(DOT, {})))
    assert not soup.select("script, link[href], iframe")
    assert all(tag["src"].startswith("data:") for tag in soup.select("[src]"))
    styles = [style.get_text() for style in soup.select("style")]
    assert styles and not any("url(" in style or "@import" in style for style in styles)


def test_titles_navigation_and_index(page, folder):
    write(folder, "02_second", "# 02 · The *second* `K`", minutes=40, difficulty=2)
    write(folder, "10_last", "no heading")
    page("intro\n\n# 01 · First")
    soups = {file.name: read(file) for file in (folder.parent / "out").iterdir()}
    assert set(soups) == {"index.html", "01_first.html", "02_second.html", "10_last.html"}

    second = soups["02_second.html"]
    assert second.title.get_text() == "02 · The second K"
    assert [[link["href"] for link in nav.select("a")] for nav in second.select("nav")] == [
        ["01_first.html", "index.html", "10_last.html"]
    ] * 2
    assert [link["href"] for link in soups["01_first.html"].nav.select("a")] == ["index.html", "02_second.html"]
    assert [link["href"] for link in soups["10_last.html"].nav.select("a")] == ["02_second.html", "index.html"]

    rows = soups["index.html"].select("main li")
    assert [row.a["href"] for row in rows] == ["01_first.html", "02_second.html", "10_last.html"]
    assert [row.a.get_text() for row in rows] == ["01 · First", "02 · The second K", "10_last"]
    assert rows[1].small.get_text() == "40 minutes · difficulty 2 of 3 · ran in 0 s"


# --- The whole command


@pytest.fixture
def course(folder, monkeypatch):
    """Runs the command on the lessons in `folder`, with MNIST from `source`."""

    def run(source):
        data = SimpleNamespace(load=lambda name: SimpleNamespace(name=name, source=source))
        monkeypatch.setitem(sys.modules, "course_lib.data", data)
        monkeypatch.setattr(course_lib, "data", data, raising=False)
        return pages.main(["--notebooks", str(folder), "--out", str(folder.parent / "build/course")])

    return run


def test_failing_lesson_is_shown_and_the_others_are_built(course, folder, capsys, monkeypatch):
    other = folder.parent / "jupyter/kernels/python3"  # one that a user once installed from another Python
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["false"], "display_name": "other", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(folder.parent / "jupyter"))
    first = write(
        folder,
        "01_first",
        "# First",
        new_code_cell("import os; print(os.getcwd(), os.environ.get('COURSE_OFFLINE'))"),
        new_code_cell(""),
        new_code_cell("1 / 0"),
        new_code_cell("x = 1", outputs=[new_output("stream", text="committed")]),
    )
    write(folder, "02_second", "# Second", new_code_cell("import sys; print('on', sys.executable)"))
    before = first.read_bytes()

    assert course("sample") == 1
    said = capsys.readouterr().out
    assert "01_first.ipynb, cell 2: ZeroDivisionError: division by zero" in said
    assert f"Open {folder.parent / 'build/course/index.html'}" in said
    assert first.read_bytes() == before

    built = {name: read(folder.parent / "build/course" / f"{name}.html") for name in ("01_first", "02_second", "index")}
    assert f"{folder.resolve()} 1" in built["01_first"].get_text()
    assert "cell 2: ZeroDivisionError" in built["01_first"].select_one(".failure").get_text()
    assert "ZeroDivisionError" in built["01_first"].select_one(".output_error").get_text()
    assert "committed" not in built["01_first"].get_text()
    assert f"on {sys.executable}" in built["02_second"].get_text()
    assert not built["02_second"].select(".failure")
    assert [len(row.select(".failed")) for row in built["index"].select("main li")] == [1, 0]


@pytest.mark.parametrize("source", ["local", "download", "sample"])
def test_every_page_says_which_data_it_was_run_with(course, folder, monkeypatch, source):
    given = []
    monkeypatch.setattr(pages, "run", lambda lesson, environment: given.append(environment))
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    write(folder, "01_first", "# First")
    assert course(source) == 0
    for name in ("01_first", "index"):
        soup = read(folder.parent / "build/course" / f"{name}.html")
        notices = [notice.get_text() for notice in soup.select(".notice")]
        assert notices == ([pages.NOTICE] if source == "sample" else [])
        assert "sample" in soup.footer.get_text() if source == "sample" else "MNIST" in soup.footer.get_text()
    assert given[0].get("COURSE_OFFLINE") == ("1" if source == "sample" else None)
    assert "COURSE_OFFLINE" not in os.environ


@pytest.mark.parametrize("stop_at", ["the second lesson", "the exchange"])
def test_interrupted_build_leaves_the_earlier_course(course, folder, monkeypatch, stop_at):
    write(folder, "01_first", "# First")
    write(folder, "02_second", "# Second")
    monkeypatch.setattr(pages, "run", lambda lesson, environment: None)
    assert course("local") == 0
    out = folder.parent / "build/course"
    before = {file.name: file.read_text(encoding="utf-8") for file in out.iterdir()}

    def interrupt(lesson, environment):
        if lesson.path.stem == "02_second":
            raise KeyboardInterrupt

    write(folder, "01_first", "# First, anew")
    if stop_at == "the second lesson":
        monkeypatch.setattr(pages, "run", interrupt)
    else:
        rename = pages.Path.rename

        def interrupted_rename(path, to):
            if path.name == "new":
                raise KeyboardInterrupt
            return rename(path, to)

        monkeypatch.setattr(pages.Path, "rename", interrupted_rename)
    assert course("local") == 130
    assert {file.name: file.read_text(encoding="utf-8") for file in out.iterdir()} == before
    assert list(out.parent.iterdir()) == [out]


def test_folder_that_is_not_a_course_is_not_replaced(page, folder):
    out = folder.parent / "out"
    out.mkdir()
    (out / "index.html").write_text("something dear")
    with pytest.raises(SystemExit, match="holds something else"):
        page("# One")
    assert (out / "index.html").read_text() == "something dear"


def test_unreadable_notebook_is_named_before_anything_runs(course, folder):
    (folder / "01_first.ipynb").write_text("{not json")
    with pytest.raises(SystemExit, match=r"01_first\.ipynb"):
        course("local")


def test_no_lessons_is_an_error(course):
    with pytest.raises(SystemExit, match="no lesson"):
        course("local")
