"""Breaks a right answer in one place at a time, and looks which broken ones a check still takes.

A *mutant* is a right answer with one small change. A *survivor* is a mutant that is right for every seed: it is either
a hole in the check, or does the same as what it was made from. `proof` says of a whole exercise what became of them.
"""

import ast
import contextlib
import copy
import dataclasses
import re
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from course_lib.check.author import answer_from, program_of
from course_lib.check.judge import Exercise, draw_calls, judge, remembering
from course_lib.check.observe import observe

SEEDS = range(3)
CAN_STOP = hasattr(signal, "setitimer")  # a mutant that loops for ever; Windows cannot

# ----------------------------------------------------------------------------------------------------------------------
# What is changed

OPERATORS = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.MatMult: [ast.Mult],
    ast.Pow: [ast.Mult], ast.FloorDiv: [ast.Div], ast.Mod: [ast.FloorDiv],
    ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt, ast.GtE], ast.Gt: [ast.GtE, ast.Lt], ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.And: [ast.Or], ast.Or: [ast.And],
    ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn], ast.NotIn: [ast.In],
}  # fmt: skip
SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**", ast.FloorDiv: "//",
    ast.Mod: "%", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.And: "and", ast.Or: "or", ast.BitAnd: "&", ast.BitOr: "|", ast.Is: "is", ast.IsNot: "is not", ast.In: "in",
    ast.NotIn: "not in",
}  # fmt: skip
NAMES = {
    "abs": ["square"], "sqrt": ["square"], "square": ["abs"], "exp": ["log"], "log": ["exp", "log2"],
    "exp2": ["exp"], "log2": ["log"], "log10": ["log"], "log1p": ["log"],
    "softmax": ["log_softmax", "sigmoid"], "log_softmax": ["softmax"], "sigmoid": ["tanh"], "relu": ["sigmoid"],
    "Sigmoid": ["Tanh"], "ReLU": ["Sigmoid"], "mse_loss": ["l1_loss"], "std": ["var"], "var": ["std"],
    "log2_": ["log_"], "repeat": ["repeat_interleave"], "repeat_interleave": ["repeat"], "triu": ["tril"],
}  # fmt: skip
PAIRS = (
    "argmin argmax, min max, amin amax, mean sum, zeros ones, zeros_like ones_like, any all, minimum maximum, "
    "floor ceil, clamp_min clamp_max, values indices, cumsum cumprod, vstack hstack, eval train"
)
for pair in PAIRS.split(", "):
    one, other = pair.split()
    NAMES[one], NAMES[other] = [other], [one]

REDUCTIONS = {"sum", "mean", "amin", "amax", "min", "max", "argmin", "argmax", "prod", "std", "var", "norm"}
MODULES = {"torch", "F", "nn", "math", "np", "numpy", "dist", "functional", "quantize", "self", "super", "itertools"}
SYMMETRIC = {"mse_loss", "l1_loss", "promote_types", "max", "min", "maximum", "minimum", "add", "mul", "vecdot"}
UNSIGNED = {"square", "abs", "pow"}
CUTS = {
    "detach",
    "tolist",
    "item",
    "numpy",
    "argmin",
    "argmax",
    "argsort",
    "bincount",
    "one_hot",
    "nearest",
    "nearest_codes",
}
PLAIN = {"shape", "dtype", "device", "ndim", "numel", "size", "dim"}  # of which a detached tensor has the same
WHOLE = {"codes", "indices", "generator"}  # never carry a gradient


@dataclass(frozen=True)
class Mutant:
    """`source` with one change. Known by `text`, without its line's number, which moves with what is added above."""

    number: int
    line: str  # as it stands in the source
    change: str
    source: str

    @property
    def text(self) -> str:
        return f"{self.line}  |  {self.change}"

    def __str__(self) -> str:
        return f"line {self.number}: {self.text}"


def mutants(source: str, gradients: bool = True) -> list[Mutant]:
    """Every change of one place in the functions and classes of `source`, each different in what it leads to.

    gradients: whether they matter; without, none is cut or let through.
    """
    tree, lines = ast.parse(source), source.splitlines()
    seen, times, found = {ast.unparse(tree)}, Counter(), []
    for parent, field, index, node, graph in list(_places(tree, gradients)):
        held = getattr(parent, field)
        for new, change in _changes(parent, field, node, graph):
            if not gradients and change in ("no_grad left out", "torch.no_grad() left out", ".detach() left out"):
                continue
            if index is None:
                setattr(parent, field, new)
            else:
                new = new if isinstance(new, list) else [new]
                setattr(parent, field, held[:index] + new + held[index + 1 :] or [ast.Pass()])
            changed = ast.unparse(ast.fix_missing_locations(tree))
            setattr(parent, field, held)
            if changed in seen:
                continue
            seen.add(changed)
            line = lines[node.lineno - 1].split("  #")[0].strip()
            times[line, change] += 1
            again = f" ({times[line, change]})" if times[line, change] > 1 else ""
            found.append(Mutant(node.lineno, line, change + again, changed))
    return found


