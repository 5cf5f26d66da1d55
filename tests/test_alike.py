"""Answers that are alike: what is rare is found, what many have is not, and a stranger's text can do nothing."""

import ast
import inspect
import math
import random
import re
import textwrap
import time

import hostile
import pytest
from axe_playwright_python.sync_playwright import Axe
from variants import VARIANTS

from course_lib.check.author import changed, program_of
from course_lib.check.exercises import EXERCISES
from course_lib.grade import alike, reports
from course_lib.grade.finding import Finding
from course_lib.grade.marks import Graded, Mark, Row
from course_lib.grade.settings import Settings
from course_lib.grade.submissions import Notebook

THREE = ("nearest_codes", "ema_update", "perplexity")
OWN = """
def nearest_codes(flat, codebook):
    # walk over the codes one at a time, keeping the best so far
    best = torch.full((len(flat),), float("inf"))
    where = torch.zeros(len(flat), dtype=torch.long)
    for index, code in enumerate(codebook):
        apart = (flat - code).abs().pow(2).sum(-1)
        closer = apart < best
        best = torch.where(closer, apart, best)
        where = torch.where(closer, torch.full_like(where, index), where)
    return where.clone()
"""


def row_of(student: str, sources: dict[str, str], verdict="pass") -> Row:
    cells = tuple({"number": n, "source": s, "tags": [f"answer:{c}"]} for n, (c, s) in enumerate(sources.items(), 1))
    findings = [Finding(student, "03_nearest_code", check, "d", verdict) for check in sources]
    notebook = Notebook(student, "03_nearest_code", cells, "d")
    return Row(student, [Mark("03_nearest_code", findings, dict.fromkeys(sources, 1.0), notebook=notebook)])


def page(students: dict[str, dict[str, str]], verdict="pass") -> str:
    return alike.page([row_of(name, sources, verdict) for name, sources in students.items()], Settings())


def listed(text: str) -> list[tuple[str, str]]:
    return re.findall(r"<h3>(\S+) and (\S+): \d+ bits</h3>", text)


def programs_of(name: str) -> list[str]:
    """Right answers in several styles by several people, each as a learner would have written it."""
    programs = []
    for variant in filter(inspect.isroutine, VARIANTS[name]):
        source = textwrap.dedent(inspect.getsource(variant)).rstrip()
        programs.append(re.sub(rf"\b{variant.__name__}\b", name, source))
    return list(dict.fromkeys(programs))


def mistaken(name: str) -> list[str]:
    exercise = EXERCISES[name]
    changes = [mistake.change for mistake in exercise.mistakes if not mistake.change[0].startswith("-> ")]
    return [changed(program_of(exercise.reference), change) for change in changes]


def others(count: int, seed: int = 0, names=THREE) -> dict[str, dict[str, str]]:
    """Students who worked by themselves: no text is had by two of them."""
    chance, pools = random.Random(seed), []
    for name in names:
        pool = programs_of(name) + mistaken(name)
        chance.shuffle(pool)
        pools.append(pool)
    count = min(count, *map(len, pools))
    return {f"s{n:02}": {name: pool[n] for name, pool in zip(names, pools)} for n in range(count)}


# ----------------------------------------------------------------------------------------------------------------------
# What is the same program


def renamed(source: str) -> str:
    """Every argument and every name that is given a value, by other names; Python's own tree says which they are."""
    tree = ast.parse(source)
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    new = {name: f"other_{number}" for number, name in enumerate(sorted(names))}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.arg = new[node.arg]
        elif isinstance(node, ast.Name):
            node.id = new.get(node.id, node.id)
    return ast.unparse(tree)


def with_other_comments(source: str) -> str:
    lines = [re.sub(r"\s*#.*", "", line) for line in source.strip().split("\n")]
    return "\n".join([lines[0], '    """Mine."""', *(f"{line}  # so" for line in lines[1:] if line.strip())])


