"""How `make test` deals tests and notebooks out to its processes, with pytest-xdist's `--dist loadscope`."""

import re
from pathlib import Path

import pytest

TOGETHER = (
    "test_class.py",
    "test_distributed.py",
    "test_grade_class.py",
    "test_nbgrader.py",
)  # what they set up takes a minute


CHAIN = re.compile(r"notebooks/1[014]_")  # lessons 11 and 14 go on from the model that lesson 10 trains


def pytest_collection_modifyitems(items):
    """The longest first: what is left for the end should be short."""
    items.sort(key=lambda item: CHAIN.search(item.nodeid) is None and "test_distributed" not in item.nodeid)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is one process, and nothing to deal out
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        """A notebook goes to one process, cell by cell, and so does CHAIN, and a file of TOGETHER; others go singly."""

        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if CHAIN.search(file):
                return "lesson 10 and what goes on from it"
            return file if file.endswith(".ipynb") or Path(file).name in TOGETHER else nodeid

    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None