def _places(node: ast.AST, graph: bool = True) -> Iterator[tuple]:
    """(parent, field, index in it or None, node, graph) of all that may be changed: not validation, words, annotations.

    graph: whether autograd may be following, so that one more `.detach()` could matter.
    """
    if isinstance(node, (ast.FunctionDef, ast.With)):
        graph = graph and "no_grad" not in "".join(
            map(ast.unparse, getattr(node, "decorator_list", None) or getattr(node, "items", ()))
        )
    graph = graph and not (isinstance(node, ast.Call) and _called(node) in CUTS)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "ctx", "type_params"):
            continue
        if field == "targets" and not any(isinstance(target, ast.Subscript) for target in value):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _spared(child):
                if hasattr(child, "lineno"):
                    yield node, field, index, child, graph
                yield from _places(child, graph)


def _spared(node: ast.AST) -> bool:
    """What refuses bad input, which is asked of the library alone, and what only speaks."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.If):
        return all(isinstance(line, ast.Raise) for line in node.body) and not node.orelse
    if isinstance(node, ast.Expr):
        return _spared(node.value) or isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Call) and _called(node).startswith("_check")


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _changes(parent: ast.AST, field: str, node: ast.AST, graph: bool) -> Iterator[tuple]:
    """(what stands in its place: a node, or a list of statements; the change in words)."""
    if isinstance(node, ast.stmt):
        yield from _of_statement(node)
        return
    squared = isinstance(parent, ast.Attribute) and parent.attr in UNSIGNED
    for kind, changes in BY_KIND.items():
        if isinstance(node, kind):
            yield from (change for change in changes(node) if not (squared and change[1] == "sides of - swapped"))
    if graph and _may_carry_a_gradient(parent, field, node):
        yield _method(node, "detach"), f"{ast.unparse(node)} detached"


def _is_module(node: ast.expr) -> bool:
    """torch, torch.nn.functional, self, super(): what a function is taken from, not what it is asked of."""
    if isinstance(node, ast.Attribute):
        return _is_module(node.value) and ast.unparse(node.value) != "self"
    return (_called(node) == "super") if isinstance(node, ast.Call) else getattr(node, "id", "") in MODULES


def _with(node: ast.AST, **fields) -> ast.AST:
    """A shallow copy with other fields; the tree itself is put back after each mutant."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _method(node: ast.expr, name: str) -> ast.Call:
    return ast.Call(ast.Attribute(node, name, ast.Load()), [], [])


def _swapped(items: list, first: int) -> list:
    return [*items[:first], items[first + 1], items[first], *items[first + 2 :]]


def _of_statement(node: ast.stmt):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        for decorator in getattr(node, "decorator_list", ()):
            if "no_grad" in ast.unparse(decorator):
                yield (
                    _with(node, decorator_list=[d for d in node.decorator_list if d is not decorator]),
                    "no_grad left out",
                )
        return
    if isinstance(node, ast.With):
        yield list(node.body), f"{ast.unparse(node.items[0])} left out"
    if isinstance(node, (ast.If, ast.While)):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test)), "condition turned round"
    if isinstance(node, ast.AugAssign):
        for other in OPERATORS.get(type(node.op), ()):
            yield _with(node, op=other()), f"{SIGNS[type(node.op)]}= -> {SIGNS[other]}="
    if isinstance(node, (ast.Return, ast.Assign)) and isinstance(
        node.value, (ast.BinOp, ast.Call, ast.Name, ast.Subscript)
    ):
        yield _with(node, value=ast.UnaryOp(ast.USub(), node.value)), "minus added"
    if not isinstance(node, (ast.Return, ast.Pass)):
        yield [], "left out"


def _of_operation(node: ast.BinOp):
    sign = SIGNS.get(type(node.op), "?")
    for other in OPERATORS.get(type(node.op), ()):
        yield _with(node, op=other()), f"{sign} -> {SIGNS[other]}"
    if isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow)):
        yield _with(node, left=node.right, right=node.left), f"sides of {sign} swapped"
    yield node.left, f"{sign} {ast.unparse(node.right)} left out"
    yield node.right, f"{ast.unparse(node.left)} {sign} left out"


