"""How `make test` deals notebooks out to its processes."""

import re

try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:  # one process, then
    LoadScopeScheduling = object


class ByNotebook(LoadScopeScheduling):
    """A notebook goes to one process, cell by cell. Lessons 11 and 14 go on from the model that lesson 10 trains: after it."""

    def _split_scope(self, nodeid):
        scope = super()._split_scope(nodeid)  # the notebook's path
        return "lesson 10 and what goes on from it" if re.search(r"notebooks/1[014]_", scope) else scope


def pytest_xdist_make_scheduler(config, log):
    return ByNotebook(config, log) if config.getvalue("dist") == "loadscope" else None
