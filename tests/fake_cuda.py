"""A GPU that is not there: its tensors say that they are on `cuda:0`, hold numbers, and refuse what CUDA refuses.

Within `a_gpu()` PyTorch finds one GPU. What is made on it or moved to it is a `_OnCuda`; each operation on such tensors
runs on the CPU, once it is sure that CUDA would have run it: no operand is left on the CPU, but for numbers (0-d) among
pointwise operands and for indices; a generator is the device's own. Values are those of a CPU to the last bit. So
control flow that depends on data works, and whole lessons run; what a GPU rounds otherwise, and its speed, stay unseen.
"""

from collections import Counter
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
aten = torch.ops.aten
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
TAKES_A_NUMBER = {aten.masked_fill, aten.masked_fill_, aten.fill, aten.fill_, aten.index_put, aten.index_put_}
TAKES_A_NUMBER |= {aten._index_put_impl_, aten._foreach_add_, aten._foreach_mul_, aten._foreach_div_, aten.mse_loss}


class _OnCuda(torch.Tensor):
    """`value` is the tensor on the CPU, which shares its memory."""

    @staticmethod
    def __new__(cls, value: torch.Tensor):
        self = torch.Tensor._make_subclass(cls, value, False)
        self.value = value
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    # To C++ it lies on the CPU, so that the autograd engine asks for no stream; to Python it does not.

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def to(self, *args, **kwargs):
        if args and isinstance(args[0], torch.Tensor):
            args = args[0].device, args[0].dtype
        copy = kwargs.pop("copy", False)
        device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        dtype = dtype or self.dtype
        if device is None or _known(device) == CUDA:
            return torch.Tensor.to(self, dtype, copy=copy, memory_format=memory_format or torch.preserve_format)
        return aten._to_copy(self, dtype=dtype, device=device)

    def cpu(self):
        return self.to("cpu")

    def cuda(self, device=None):
        return self

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, other):
        torch.Tensor.data.__set__(self, other)
        self.value = other.value

    # what torch.Tensor does itself, and refuses subclasses

    def numpy(self, **options):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it to host memory.")

    def tolist(self):
        return self.detach().cpu().tolist()

    def __repr__(self, **options):
        return f"{self.value!r}, on {CUDA}"

    def __format__(self, spec):
        return format(self.detach().cpu(), spec)

    def __deepcopy__(self, memo):
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        if hasattr(self, "_is_param"):
            copied._is_param = self._is_param
        return memo.setdefault(id(self), copied)


class _Generator(torch.Generator):
    """One that says on which device it is."""

    def __new__(cls, device="cpu"):
        self = super().__new__(cls)
        self.on = _known(device)
        return self

    def __init__(self, device="cpu"):
        pass

    @property
    def device(self):
        return self.on


def _known(device) -> torch.device:
    device = torch.device(device)
    if device.type == "cuda" and device.index not in (None, -1, 0):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return CUDA if device.type == "cuda" else device


def _run(func, args, kwargs):
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = {id(tensor.value): tensor for tensor in tensors if isinstance(tensor, _OnCuda)}
    asked = kwargs.get("device")
    if asked is not None and implied and implied[-1]:
        asked = CUDA
    target = _known(asked) if asked is not None else CUDA if there else CPU
    if func.overloadpacket is aten.copy_:  # goes from one device to the other
        target = args[0].device
    elif there:
        _refuse_a_mixture(func, args, kwargs)
    if not there and target == CPU:
        return func(*args, **kwargs)
    if torch.Tag.inplace_view in func.tags:  # a shape changes: that of `value` below, and here its own
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
    if asked is not None:
        kwargs = kwargs | {"device": CPU}
    args, kwargs = tree_map(lambda leaf: leaf.value if isinstance(leaf, _OnCuda) else leaf, (args, kwargs))
    calls[func.overloadpacket] += 1
    return tree_map(
        lambda leaf: there.get(id(leaf)) if id(leaf) in there else
        _OnCuda(leaf) if isinstance(leaf, torch.Tensor) and target == CUDA else leaf,
        func(*args, **kwargs),
    )  # fmt: skip


