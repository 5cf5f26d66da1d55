"""The part of the grader that runs beside a stranger's code: finds the answer, runs it, sends back what was observed.

It knows the question and nothing of what would be right. It stands alone in the sandbox, with `observe` and `wire`.
"""

import __future__

import ast
import contextlib
import dis
import functools
import importlib.abc
import importlib.util
import inspect
import linecache
import re
import sys
import types

import observe
import torch
import wire

MOST_CANDIDATES = 3
MOST_RESULTS = 2**23  # bytes, over all calls


def warm_up() -> None:
    """What the first question would otherwise wait for, in every process anew."""
    torch.set_num_threads(1)
    call = observe.Call((torch.ones(2, 2), torch.ones(2, 2)), ("x", "y"), differentiate=(0, 1), elsewhere=True)
    seen = observe.run_all(lambda x, y: torch.cdist(x, y).square().sum() + (x @ y).argmin(dim=0).sum(), call)
    wire.unpack(wire.pack(seen))


def answer(data: bytes) -> bytes:
    """The reply: a dictionary with "found", the number of candidates, and "syntax", "raised", "refused" or "runs".

    data is two dictionaries, joined. Of this student:
    name:      of the answer.
    cells:     of the notebook, in order: {"number": ..., "source": ..., "tags": [...]}, code alone.
    candidate: which of the places that define the answer; 0 is the likeliest.
    Of every student:
    calls:     what to call it with, the fields of a `Call` each; a `Seed` among the arguments is {"number": ...}.
    given:     source of the module `course_lib.quantize`, as far as this exercise lets an answer use it.
    """
    asked, question = map(wire.unpack, wire.split(data))
    name, cells, candidate = asked["name"], asked["cells"], asked["candidate"]
    calls = [_unpacked_call(call) for call in question["calls"]]
    torch.set_num_threads(1)
    sys.meta_path.insert(0, _Course(question["given"]))
    try:
        return wire.pack(_answer(name, cells, calls, candidate))
    except wire.Unacceptable as error:
        return wire.pack({"found": len(candidates(name, cells)), "refused": str(error)})


def _unpacked_call(fields: dict):
    args = tuple(observe.Seed(**arg) if type(arg) is dict else arg for arg in fields["args"])
    return observe.Call(**fields | {"args": args})


def _answer(name: str, cells: list[dict], calls: list, candidate: int) -> dict:
    programs = candidates(name, cells)
    if candidate >= len(programs):
        return {"found": len(programs)}
    program = programs[candidate]
    if isinstance(program, SyntaxError):
        return {"found": len(programs), "syntax": [program.lineno, str(program.msg), (program.text or "").rstrip()]}
    space, error, failed = run(program)
    found = {"found": len(programs), "failed imports": failed}
    if name not in space:
        return found | {"raised": _raised(error, program)} if error else {"found": 0}
    if not callable(space[name]):
        return found | {"refused": f"{name} is of type {type(space[name]).__name__}, no function or class"}
    runs, room = [], MOST_RESULTS
    for call in calls:
        try:
            seen = observe.run_all(space[name], call)
        except MemoryError:
            raise
        except BaseException as error:  # KeyboardInterrupt, or a stranger's own
            return found | {"raised": _raised(error, program)}
        for observation in seen.values():
            room -= _size(observation)
            if room < 0:
                raise wire.Unacceptable(f"results of more than {MOST_RESULTS >> 20} MiB")
            if "raised" in observation:
                raised = observation["raised"]
                observation["raised"] = [raised.kind, raised.message[:2000], raised.line, raised.source[:500]]
        runs.append(seen)
        if runs[0]["plain"].get("raised", [""])[0] == "NotImplementedError":
            break  # most likely the stub, which would say the same each time
    return found | {"runs": runs}


def _size(observation: dict) -> int:
    """Bytes, about."""
    tensors = [value for value in observation.values() if type(value) is torch.Tensor]
    return 100 * len(observation) + sum(wire.extent(tensor) * tensor.element_size() for tensor in tensors)


# ----------------------------------------------------------------------------------------------------------------------
# Finding the answer


