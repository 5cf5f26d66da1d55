"""What a check can know of the notebook that it is called in: which cells were run, and which Python could not read."""

import ast
import re
import sys


def unread_cell(*names: str) -> str | None:
    """Words for the newest cell that defines one of `names`, if Python could not read it: what the name means is then
    an older cell's. None where all is well, and outside of IPython."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return None
    defines = re.compile(rf"^[ \t]*(?:async +def|def|class)[ \t]+(?:{'|'.join(map(re.escape, names))})\b", re.MULTILINE)
    for source in reversed(shell.user_ns.get("In", [])[:-1]):  # the last one is the cell of the check itself
        if defines.search(source):
            return _fault_of(source)
    return None


def _fault_of(source: str) -> str | None:
    """`source` is as IPython keeps it, its magics turned into calls."""
    try:
        compile(source, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # ValueError: a NUL character
        line = getattr(error, "lineno", None)
        text = source.splitlines()[line - 1].strip() if line and line <= len(source.splitlines()) else ""
        where = f"\nline {line}: {text}" if text else ""
        return f"a newer cell, which could not be read: {type(error).__name__}: {getattr(error, 'msg', error)}{where}"
    return None
