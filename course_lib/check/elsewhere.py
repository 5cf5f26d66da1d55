"""A second device, acted: finds out without a GPU whether an answer makes its new tensors where its inputs lie.

As `observe` it runs beside strangers' code, and imports torch alone.
"""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def why(made_by: str) -> str:
    return f"{made_by} names the CPU" if made_by.endswith(")") else f"{made_by} was not told a device"


_THERE = torch.device("cpu", 0)  # how the device of the inputs reads: none that an answer names by itself is this one
_COPIES = {"tensor", "as_tensor", "asarray"}  # of one tensor: where that is; of a list of them: on the CPU
_FACTORIES = _COPIES.union("arange empty eye full linspace ones rand randint randn randperm zeros".split())


class Elsewhere(TorchFunctionMode):
    """Plays that the tensors from outside lie on a GPU: follows which tensors are made without a device, on the CPU.

    As on a GPU, such a tensor may index another, be copied, or be a single number; any other meeting is a fault.
    """

    fault = ""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        result = function(*args, **kwargs)
        if name == "__get__" and isinstance(result, torch.device) and not getattr(args[0], "_made_by", None):
            return _THERE
        tensors = list(_tensors((args, kwargs)))
        if name in ("cpu", "to", "type_as") and result is args[0]:
            result = result.view_as(result)  # on a GPU a copy: the mark must not stick to what was given
        made_here = [tensor for tensor in tensors if getattr(tensor, "_made_by", None)]
        if name in ("__getitem__", "__setitem__", "copy_", "index_put_"):
            mark = getattr(args[0], "_made_by", None)
        elif name in ("to", "type_as"):
            mark = self._after_to(args, kwargs)
        elif name == "cpu":
            mark = ".cpu()"
        elif name in ("numpy", "__array__") and not made_here:
            self.fault = self.fault or f"{name}() works on the CPU alone"
            return result
        elif not tensors or name in _FACTORIES and not (name in _COPIES and isinstance(args[0], Tensor)):
            device = kwargs.get("device")
            mark = f"torch.{name}" if device is None else f'torch.{name}(device="{device}")'
            mark = None if str(device) == str(_THERE) else mark
        else:
            met = [tensor for tensor in made_here if tensor.ndim > 0]
            if met and len(made_here) < len(tensors):
                self.fault = self.fault or f"{why(met[0]._made_by)}, and {name} brings it together with the inputs"
            mark = made_here[0]._made_by if len(made_here) == len(tensors) else None
        for tensor in _tensors(result):
            tensor._made_by = mark
        return result

    @staticmethod
    def _after_to(args, kwargs):
        targets = [*args[1:], *kwargs.values()]
        for target in targets:
            if isinstance(target, (torch.device, str)):
                return None if str(target) == str(_THERE) else f'.to("{target}")'
            if isinstance(target, Tensor):
                return getattr(target, "_made_by", None)
        return getattr(args[0], "_made_by", None)


def _tensors(value):
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
