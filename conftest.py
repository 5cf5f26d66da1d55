"""How `make test` deals tests and notebooks out to its processes, with pytest-xdist's `--dist loadscope`."""

import re
from pathlib import Path

import pytest

TOGETHER = ("test_distributed.py", "test_grade_class.py", "test_nbgrader.py")  # what they set up takes a minute


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is one process, and nothing to deal out
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        """A notebook goes to one process, cell by cell, and so does a file of TOGETHER; other tests go singly.

        Lessons 11 and 14 go on from the model that lesson 10 trains: after it, so in its process.
        """

        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if re.search(r"notebooks/1[014]_", file):
                return "lesson 10 and what goes on from it"
            return file if file.endswith(".ipynb") or Path(file).name in TOGETHER else nodeid

    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None