def _of_comparison(node: ast.Compare):
    for index, operator in enumerate(node.ops):
        for other in OPERATORS.get(type(operator), ()):
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield _with(node, ops=ops), f"{SIGNS[type(operator)]} -> {SIGNS[other]}"


def _of_condition(node: ast.BoolOp):
    for other in OPERATORS[type(node.op)]:
        yield _with(node, op=other()), f"{SIGNS[type(node.op)]} -> {SIGNS[other]}"
    for index, value in enumerate(node.values):
        rest = node.values[:index] + node.values[index + 1 :]
        yield (_with(node, values=rest) if len(rest) > 1 else rest[0]), f"{ast.unparse(value)} left out"


def _of_sign(node: ast.UnaryOp):
    if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant) and type(node.operand.value) is int:
        number = node.operand.value
        for other in (number, 1 - number, -number - 1):
            yield ast.Constant(other), f"-{number} -> {other}"
    elif not isinstance(node.op, ast.UAdd):
        yield node.operand, f"{ast.unparse(node).removesuffix(ast.unparse(node.operand)).strip() or 'sign'} left out"


def _of_constant(node: ast.Constant):
    value = node.value
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [1] if value == 0 else [0, 2] if value == 1 else [value + 1]
    elif isinstance(value, float):
        others = [1.0] if value == 0 else [2 * value]
    else:
        return
    for other in others:
        yield ast.Constant(other), f"{value} -> {other}"


def _of_attribute(node: ast.Attribute):
    for other in NAMES.get(node.attr, ()):
        yield _with(node, attr=other), f"{node.attr} -> {other}"
    if node.attr in ("T", "mT", "data"):
        yield node.value, f".{node.attr} left out"


def _of_call(node: ast.Call):
    name, args = _called(node), node.args
    if isinstance(node.func, ast.Name):
        for other in NAMES.get(name, ()):
            yield _with(node, func=ast.Name(other, ast.Load())), f"{name} -> {other}"
    bound = isinstance(node.func, ast.Attribute) and not _is_module(node.func.value)
    if bound:
        yield node.func.value, f".{name}({'...' if args or node.keywords else ''}) left out"
    elif args and not isinstance(args[0], ast.Starred):
        yield args[0], f"{name}(...) left out"
    for first in range(int(name in SYMMETRIC), len(args) - 1):
        yield _with(node, args=_swapped(args, first)), f"arguments {first + 1} and {first + 2} of {name} swapped"
    for index, argument in enumerate(args):
        if index == len(args) - 1 or name == "Sequential":
            yield (
                _with(node, args=args[:index] + args[index + 1 :]),
                f"argument {ast.unparse(argument)} of {name} left out",
            )
    for keyword in node.keywords:
        rest = [other for other in node.keywords if other is not keyword]
        yield _with(node, keywords=rest), f"{ast.unparse(keyword)} of {name} left out"
    over_axis = any(keyword.arg in ("dim", "axis") for keyword in node.keywords) or (args and bound)
    if name in REDUCTIONS and over_axis and not any(keyword.arg == "keepdim" for keyword in node.keywords):
        kept = ast.keyword("keepdim", ast.Constant(True))
        yield _with(node, keywords=[*node.keywords, kept]), f"keepdim=True added to {name}"
    if name == "range":
        for other in ("+", "-"):
            operator = ast.Add() if other == "+" else ast.Sub()
            yield _with(node, args=[*args[:-1], ast.BinOp(args[-1], operator, ast.Constant(1))]), f"range {other} 1"


def _of_sequence(node: ast.Tuple | ast.List):
    for first in range(len(node.elts) - 1):
        yield (
            _with(node, elts=_swapped(node.elts, first)),
            f"{first + 1} and {first + 2} of ({ast.unparse(node)}) swapped",
        )


def _of_subscript(node: ast.Subscript):
    if isinstance(node.ctx, ast.Load):
        yield node.value, f"[{ast.unparse(node.slice)}] left out"


def _of_choice(node: ast.IfExp):
    yield node.body, f"always {ast.unparse(node.body)}"
    yield node.orelse, f"always {ast.unparse(node.orelse)}"


BY_KIND = {
    ast.BinOp: _of_operation, ast.Compare: _of_comparison, ast.BoolOp: _of_condition, ast.UnaryOp: _of_sign,
    ast.Constant: _of_constant, ast.Attribute: _of_attribute, ast.Call: _of_call, ast.Tuple: _of_sequence,
    ast.List: _of_sequence, ast.IfExp: _of_choice, ast.Subscript: _of_subscript,
}  # fmt: skip