def swapped(source: str) -> str:
    """Two assignments that follow each other, the other way round where neither needs the other."""
    tree = ast.parse(source)

    def names(node, kind) -> set[str]:
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}

    for block in [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]:
        for place in range(len(block) - 1):
            one, other = block[place : place + 2]
            sets, uses = ([names(node, kind) for node in (one, other)] for kind in (ast.Store, ast.Load))
            if (
                isinstance(one, ast.Assign)
                and isinstance(other, ast.Assign)
                and not sets[0] & uses[1] | sets[1] & uses[0]
            ):
                block[place : place + 2] = other, one
                return ast.unparse(tree)
    return source


def split(source: str) -> str:
    """The last result gets a name first, and a part of it another."""
    tree = ast.parse(source)
    last = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)][-1].body
    if isinstance(last[-1], ast.Return) and isinstance(last[-1].value, (ast.BinOp, ast.Call)):
        value = last[-1].value
        part, field = (value.right, "right") if isinstance(value, ast.BinOp) else (value.func, "func")
        part = part if field == "right" else part.value if isinstance(part, ast.Attribute) else part
        made = [ast.Assign([ast.Name("part", ast.Store())], part)]
        if field == "right":
            value.right = ast.Name("part", ast.Load())
        elif isinstance(value.func, ast.Attribute):
            value.func.value = ast.Name("part", ast.Load())
        else:
            made = []
        last[-1:] = [
            *made,
            ast.Assign([ast.Name("result", ast.Store())], value),
            ast.Return(ast.Name("result", ast.Load())),
        ]
    return ast.unparse(ast.fix_missing_locations(tree))


DISGUISES = {
    "as it is": lambda source: source,
    "renamed": renamed,
    "other comments": with_other_comments,
    "swapped": swapped,
    "split": split,
    "all of it": lambda source: with_other_comments(renamed(split(swapped(source)))),
}
SAME = [
    renamed,
    with_other_comments,
    lambda source: ast.unparse(ast.parse(source)),
    lambda source: "import torch\n" + source,
]
SAME += [lambda source: source.replace("flat, codebook)", "flat: torch.Tensor, codebook: 'Tensor') -> torch.Tensor")]
SAME += [lambda source: source.replace("best = torch.full", "best: Tensor = torch.full").replace("\n", "\r\n")]
SAME += [lambda source: f'%%time\n"""Text."""\n{source}\ncheck("nearest_codes", nearest_codes)\n']


@pytest.mark.parametrize("change", SAME)
def test_names_comments_and_layout_are_no_part_of_a_program(change):
    assert change(OWN) != OWN
    assert alike.taken_apart(change(OWN), "nearest_codes").shape == alike.taken_apart(OWN, "nearest_codes").shape


@pytest.mark.parametrize(
    "old, new", [("pow(2)", "pow(3)"), (".abs()", ".exp()"), ("<", ">"), ("apart, best", "best, apart")]
)
def test_everything_else_is(old, new):
    one, other = (alike.taken_apart(text, "nearest_codes") for text in (OWN, OWN.replace(old, new)))
    assert one.shape != other.shape


def test_pieces_know_their_lines():
    pieces = alike.taken_apart(OWN, "nearest_codes").pieces
    assert pieces["comment", "walk over the"] == {3} and pieces["name", "closer"] == {8, 9, 10}
    assert pieces["program", "return v0 .clone"] == {11} and pieces["program", "v0 .abs .pow 2"] == {7}


# ----------------------------------------------------------------------------------------------------------------------
# Who is listed


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_of_something_rare_is_listed_first(disguise):
    students = others(20) | {"ann": {"nearest_codes": OWN}, "bob": {"nearest_codes": DISGUISES[disguise](OWN)}}
    text = page(students)
    assert listed(text)[:1] == [("ann", "bob")]
    same = "the same program but for names, comments and layout, which 2 of" in text
    assert same == (disguise in ("as it is", "renamed", "other comments"))


def test_what_is_published_proves_nothing():
    solution = {name: program_of(EXERCISES[name].reference) for name in THREE}
    students = others(20) | {f"t{n}": solution for n in range(8)} | {"u": {name: mistaken(name)[0] for name in THREE}}
    students |= {"v": students["u"]}
    assert not [pair for pair in listed(page(students)) if pair[0][0] in "tuv"]
    count = dict(re.findall(r'<th scope="row">(\w+)</th>.*<td class="number">(\d+)</td></tr>', page(students)))
    assert count["nearest_codes"] == "8"


