"""The part of the grader that runs beside a stranger's code: finds the answer, runs it, sends back what was observed.

It knows the question and nothing of what would be right. It stands alone in the sandbox, with `observe` and `wire`.
"""

import ast
import builtins
import contextlib
import dis
import functools
import importlib.abc
import importlib.util
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
    return 100 * len(observation) + sum(tensor.numel() * tensor.element_size() for tensor in tensors)


# ----------------------------------------------------------------------------------------------------------------------
# Finding the answer


class Line:
    """A statement of the notebook outside any other, with the names that it binds and those that it needs from others."""

    def __init__(self, node: ast.stmt, cell: int, file: str):
        self.node, self.cell, self.file = node, cell, file
        self.binds, self.imports = _bound(node), isinstance(node, (ast.Import, ast.ImportFrom))

    @functools.cached_property
    def code(self) -> types.CodeType:
        return compile(ast.Module([self.node], []), self.file, "exec")

    @functools.cached_property
    def uses(self) -> set[str]:
        """The global names that it reads, in functions too; what a function binds itself is not among them."""
        found, left = set(), [self.code]
        while left:
            code = left.pop()
            found |= {step.argval for step in dis.get_instructions(code) if step.opname in READS}
            left += [value for value in code.co_consts if isinstance(value, types.CodeType)]
        return found


READS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF"}


def candidates(name: str, cells: list[dict]) -> list:
    """The programs that may define the answer, the likeliest first: lists of `Line`s, or the SyntaxError of its cell.

    The cell with its tag comes before others that define the name; of several, the last comes first. A program holds the
    whole of a tagged cell; of other cells only what the answer needs, by name: imports, functions, constants.
    """
    lines: list[Line] = []
    faults: dict[int, SyntaxError] = {}
    for index, cell in enumerate(cells):
        file = f"<cell {cell['number']}>"
        source, tree = _parsed(cell["source"], file)
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        if isinstance(tree, SyntaxError):
            faults[index] = tree
            continue
        try:
            lines += [Line(node, index, file) for node in tree.body]
        except RecursionError:
            faults[index] = SyntaxError("Python cannot read this cell: it is nested too deeply")
    tagged = [index for index, cell in enumerate(cells) if f"answer:{name}" in cell["tags"]]
    defining = {line.cell for line in lines if name in line.binds and not line.imports}
    broken = {i for i in faults if i in tagged or re.search(rf"\b(def|class)\s+{name}\b", cells[i]["source"])}
    order = sorted(defining | broken, key=lambda index: (index in faults, index not in tagged, -index))
    return [faults.get(i) or _program(name, lines, i, whole=i in tagged) for i in order[:MOST_CANDIDATES]]


def _parsed(source: str, file: str):
    """The source without what only IPython reads, and its syntax tree or the error."""
    try:
        return source, ast.parse(source, file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        plain = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
        if plain != source:
            return _parsed(plain, file)
        if not isinstance(error, SyntaxError):
            error = SyntaxError(f"Python cannot read this cell: {type(error).__name__}")
        return source, error


def _program(name: str, lines: list[Line], cell: int, whole: bool) -> "list[Line] | SyntaxError":
    own = [line for line in lines if line.cell == cell and (whole or name in line.binds)]
    chosen = set(own)
    try:
        wanted = set().union(*(line.uses for line in own))
    except SyntaxError as error:  # one that a tree does not show: `return` outside a function
        return error
    settled = set().union(*(line.binds for line in own)) | set(dir(builtins))
    while missing := wanted - settled:
        settled |= missing
        for sought in missing:
            there = [line for line in lines if sought in line.binds and line not in chosen]
            for line in [line for line in there if line.cell < cell] or there:
                with contextlib.suppress(SyntaxError):
                    wanted |= line.uses
                    chosen.add(line)
    chosen |= {line for line in lines if "*" in line.binds}
    return [line for line in lines if line in chosen]


def _bound(node: ast.AST) -> set[str]:
    """The names that a statement binds or changes where it stands: `x = ..`, `x.y = ..`, `x[0] = ..`, def, class, import."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        return {node.id} if isinstance(node, ast.Name) else set()
    if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return set()
    return set().union(*(_bound(child) for child in ast.iter_child_nodes(node)))


# ----------------------------------------------------------------------------------------------------------------------
# Running it


def run(program: list[Line]):
    """The names that it leaves, the first error in a line that was no import, and the imports that failed, in words."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    error, failed = None, []
    for line in program:
        try:
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
