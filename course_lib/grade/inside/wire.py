"""What crosses the boundary of the sandbox: a header of JSON with a length before it, then safetensors. Never pickle.

What goes in may hold whatever a `Call` holds. What comes out is written by a stranger: `unpack` looks at lengths before
it reads, and takes plain tensors, numbers, words, lists and dictionaries, and nothing else.
"""

import json
import math
import struct

import safetensors
import safetensors.torch
import torch
from torch import Tensor

LENGTH = struct.Struct(">I")
LENGTH_OF_NAMES = struct.Struct(
    "<Q"
)  # with which safetensors begin: bytes in which the tensors' names and shapes stand
MOST_HEADER, MOST_NAMES = 2**21, 2**17  # bytes
MOST_RESULTS = 2**23  # bytes of all tensors of a reply
MOST_ELEMENTS = 2**21  # of a tensor, an axis of length 0 counted as 1: the others may be of any length beside it
MOST_AXES = 64
UNREADABLE = (struct.error, LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)
UNREADABLE += (RuntimeError, MemoryError, safetensors.SafetensorError)


class Unacceptable(TypeError):
    """A value of a kind that does not cross, or bytes that are no reply. The message says what came."""


def pack(value) -> bytes:
    """The bytes of a tree of tensors, numbers, words, None, tuples, lists, and dictionaries with words for keys.

    Tensors keep the order of their axes in memory: what a transposed tensor does to `.view` is part of a question.
    """
    tensors: dict[str, Tensor] = {}
    tree = _as_json(value, tensors)
    try:
        header = json.dumps(tree, ensure_ascii=False).encode(errors="surrogatepass")  # as `json.loads` decodes it
    except ValueError:
        raise Unacceptable("a number of thousands of digits") from None
    try:
        body = safetensors.torch.save(tensors)
    except (KeyError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise Unacceptable(f"a tensor that cannot be sent: {error}") from None
    return join(header, body)


def unpack(data: bytes, most_header: int = MOST_HEADER):
    """What `pack` was given. `Unacceptable` for anything else, whoever wrote it."""
    try:
        header, body = split(data)
        if len(header) > most_header or LENGTH_OF_NAMES.unpack_from(body)[0] > MOST_NAMES:
            raise ValueError("too long a header")
        tensors = safetensors.torch.load(body)
        if any(tensor.ndim > MOST_AXES or extent(tensor) > MOST_ELEMENTS for tensor in tensors.values()):
            raise ValueError("a tensor too large")
        return _from_json(json.loads(header), tensors)
    except UNREADABLE as error:
        raise Unacceptable(f"no reply of the kind that was wanted: {type(error).__name__}") from None


def extent(tensor: Tensor) -> int:
    return math.prod(max(length, 1) for length in tensor.shape)


def join(first: bytes, second: bytes) -> bytes:
    """Two parts as one message."""
    return LENGTH.pack(len(first)) + first + second


def split(data: bytes) -> tuple[bytes, bytes]:
    """What `join` was given."""
    (length,) = LENGTH.unpack_from(data)
    return data[LENGTH.size : LENGTH.size + length], data[LENGTH.size + length :]


def _as_json(value, tensors: dict):
    """The tree with a tagged list in place of what JSON does not have."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is Tensor:  # exactly: a subclass may answer as it likes
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
            raise Unacceptable(f"a tensor of layout {value.layout} on {value.device}")
        name = f"{len(tensors)}"
        order = sorted(range(value.ndim), key=lambda axis: -value.stride(axis))  # from the slowest axis to the fastest
        value = value.detach().resolve_conj().resolve_neg().permute(order)
        tensors[name] = value.contiguous().clone()  # safetensors takes no shared memory
        return ["tensor", name, order]
    if kind in (tuple, list):
        return [kind.__name__, [_as_json(item, tensors) for item in value]]
    if kind is dict and all(type(key) is str for key in value):
        return ["dict", [[key, _as_json(item, tensors)] for key, item in value.items()]]
    raise Unacceptable(f"{kind.__module__}.{kind.__qualname__}")


def _from_json(value, tensors: dict):
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise ValueError("a bare JSON object")
        return value
    kind, *rest = value
    if kind == "tensor":
        name, order = rest
        tensor = tensors[name]
        if sorted(order) != list(range(tensor.ndim)):
            raise ValueError("no order of the axes")
        return tensor.permute([order.index(axis) for axis in range(tensor.ndim)])
    (items,) = rest
    if kind == "dict":
        return {_word(key): _from_json(item, tensors) for key, item in items}
    return {"tuple": tuple, "list": list}[kind](_from_json(item, tensors) for item in items)


def _word(key) -> str:
    if not isinstance(key, str):
        raise ValueError("a key that is no word")
    return key