def test_what_many_share_proves_nothing_and_is_shown_once():
    many = {f"t{n}": {"nearest_codes": OWN} for n in range(alike.RARE + 1)}
    text = page(others(20) | many)
    assert not [pair for pair in listed(text) if pair[0][0] == "t"]
    assert f"nearest_codes: {len(many)} of 26 have this program, which is not published" in text
    assert ", ".join(many) in text


def test_one_short_thing_in_common_is_too_little_and_the_same_over_several_answers_is_not():
    odd = {"nearest_codes": "def nearest_codes(flat, codebook):\n    return flat.argsort(stable=True)[: len(codebook)]"}
    odd["ema_update"] = "def ema_update(codebook, *rest):\n    return codebook.lerp(rest[0].mean(), 0.125), *rest[1:]"
    odd["perplexity"] = "def perplexity(codes, K):\n    return codes.bincount().float().std().exp() ** K"
    first = {"nearest_codes": odd["nearest_codes"]}
    alone, all_three = others(20), others(20)
    assert ("ann", "bob") not in listed(page(alone | {"ann": first, "bob": dict(first)}, "wrong"))
    assert listed(page(all_three | {"ann": odd, "bob": dict(odd)}, "wrong"))[:1] == [("ann", "bob")]


def test_what_was_not_attempted_or_not_graded_is_not_compared():
    students = {"ann": {"nearest_codes": OWN}, "bob": {"nearest_codes": OWN}} | others(20)
    for verdict in ("blank", "not_graded"):
        assert not listed(page(students, verdict))
    assert not listed(page({"ann": {"nearest_codes": OWN}})) and not listed(page({}))


def test_what_python_cannot_read_is_compared_by_its_lines():
    broken = OWN.replace("codebook):", "codebook)", 1)
    students = others(20) | {"ann": {"nearest_codes": broken}, "bob": {"nearest_codes": "# mine\n" + broken}}
    assert listed(page(students, "syntax"))[:1] == [("ann", "bob")]


GROUPS = [
    ("straight_through", "clipped_straight_through", "my_vq"), ("codebook_loss", "commitment_loss", "gradient_matrix"),
    ("nearest_codes", "look_up", "pairwise_distances"), ("ema_update", "perplexity", "my_smoothed"),
    ("restart_dead_codes", "kmeans_init", "VectorQuantize"), ("snr_db", "latent_length", "mask_position"),
    ("causal_mask", "bits_per_code", "sample_codes"), ("residual_quantize", "pca_colours", "normalized_mse"),
]  # fmt: skip


@pytest.mark.slow
def test_how_many_are_listed_wrongly_and_how_many_copies_are_found():
    """The figures that docs/instructors.md gives: students who worked by themselves, each of whose texts nobody else
    has, and one more who copied all three answers of somebody who did not write what is published."""
    wrongly = pairs = tried = 0
    found = dict.fromkeys(DISGUISES, 0)
    for seed, names in enumerate(GROUPS):
        known = {name: alike.published(EXERCISES[name]) for name in names}
        apart = {}

        def compared(students, known=known, apart=apart):
            answers = {name: {} for name in known}
            for student, sources in students.items():
                for name, source in sources.items():
                    key = name, source
                    apart[key] = apart.get(key) or alike.taken_apart(source, name)
                    answers[name][student] = apart[key]
            return [(pair.one, pair.other) for pair in alike.pairs_of(answers, known)[0]]

        students = others(40, seed, names)
        pairs += math.comb(len(students), 2)
        wrongly += len(compared(students))
        own = [s for s, sources in students.items() if sources.items() - {(n, m) for n in names for m in mistaken(n)}]
        for student in own[:8]:
            tried += 1
            for disguise, change in DISGUISES.items():
                copy = {name: change(source) for name, source in students[student].items()}
                found[disguise] += ("a_copy", student) in compared(students | {"a_copy": copy})
    print(wrongly, "of", pairs, found, "of", tried)
    assert pairs > 1000 and wrongly <= 0.003 * pairs
    assert tried > 40 and all(0.5 * tried < count < tried for count in found.values()), (
        "not all: short ones say nothing"
    )