def _refuse_a_mixture(func, args, kwargs) -> None:
    packet = func.overloadpacket
    number = torch.Tag.pointwise in func.tags or packet in TAKES_A_NUMBER
    for argument, given in zip(func._schema.arguments, [*args, *kwargs.values()]):
        if argument.name == "indices" and packet in INDEXED and isinstance(args[0], _OnCuda):
            continue
        for tensor in tree_leaves(given):
            if isinstance(tensor, torch.Tensor) and not isinstance(tensor, _OnCuda):
                written = argument.alias_info is not None and argument.alias_info.is_write
                if tensor.dim() or written or not number:
                    raise RuntimeError(
                        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
                        f"cpu! ({argument.name} of {func})"
                    )


class _Operations(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls):
        return False  # else its import, of some seconds, comes with the first operation

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Knows what the caller wrote: the generator's own object; and whether a device was named, or is the operands'."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, _OnCuda)]
        implied.append(bool(operands) and "device" not in kwargs)
        try:
            result = func(*args, **kwargs)
        finally:
            implied.pop()
        generator = kwargs.get("generator")
        if generator is not None and result.device.type != generator.device.type:
            raise RuntimeError(
                f"Expected a '{result.device.type}' device type for generator but found '{generator.device.type}'"
            )
        return result


class _Autocast(torch.autocast):
    """Under autocast on CUDA the CPU's own is at work; one for the CPU reaches nothing that lies on CUDA."""

    def __init__(self, device_type, *args, **kwargs):
        self.elsewhere = device_type != "cuda"
        super().__init__("cpu", *args, **kwargs)

    def __enter__(self):
        return self if self.elsewhere else super().__enter__()

    def __exit__(self, *exception):
        return None if self.elsewhere else super().__exit__(*exception)


implied = []  # for each call at work: what C++ makes within it for an operand on CUDA belongs there
calls = Counter()  # operations on the GPU since `a_gpu()` began: name -> how often


def _save(state, *args, **kwargs):
    return torch_save(
        tree_map(lambda leaf: leaf.detach().cpu() if isinstance(leaf, _OnCuda) else leaf, state), *args, **kwargs
    )


def _load(*args, map_location=None, **kwargs):
    state = torch_load(*args, map_location="cpu", **kwargs)
    return tree_map(lambda leaf: leaf.to(map_location or "cpu") if isinstance(leaf, torch.Tensor) else leaf, state)


torch_save, torch_load = torch.save, torch.load


def _set_rng_state(state, device="cuda"):
    calls["set_rng_state"] += 1
    torch.set_rng_state(state)


@contextmanager
def a_gpu():
    # The engine counts GPUs at its first backward, and starts a thread for each, after which no process may fork: so
    # let it count before one appears. Without threads it runs all in this one.
    torch.ones((), requires_grad=True).backward()
    if not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
        pytest.skip("the GPU that is not there needs a newer PyTorch")
    torch._C._ensureCUDADeviceGuardSet()
    calls.clear()
    here = {
        "is_available": lambda: True, "_lazy_init": lambda: None, "device_count": lambda: 1,
        "current_device": lambda: 0, "synchronize": lambda device=None: None, "set_device": _known,
        "get_device_name": lambda device=None: "no GPU", "is_bf16_supported": lambda *a, **k: True,
        "get_rng_state": lambda device="cuda": torch.get_rng_state(), "set_rng_state": _set_rng_state,
    }  # fmt: skip
    before = torch._C._only_lift_cpu_tensors(), torch.__future__.get_swap_module_params_on_conversion()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") is made on the CPU, then moved
    torch.__future__.set_swap_module_params_on_conversion(True)  # a moved parameter stays the same object
    try:
        with (
            mock.patch.multiple(torch.cuda, **here),
            mock.patch.multiple(torch, Generator=_Generator, autocast=_Autocast, save=_save, load=_load),
            mock.patch.object(optimizer, "_foreach_supported_types", [*optimizer._foreach_supported_types, _OnCuda]),
            torch.autograd.set_multithreading_enabled(False),
            _Operations(),
            _Calls(),
        ):
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before[0])
        torch.__future__.set_swap_module_params_on_conversion(before[1])