class Line:
    """A statement of the notebook outside any other: the names that it binds where it stands, those of things of which it
    sets a part (`x.y = ..`, `x[0] = ..`), and those of things on which it calls something (`x.append(..)`)."""

    def __init__(self, node: ast.stmt, cell: int, file: str, flags: int):
        self.node, self.cell, self.file, self.flags = node, cell, file, flags
        self.binds: set[str] = set()
        self.sets: set[str] = set()
        self.calls: set[str] = set()
        self._look_at(node)
        self.imports = isinstance(node, (ast.Import, ast.ImportFrom))
        self.certain = not isinstance(node, (ast.If, ast.Try, ast.For, ast.While, ast.With, ast.Match))

    @functools.cached_property
    def code(self) -> types.CodeType:
        return compile(ast.Module([self.node], []), self.file, "exec", self.flags, dont_inherit=True)

    @functools.cached_property
    def uses(self) -> set[str]:
        """The global names that it reads, in functions too; what a function binds itself is not among them."""
        found, left = set(), [self.code]
        while left:
            code = left.pop()
            found |= {step.argval for step in dis.get_instructions(code) if step.opname in READS}
            left += [value for value in code.co_consts if isinstance(value, types.CodeType)]
        return found

    def _look_at(self, node: ast.AST) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.binds.add(node.name)
            self.calls |= {root for decorator in node.decorator_list if (root := _root(decorator))}
            return
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.binds |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            self.binds.add(node.name)
        elif isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            (self.binds if isinstance(node, ast.Name) else self.sets).add(_root(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            of_a_part = isinstance(node.value.func, ast.Attribute)
            self.calls.add(_root(node.value.func) if of_a_part else _root(next(iter(node.value.args), None)))
        for child in ast.iter_child_nodes(node):
            self._look_at(child)


READS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF"}


def _root(node: ast.AST | None) -> str:
    """`x` of `x`, `x.y`, `x[0].y` and `x.y(..)`; of anything else, nothing."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def candidates(name: str, cells: list[dict]) -> list:
    """The programs that may define the answer, the likeliest first: lists of `Line`s, or the SyntaxError of its cell.

    The cell with its tag comes before others that define the name; of several, the last comes first. A program holds the
    whole of a tagged cell; of other cells only what the answer needs, by name: imports, functions, constants.
    """
    trees, faults, flags = {}, {}, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for index, cell in enumerate(cells):
        file = f"<cell {cell['number']}>"
        source, tree = _parsed(cell["source"], file)
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        (faults if isinstance(tree, SyntaxError) else trees)[index] = tree
        for node in getattr(tree, "body", []):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":  # from then on it holds in every cell
                features = [getattr(__future__, alias.name, None) for alias in node.names]
                flags |= sum(feature.compiler_flag for feature in features if feature)
    lines: list[Line] = []
    for index, tree in trees.items():
        file = f"<cell {cells[index]['number']}>"
        try:
            lines += [Line(single, index, file, flags) for node in tree.body for single in _one_name_each(node)]
        except RecursionError:
            faults[index] = SyntaxError("Python cannot read this cell: it is nested too deeply")
    tagged = [index for index, cell in enumerate(cells) if f"answer:{name}" in cell["tags"]]
    defining = {line.cell for line in lines if name in line.binds and not line.imports}
    broken = {i for i in faults if i in tagged or re.search(rf"\b(def|class)\s+{name}\b", cells[i]["source"])}
    order = sorted(defining | broken, key=lambda index: (index in faults, index not in tagged, -index))
    return [faults.get(i) or _program(name, lines, i, whole=i in tagged) for i in order[:MOST_CANDIDATES]]


def _parsed(source: str, file: str):
    """The source as Python reads it, and its syntax tree or the error."""
    try:
        return source, ast.parse(source, file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        plain = _without_magics(source)
        if plain is not None and plain != source:
            return _parsed(plain, file)
        if not isinstance(error, SyntaxError):
            error = SyntaxError(f"Python cannot read this cell: {type(error).__name__}")
        return source, error


def _without_magics(source: str) -> str | None:
    """What IPython makes of `%time`, `x = !ls` and `torch.cdist?`: calls, which fail here, as single lines may. None where
    there is nothing of the kind, or no IPython."""
    if not re.search(r"[%!?]", source):
        return None
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        body = re.sub(r"\A\s*%%.*\n", "\n", source)  # a magic for the whole cell: the cell is still what is asked
        return TransformerManager().transform_cell(body)
    except Exception:
        return None


def _one_name_each(node: ast.stmt) -> list[ast.stmt]:
    """`import a, b` as two lines: where one fails, the other is there."""
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        return [node]
    fixed = {} if isinstance(node, ast.Import) else {"module": node.module, "level": node.level}
    return [ast.copy_location(type(node)(names=[alias], **fixed), node) for alias in node.names]


def _program(name: str, lines: list[Line], cell: int, whole: bool) -> "list[Line] | SyntaxError":
    """The lines that define the answer, and for every name that one of them uses the line that gave it its value: the
    last one above, as when the notebook is run from the top, else the first one below."""
    own = {index for index, line in enumerate(lines) if line.cell == cell and (whole or name in line.binds | line.sets)}
    try:
        left = [(index, lines[index].uses) for index in own]
    except SyntaxError as error:  # one that a tree does not show: `return` outside a function
        return error
    chosen = own | {index for index, line in enumerate(lines) if "*" in line.binds or name in line.sets}
    while left:
        place, names = left.pop()
        for sought in names:
            for index in _givers(lines, sought, place) - chosen:
                with contextlib.suppress(SyntaxError):
                    left.append((index, lines[index].uses))
                    chosen.add(index)
    return [lines[index] for index in sorted(chosen)]


def _givers(lines: list[Line], sought: str, place: int) -> set[int]:
    """The lines that make `sought` what it is for a line at that place."""
    binding = [index for index, line in enumerate(lines) if sought in line.binds]
    found: set[int] = set()
    for index in reversed([index for index in binding if index < place]):
        found.add(index)
        if lines[index].certain:
            break
    found = found or {index for index in binding if index > place and index == min(i for i in binding if i > place)}
    imported = any(lines[index].imports for index in found)  # what is called of a module does not change it
    return found | {i for i, line in enumerate(lines) if sought in line.sets or not imported and sought in line.calls}


# ----------------------------------------------------------------------------------------------------------------------
# Running it


def run(program: list[Line]):
    """The names that it leaves, the first error in a line that was no import, and the imports that failed, in words."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    error, failed = None, []
    for line in program:
        try:
            if not line.code.co_flags & inspect.CO_COROUTINE:  # `await` outside a function wants a loop of events
                exec(line.code, vars(module))
        except BaseException as raised:  # sys.exit() too: what stands below it may be the answer
            if isinstance(raised, MemoryError):
                raise
            if line.imports:
                failed.append(f"{ast.unparse(line.node)[:200]}: {raised}"[:500])
            else:
                error = error or raised
    return vars(module), error, failed


def _raised(error: BaseException, program: list[Line]) -> list:
    """Where a cell failed before it had defined the answer, as `observe` writes it."""
    files, trace, at = {line.file for line in program}, error.__traceback__, None
    while trace:
        if trace.tb_frame.f_code.co_filename in files:
            at = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    try:
        message = str(error)
    except Exception:  # a stranger's class of errors
        message = ""
    return [type(error).__name__, message[:2000], at and at[1], linecache.getline(*at).strip()[:500] if at else ""]


class _Course(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """`course_lib.quantize` as far as it is given; of the rest of the course nothing can be imported."""

    def __init__(self, given: str):
        self.given = given

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] != "course_lib":
            return None
        if name not in ("course_lib", "course_lib.quantize"):
            raise ModuleNotFoundError(f"{name} is not there when an answer is graded", name=name)
        return importlib.util.spec_from_loader(name, self, is_package=name == "course_lib")

    def exec_module(self, module):
        if module.__name__ == "course_lib.quantize":
            exec(compile(self.given, "<course_lib.quantize>", "exec"), vars(module))
