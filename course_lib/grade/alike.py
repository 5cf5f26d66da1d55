"""Answers that are alike beyond what a short right answer must be: a hint for the instructor, and never a verdict.

Two right answers of three lines are alike because they are right. So what counts is not how much two students have in
common, but how few others have it too. An answer is taken apart into pieces: runs of SHINGLE tokens within a statement,
with the names that the student chose put by their order; the rare names themselves; runs of words in comments; odd
spacing. A piece that stands in the published solution, a known mistake or the cells of the lesson is worth nothing.
Any other, which `m` of `n` students have, is worth log2((n + OTHERS) / m) bits, as if each had it by chance. What two
students share is added up over all of their answers.
"""

import ast
import itertools
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from course_lib.check.author import changed, program_of
from course_lib.check.judge import Exercise
from course_lib.grade import listing
from course_lib.grade.given import COURSE
from course_lib.grade.marks import Row
from course_lib.grade.pages import RESULTS, TEMPLATES
from course_lib.grade.settings import Settings

SHINGLE, WORDS = 4, 3  # tokens of a piece of a program, words of a piece of a comment
OTHERS = 16  # students who have no piece that is not published: a small class does not tell what is rare
RARE = 5  # students: what more of them have has another source than one of the two
WORTH = {"program": 1 / SHINGLE, "comment": 1 / WORDS, "name": 1 / 2, "spacing": 1 / 2}
SURE = 3  # bits more than it takes to be the likeliest pair of the class by chance
MOST_SOURCE, MOST_SHOWN = 20_000, 60  # characters of an answer that is looked at, pairs that are shown
SKIPPED = re.compile(r"^[ \t]*([%!?]|(check|hint|picture)\().*$", re.MULTILINE)  # what is IPython's, or a check's
TOKEN = re.compile(r"\.?\w+|[^\w\s()\[\]{},:.]+")  # an attribute has its dot; brackets follow from the rest
ODD = re.compile(r"\S[ \t]{2,}|\s[,)\]]|[(\[]\s\S|,\S|;|\w\s[-+*/=]\w|\w[-+*/=]\s\w")  # in a line of code

Piece = tuple[str, str]  # the kind, one of WORTH, and what it is


@dataclass
class Answer:
    """pieces: with the lines where each stands. shape: the whole program without names, layout and comments."""

    source: str
    verdict: str = ""
    shape: str = ""
    pieces: dict[Piece, set[int]] = field(default_factory=dict)


@dataclass
class Pair:
    """Two students. shared: by answer, the rare pieces that both have, and by how many of the class each is had."""

    one: str
    other: str
    bits: float
    shared: dict[str, dict[Piece, int]]


# ----------------------------------------------------------------------------------------------------------------------
# An answer, taken apart


def taken_apart(source: str, name: str, verdict: str = "", by_lines: bool = False) -> Answer:
    """A cell that defines the answer `name`. Runs nothing; what Python cannot read is compared line by line, and so is
    anything with by_lines."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")[:MOST_SOURCE]
    answer = Answer(source, verdict)
    plain = SKIPPED.sub("", source)
    try:
        statements, chosen = _statements(ast.parse("(" if by_lines else plain), name)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        statements = [(number, line.partition("#")[0]) for number, line in enumerate(plain.split("\n"), 1)]
        chosen = set()
    shape, order = [], {}
    for number, text in statements:
        tokens = TOKEN.findall(text)
        shape.append(_by_order(tokens, chosen, order))
        for start in range(max(1, len(tokens) - SHINGLE + 1)) if tokens else ():
            run = _by_order(tokens[start : start + SHINGLE], chosen, {})
            answer.pieces.setdefault(("program", run), set()).add(number)
        for token in sorted(chosen.intersection(tokens)):
            answer.pieces.setdefault(("name", token), set()).add(number)
    answer.shape = "\n".join(shape)
    for number, line in enumerate(source.split("\n"), 1):
        for piece in _of_layout(line):
            answer.pieces.setdefault(piece, set()).add(number)
    return answer


def _statements(tree: ast.Module, name: str) -> tuple[list[tuple[int, str]], set[str]]:
    """The lines of the program as Python itself would write them, without docstrings, annotations and imports, each
    with the number that it has in the source; and the names that the student chose."""
    chosen = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            chosen.add(node.arg)
            node.annotation = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            chosen.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            chosen.add(node.name)
            node.returns = None
        for part in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, part, None), list):
                setattr(node, part, list(_bare(getattr(node, part))))
        if isinstance(getattr(node, "body", None), list) and not node.body:
            node.body = [ast.Pass(lineno=getattr(node, "lineno", 1))]
    text = ast.unparse(ast.fix_missing_locations(tree))
    old, new = (
        [node.lineno for node in ast.walk(one) if isinstance(node, ast.stmt)] for one in (tree, ast.parse(text))
    )
    numbers = dict(zip(reversed(new), reversed(old)))  # of a line with two statements, the first
    lines, last = [], 1
    for number, line in enumerate(text.split("\n"), 1):
        last = numbers.get(number, last)
        lines.append((last, line))
    return lines, {word for word in chosen - {name, "self"} if not re.fullmatch(r"__\w+__", word)}


def _bare(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Without imports, texts that only stand there, and what is annotated."""
    for node in block:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield ast.copy_location(ast.Assign([node.target], node.value), node)
        elif not (
            isinstance(node, (ast.Import, ast.ImportFrom, ast.AnnAssign))
            or isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
        ):
            yield node