def _may_carry_a_gradient(parent: ast.AST, field: str, node: ast.AST) -> bool:
    """A name or attribute that is calculated with: passed on, an operand, returned, or asked for a method."""
    if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(node.ctx, ast.Load):
        return False
    if _is_module(node) or getattr(node, "id", "") in WHOLE:
        return False
    if isinstance(node, ast.Attribute) and node.attr in PLAIN:
        return False
    if isinstance(parent, ast.Call):
        return field == "args" and _called(parent) not in ("len", "int", "isinstance", "range", "super", "zip")
    if isinstance(parent, ast.Attribute):
        return parent.attr not in PLAIN | {"detach", "long", "bool", "data"}
    places = (ast.BinOp, None), (ast.Return, None), (ast.Subscript, "value"), (ast.Tuple, "elts")
    return any(isinstance(parent, kind) and only in (None, field) for kind, only in places)


# ----------------------------------------------------------------------------------------------------------------------
# What a check says of them


class TooLong(BaseException):
    """Not an `Exception`, which an answer might catch and an observation would write down."""


@contextlib.contextmanager
def at_most(seconds: float):
    """`TooLong` after so many seconds: a mutant may loop for ever. For the main thread, and not for Windows."""

    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def drawn(exercise: Exercise) -> list[list]:
    """The calls of each seed, without their training, which is asked only of what survives the rest."""
    return [[dataclasses.replace(call, train=0) for call in draw_calls(exercise, seed)] for seed in SEEDS]


def seeds_taken(exercise: Exercise, answer, calls_of_seeds: list[list], look=observe) -> int:
    """For how many seeds the check takes `answer`. A call that is refused ends its seed: the first of most mutants."""
    bare = dataclasses.replace(exercise, mistakes=())  # which mistake it is does not matter here
    return sum(
        all(judge(bare, [call], [observe(answer, call)], look).status == "right" for call in calls)
        for calls in calls_of_seeds
    )


def fits(text: str, listed: str) -> bool:
    """Whether a mutant's text is the one that is listed, in which … stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, listed.split("…"))), text) is not None


@dataclass
class Result:
    """What became of the mutants of a right answer. lucky: right for some seeds, not for all."""

    known: frozenset[str]  # texts of those that are listed as equivalent
    count: int
    survivors: list[Mutant]
    lucky: list[Mutant]

    @property
    def holes(self) -> list[Mutant]:
        return [mutant for mutant in self.survivors if not any(fits(mutant.text, text) for text in self.known)]

    @property
    def stale(self) -> set[str]:
        """Texts listed as equivalent that no survivor has: no longer made, or no longer right."""
        return {text for text in self.known if not any(fits(mutant.text, text) for mutant in self.survivors)}


def run(
    exercise: Exercise,
    right: Callable,
    known: frozenset[str] = frozenset(),
    *,
    gradients: bool = True,
    listed: bool = True,
    all_seeds: bool = False,
    seconds: float = 5,
) -> Result:
    """Judges the mutants of a right answer, each for at most so many seconds.

    known:     texts of mutants that are listed as equivalent.
    gradients: whether anybody differentiates the results.
    listed:    False takes these for survivors; they are what takes longest.
    all_seeds: goes on when a seed has refused one, to find the lucky.
    """
    calls_of_seeds, look = drawn(exercise), remembering()
    training = [call for call in draw_calls(exercise, 0) if call.train]
    result = Result(known, 0, [], [])
    for mutant in mutants(program_of(right), gradients):
        result.count += 1
        if not listed and any(fits(mutant.text, text) for text in known):
            result.survivors.append(mutant)
            continue
        try:
            with at_most(seconds):
                taken = _taken(exercise, right, mutant, calls_of_seeds, all_seeds, look)
            if taken and training:
                with at_most(12 * seconds):
                    taken *= _taken(exercise, right, mutant, [training], all_seeds, look)
        except TooLong:
            taken = 0
        if taken == len(SEEDS):
            result.survivors.append(mutant)
        elif taken:
            result.lucky.append(mutant)
    return result


def _taken(exercise: Exercise, right: Callable, mutant: Mutant, calls_of_seeds: list[list], all_seeds, look) -> int:
    try:
        with contextlib.redirect_stdout(None), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = answer_from(mutant.source, right)
            first = seeds_taken(exercise, answer, calls_of_seeds[:1], look)
            return first + seeds_taken(exercise, answer, calls_of_seeds[1:], look) if first or all_seeds else 0
    except Exception:  # broken where it is defined
        return 0