@pytest.mark.slow
def test_a_thousand_students_take_less_than_a_minute():
    pools = {name: programs_of(name) + mistaken(name) + [OWN.replace("nearest_codes", name)] for name in THREE}
    chance, students = random.Random(0), {}
    for number in range(1000):
        students[f"s{number:04}"] = {
            name: chance.choice(pool) + f"\n    x{chance.randrange(500)} = {chance.random():.3}"
            for name, pool in pools.items()
        }  # fmt: skip
    start = time.monotonic()
    text = page(students)
    assert time.monotonic() - start < 60 and "compared</th>" in text


# ----------------------------------------------------------------------------------------------------------------------
# The page


def test_the_page_says_what_it_proves_and_shows_both_texts():
    students = others(20) | {"ann": {"nearest_codes": OWN}, "bob": {"nearest_codes": renamed(OWN) + "  # mine"}}
    text = page(students)
    assert "It proves nothing by itself, and must not be passed on." in text
    assert text.count("<h4>ann</h4>") == 1 and text.count("<h4>bob</h4>") == 1 and "both: right" in text
    assert len(re.findall(r'class="line marked"', text)) >= 12
    named = page(others(20) | {"ann": {"nearest_codes": OWN}, "bob": {"nearest_codes": OWN}})
    assert re.search(r"Names that few use:.*<code>closer</code> \(2 of 22\)", named)
    assert "The same words in comments." in named and "The same words in comments." not in text


ODD = [source for _, source in hostile.CELLS.values()]
ODD += [
    "x = '\ud800'  # \u202e",
    "\0",
    "(" * 5000,
    "f(" * 90 + "lambda: " * 500,
    "x = " + "-" * 15_000 + "1",
    "\n" * 10**6,
]
ODD += [
    "match x:\n    case {'a': [1, *_]} | None if y: pass\n    case _: ...",
    "try: pass\nexcept* E as e: pass",
    "x: int",
]
ODD += [
    "async def f():\n    async with a as b: return [c async for c in b]",
    "def f(): 'only this'",
    "x" * 2**20,
    "  \n\t# no",
]


@pytest.mark.parametrize("number", range(0, len(ODD), 10))
def test_no_text_stops_the_page_or_acts_on_it(number):
    start, some = time.monotonic(), ODD[number : number + 10]
    attack = "<script>alert(1)</script>"
    sources = [f"{source}\n# {attack} &amp; a long remark of two" for source in some]
    students = {f"{attack}{n}{who}": {"nearest_codes": s} for n, s in enumerate(sources) for who in "ab"}
    text = page(students, "wrong")
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text and attack not in text
    assert time.monotonic() - start < 30
    text.encode(errors="backslashreplace")


def test_the_report_is_written_with_the_others(tmp_path):
    rows = [row_of(name, sources) for name, sources in others(5).items()]
    rows[0].student, rows[1].student = "alike", "Class"
    reports.write_all(tmp_path, Graded(rows))
    assert "Answers that are alike" in (tmp_path / "alike.html").read_text(encoding="utf-8")
    assert len(list(tmp_path.glob("*.html"))) == 7, "a page for each, whatever they are called, and two of the class"
    assert reports.file_names(["alike"])["alike"].startswith("alike-")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_keeps_anybody_from_reading(visit, width, dark):
    long = "def nearest_codes(a, b):\n    return " + "a.cumsum(1) @ " * 40 + "b"
    many = {f"t{n}": {"nearest_codes": long} for n in range(alike.RARE + 1)}
    students = (
        others(20) | many | {"ann" * 30: {"nearest_codes": OWN}, "bob": {"nearest_codes": OWN + "# " + "x" * 300}}
    )
    with visit(page(students), width=width, dark=dark) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        faults = Axe().run(shown, options={"preload": False, "resultTypes": ["violations"]}).response["violations"]
        assert not [(fault["id"], [node["html"][:150] for node in fault["nodes"][:2]]) for fault in faults]
        one, other = (shown.locator(".pair > div").nth(place).bounding_box() for place in (0, 1))
        assert (other["x"] > one["x"]) == (width > 900)