def _by_order(tokens: list[str], chosen: set[str], order: dict[str, str]) -> str:
    """With `v0` for the first name that the student chose, `v1` for the next."""
    return " ".join(order.setdefault(token, f"v{len(order)}") if token in chosen else token for token in tokens)


def _of_layout(line: str) -> Iterator[Piece]:
    """Pieces of the line's comment, and of its spacing where that is no usual one."""
    code, hash_sign, comment = line.partition("#")
    if code.count('"') % 2 or code.count("'") % 2:
        return  # the sign stands in a text
    words = re.findall(r"\w+", comment.lower())
    for start in range(max(1, len(words) - WORDS + 1)) if len(words) > 1 else ():
        yield "comment", " ".join(words[start : start + WORDS])
    bare = code.strip()
    if bare and (ODD.search(bare) or not hash_sign and code != code.rstrip()):
        yield "spacing", re.sub(r"\w+", "w", code.lstrip())


# ----------------------------------------------------------------------------------------------------------------------
# A class


def published(exercise: Exercise) -> list[Answer]:
    """What anybody may have read: the solution first, the known mistakes, and where the course's notebooks are there,
    the code of the lesson and of the exercise as it is handed out."""
    texts = [program_of(exercise.reference)]
    for mistake in exercise.mistakes:
        if mistake.change and not mistake.change[0].startswith("-> "):
            texts.append(changed(texts[0], mistake.change))
        else:
            texts.append(program_of(mistake.answer))
    for folder in ("notebooks", "exercises"):
        path = COURSE.parent / folder / f"{exercise.lesson}.ipynb"
        if path.is_file():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [taken_apart(text, exercise.name, by_lines=by_lines) for by_lines in (False, True) for text in texts]


def pairs_of(answers: dict[str, dict[str, Answer]], known: dict[str, list[Answer]]) -> tuple[list[Pair], float]:
    """answers: by check and student. known: by check, what is published. -> the pairs that share more than chance would
    have any two share, the most surprising first; and the bits that this takes."""
    students = sorted({student for of_check in answers.values() for student in of_check})
    who: dict[tuple[str, Piece], list[str]] = defaultdict(list)
    everybodys = {
        _where(check, piece) for check in answers for answer in known.get(check, ()) for piece in answer.pieces
    }
    for check, of_check in answers.items():
        for student in sorted(of_check):
            for place in dict.fromkeys(_where(check, piece) for piece in of_check[student].pieces):
                if place not in everybodys:
                    who[place].append(student)
    bits: dict[tuple[str, str], float] = defaultdict(float)
    for (_, piece), having in who.items():
        having = list(dict.fromkeys(having))
        if 2 <= len(having) <= RARE:
            worth = WORTH[piece[0]] * math.log2((len(students) + OTHERS) / len(having))
            for pair in itertools.combinations(having, 2):
                bits[pair] += worth
    enough = math.log2(max(1, math.comb(len(students), 2))) + SURE
    found = []
    for (one, other), sum_of_bits in bits.items():
        if sum_of_bits >= enough:
            shared = {check: _shared(check, of_check, one, other, who) for check, of_check in answers.items()}
            found.append(Pair(one, other, sum_of_bits, {check: pieces for check, pieces in shared.items() if pieces}))
    return sorted(found, key=lambda pair: (-pair.bits, pair.one, pair.other)), enough


