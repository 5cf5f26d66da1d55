"""Right answers in other styles, by the name of the exercise: a check that refuses one is wrong."""

from importlib import import_module
from pkgutil import iter_modules

VARIANTS: dict[str, list] = {}
for module in iter_modules(__path__):
    VARIANTS |= import_module(f"{__name__}.{module.name}").VARIANTS
