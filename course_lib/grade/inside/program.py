"""Finds the lines of a notebook that make an answer, and runs them."""

import __future__

import ast
import contextlib
import dis
import functools
import inspect
import linecache
import re
import sys
import types

MOST_CANDIDATES = 3  # places of one notebook that define the same answer


class Line:
    """A statement of the notebook outside any other: the names that it binds where it stands, those of things of which
    it sets a part (`x.y = ..`, `x[0] = ..`), and those of things on which it calls something (`x.append(..)`)."""

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
        names, left = set(), [self.code]
        while left:
            code = left.pop()
            names |= {step.argval for step in dis.get_instructions(code) if step.opname in READS}
            left += [value for value in code.co_consts if isinstance(value, types.CodeType)]
        return names

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
    """The programs that may define the answer, as `places` has them: lists of `Line`s, or the SyntaxError of a cell."""
    return [program for _, program in places(name, cells)]


def places(name: str, cells: list[dict]) -> list[tuple[int, "list[Line] | SyntaxError"]]:
    """(number of the cell, program), the last one first, as it is what the student's own kernel is left with. Cells
    that Python cannot read define nothing there, and come after all others.

    A program holds the whole of a cell with the answer's tag; of other cells only what the answer needs, by name:
    imports, functions, constants.
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
    order = sorted(defining | broken, key=lambda index: (index in faults, -index))[:MOST_CANDIDATES]
    programs = [faults.get(i) or _program(name, lines, i, whole=i in tagged) for i in order]
    return [(cells[index]["number"], one) for index, one in zip(order, programs)]


def _parsed(source: str, file: str):
    """The source as Python reads it, and its syntax tree or the error."""
    try:
        return source, ast.parse(source, file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        plain = _as_ipython_reads(source)
        if plain != source:
            return _parsed(plain, file)
        if not isinstance(error, SyntaxError):
            error = SyntaxError(f"Python cannot read this cell: {type(error).__name__}")
        return source, error


def _as_ipython_reads(source: str) -> str:
    """Without the prompts and the common indentation that IPython takes off; `%time`, `x = !ls` and `torch.cdist?` as
    calls, which fail here, as single lines may. Lines keep their numbers."""
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        body = re.sub(r"\A\s*%%.*\n", "\n", source)  # a magic for the whole cell: the cell is still what is asked
        begin = re.match(r"(?:[ \t]*\n)*", body).end()  # empty lines, which would be taken off
        return "\n" * body.count("\n", 0, begin) + TransformerManager().transform_cell(body[begin:])
    except Exception:  # no IPython, or nothing that it can read
        return source


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
    givers: set[int] = set()
    for index in reversed([index for index in binding if index < place]):
        givers.add(index)
        if lines[index].certain:
            break
    below = [index for index in binding if index > place]
    givers = givers or set(below[:1])
    imported = any(lines[index].imports for index in givers)  # what is called of a module does not change it
    return givers | {i for i, line in enumerate(lines) if sought in line.sets or not imported and sought in line.calls}


def run(program: list[Line]) -> tuple[dict, BaseException | None, list[str]]:
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