def _where(check: str, piece: Piece) -> tuple[str, Piece]:
    """Where a piece counts: a program's in its answer; a name or a habit once, in however many answers it is found."""
    return (check if piece[0] == "program" else ""), piece


def _shared(check: str, of_check: dict[str, Answer], one: str, other: str, who: dict) -> dict[Piece, int]:
    if one not in of_check or other not in of_check:
        return {}
    both = [piece for piece in of_check[one].pieces if piece in of_check[other].pieces]
    counts = {piece: len(set(who.get(_where(check, piece), ()))) for piece in both}
    return {piece: count for piece, count in counts.items() if 2 <= count <= RARE}


# ----------------------------------------------------------------------------------------------------------------------
# The page


def page(rows: list[Row], settings: Settings) -> str:
    """OUT/alike.html, the instructor's own: pairs of students with the reason for each, and both texts."""
    answers: dict[str, dict[str, Answer]] = defaultdict(dict)
    for student, mark in ((row.student, mark) for row in rows for mark in row.marks):
        for finding in mark.findings:
            cell = listing.cell_of(mark.notebook, finding.check, finding.cell)
            if cell and finding.verdict not in ("blank", "not_graded"):
                answers[finding.check][student] = taken_apart(cell["source"], finding.check, finding.verdict)
    known = {check: published(settings.exercises[check]) for check in answers}
    pairs, enough = pairs_of(answers, known)
    return TEMPLATES.get_template("alike.html").render(
        pairs=[_told(pair, answers) for pair in pairs[:MOST_SHOWN]], more=pairs[MOST_SHOWN:], enough=enough,
        common=[
            _common(check, of_check, known[check][0], {answer.shape for answer in known[check]})
            for check, of_check in answers.items()
        ],
        students=len(rows),
        course=settings.course, sure=SURE, most=RARE, others=OTHERS, rare=math.log2((len(rows) + OTHERS) / 2),
    )  # fmt: skip


def _common(check: str, of_check: dict[str, Answer], solution: Answer, public: set[str]) -> dict:
    """How many of the class have what: a program that many have says nothing of any two of them."""
    by_shape: dict[str, list[str]] = defaultdict(list)
    for student, answer in of_check.items():
        by_shape[answer.shape].append(student)
    many = sorted((who for shape, who in by_shape.items() if len(who) > RARE and shape not in public), key=len)
    return {
        "check": check, "compared": len(of_check), "programs": len(by_shape),
        "commonest": max(map(len, by_shape.values())), "solution": len(by_shape.get(solution.shape, ())),
        "groups": [(who, _listed(of_check[who[0]])) for who in reversed(many)],
    }  # fmt: skip


def _listed(answer: Answer) -> tuple[list[listing.Part], int]:
    parts, left_out, _ = listing.parts_of(listing.lines_of(answer.source), room=MOST_SOURCE)
    return parts, left_out


def _told(pair: Pair, answers: dict[str, dict[str, Answer]]) -> dict:
    """A pair in words, with both texts of each answer in which something rare is shared."""
    told, names = [], {}
    for check, pieces in pair.shared.items():
        both = [answers[check][student] for student in (pair.one, pair.other)]
        names |= {text: count for (kind, text), count in pieces.items() if kind == "name"}
        seen = [piece for piece in pieces if piece[0] != "name"]
        if not seen:
            continue
        same = sum(answer.shape == both[0].shape for answer in answers[check].values())
        kinds = Counter(kind for kind, _ in seen)
        told.append({
            "check": check, "results": list(dict.fromkeys(RESULTS[answer.verdict] for answer in both)), "kinds": kinds,
            "same": same if both[0].shape == both[1].shape else 0, "compared": len(answers[check]),
            "texts": [
                (student, *_listed(answer), set().union(*(answer.pieces[piece] for piece in seen)))
                for student, answer in zip((pair.one, pair.other), both)
            ],
        })  # fmt: skip
    return {"one": pair.one, "other": pair.other, "bits": pair.bits, "answers": told, "names": names}
