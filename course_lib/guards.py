"""What `course_lib.quantize` refuses, in one place.

Each function raises a `ValueError`, or a `TypeError` for something of a wrong kind, that says what came and what was
wanted.
"""

import math

import torch
from torch import Tensor


def tensors(**named: Tensor) -> None:
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is of type {type(value).__name__}; wanted a tensor")


def latents(latents: Tensor) -> None:
    """(B, D, *S) of any dtype."""
    tensors(latents=latents)
    if latents.ndim < 2 or latents.shape[1] == 0:
        raise ValueError(f"latents have shape {tuple(latents.shape)}; wanted (B, D, *S), at least two axes, D > 0")


def latents_for_a_layer(latents: Tensor, dim: int, channel_last: bool) -> None:
    """(B, D, *S), or (B, *S, D) with channel_last: floating-point, finite, and at least one vector."""
    tensors(latents=latents)
    wanted = f"(B, *S, {dim})" if channel_last else f"(B, {dim}, *S)"
    if not latents.is_floating_point():
        raise TypeError(f"latents are {latents.dtype}; wanted a floating-point tensor {wanted}")
    if latents.ndim < 2 or latents.shape[-1 if channel_last else 1] != dim:
        other = latents.ndim > 2 and latents.shape[1 if channel_last else -1] == dim
        hint = f"; channel_last={not channel_last} would take it" if other else ""
        raise ValueError(f"latents have shape {tuple(latents.shape)}; wanted {wanted}{hint}")
    if latents.numel() == 0:
        raise ValueError(f"latents have shape {tuple(latents.shape)}: an empty batch; wanted at least one vector")
    finite("latents", latents)


def rows_of(flat: Tensor, shape) -> None:
    """(N, D) that unflattens to `shape`, (B, D, *S)."""
    tensors(flat=flat)
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"shape is of type {type(shape).__name__}; wanted the original (B, D, *S)")
    if len(shape) < 2:
        raise ValueError(f"shape is {tuple(shape)}; wanted the original (B, D, *S), at least two axes")
    wanted = shape[0] * math.prod(shape[2:]), shape[1]
    if flat.shape != wanted:
        raise ValueError(f"flat has shape {tuple(flat.shape)}; {tuple(shape)} unflattens from {wanted}")


def comparable(flat: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D), (K, D) -> both, in the dtype to compare them in."""
    vectors("flat", flat)
    vectors("codebook", codebook)
    if flat.shape[1] != codebook.shape[1]:
        raise ValueError(f"latents have dimension {flat.shape[1]}, codes have {codebook.shape[1]}; they must agree")
    dtype = dtype_to_compare_in(flat, codebook)
    return flat.to(dtype), codebook.to(dtype)


def dtype_to_compare_in(flat: Tensor, codebook: Tensor) -> torch.dtype:
    """float32 or better, whatever mixture of precisions comes."""
    return torch.promote_types(torch.promote_types(flat.dtype, codebook.dtype), torch.float32)


def table(codebook: Tensor) -> None:
    tensors(codebook=codebook)
    if codebook.ndim != 2:
        raise ValueError(f"codebook has shape {tuple(codebook.shape)}; wanted (K, D)")


def averages(cluster_size: Tensor, embed_sum: Tensor) -> None:
    tensors(cluster_size=cluster_size, embed_sum=embed_sum)
    if embed_sum.ndim != 2 or cluster_size.shape != embed_sum.shape[:1]:
        raise ValueError(
            f"cluster_size has shape {tuple(cluster_size.shape)}, embed_sum {tuple(embed_sum.shape)}; "
            "wanted (K,) and (K, D)"
        )


def state(codebook: Tensor, cluster_size: Tensor, embed_sum: Tensor, flat: Tensor) -> None:
    tensors(cluster_size=cluster_size, embed_sum=embed_sum)
    vectors("flat", flat)
    vectors("codebook", codebook)
    shapes = codebook.shape[:1], codebook.shape, codebook.shape[1:]
    if (cluster_size.shape, embed_sum.shape, flat.shape[1:]) != shapes:
        raise ValueError(
            f"codebook {tuple(codebook.shape)}, cluster_size {tuple(cluster_size.shape)}, embed_sum "
            f"{tuple(embed_sum.shape)}, flat {tuple(flat.shape)}; wanted (K, D), (K,), (K, D), (N, D)"
        )


def assignment(flat: Tensor, chosen: Tensor, shape: torch.Size) -> None:
    """(N, D) and the codes (N,) that its rows chose, of a codebook of this shape (K, D)."""
    vectors("flat", flat)
    codes(chosen, shape[0])
    if chosen.shape != flat.shape[:1] or flat.shape[1] != shape[1]:
        raise ValueError(
            f"flat has shape {tuple(flat.shape)}, codes {tuple(chosen.shape)}; wanted (N, {shape[1]}) and (N,)"
        )


def vectors(name: str, vectors: Tensor) -> None:
    tensors(**{name: vectors})
    if not vectors.is_floating_point():
        raise TypeError(f"{name} is {vectors.dtype}; wanted a floating-point tensor")
    if vectors.ndim != 2 or vectors.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(vectors.shape)}; wanted two axes (rows, D), neither of them empty")
    finite(name, vectors)


def finite(name: str, values: Tensor) -> None:
    if math.isfinite(values.detach().sum(dtype=torch.promote_types(values.dtype, torch.float32))):
        return  # ten times faster than to ask each value; a sum that merely overflows is looked into below
    finite = torch.isfinite(values)
    if not finite.all():
        first = tuple((~finite).nonzero()[0].tolist())
        raise ValueError(
            f"{name} has {int((~finite).sum())} NaN or infinite values, the first at index {first}; wanted finite "
            "numbers. Where they come from an encoder, look at its input and at the learning rate"
        )


def codes(codes: Tensor, codebook_size: int) -> None:
    tensors(codes=codes)
    whole("codebook_size", codebook_size, at_least=1)
    if codes.dtype != torch.int64:
        raise TypeError(f"codes are {codes.dtype}; wanted torch.int64")
    if codes.numel() == 0:
        raise ValueError(f"codes have shape {tuple(codes.shape)}; wanted at least one")
    low, high = (int(bound) for bound in torch.aminmax(codes))
    if low < 0 or high >= codebook_size:
        raise ValueError(f"codes run from {low} to {high}; wanted 0 to {codebook_size - 1}")


def same_shape(latents: Tensor, quantized: Tensor) -> None:
    tensors(latents=latents, quantized=quantized)
    if latents.shape != quantized.shape:
        raise ValueError(
            f"latents have shape {tuple(latents.shape)}, quantized has {tuple(quantized.shape)}; they must agree"
        )


def decay(decay: float, eps: float) -> None:
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}; wanted 0 <= decay < 1")
    at_least_0("eps", eps)


def at_least_0(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}; wanted a finite number >= 0")
    return value


def whole(name: str, value: int, at_least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; wanted a whole number")
    if value < at_least:
        raise ValueError(f"{name} is {value}; wanted at least {at_least}")
    return value
