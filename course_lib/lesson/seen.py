"""What a training showed, looked through once: which curve is what, and what wrong inputs are told.

`symptoms.diagnose` judges it; nothing is judged here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.quantize import codebook_usage, perplexity

UPDATES_FOR_A_TREND = 20  # ten stretches of two: fewer show noise
CODES_TO_JUDGE_USAGE = 10  # for each code of the codebook; with fewer, rare codes are missing by chance

# role -> what its name may hold, asked in this order: 'codebook usage' is a usage, 'commitment loss' no loss in general
ROLES = {
    "perplexity": ("perplexity", "ppl"),
    "usage": ("usage", "utili", "active", "in use"),
    "codebook gradient": ("codebook grad", "code grad", "embedding grad"),
    "code length": ("code length", "code norm", "codebook norm", "codebook length"),
    "commitment": ("commit", "e latent"),
    "codebook loss": ("codebook", "embedding", "q latent"),
    "quantiser loss": ("vq", "quant", "latent loss"),
    "nmse": ("nmse", "normalized", "normalised"),
    "error": ("recon", "error", "mse", "rec loss"),
    "loss": ("loss", "total"),
}

# Lesson 05's matrix for a decoder that is given `vq`: whether a loss reaches a part.
FLOWS = {
    f"{loss} -> {part}": part in reached
    for loss, reached in (
        ("reconstruction", ("encoder", "decoder")),
        ("codebook", ("codebook",)),
        ("commitment", ("encoder",)),
    )
    for part in ("encoder", "codebook", "decoder")
}


@dataclass(frozen=True)
class Seen:
    """Everything on the CPU. A role is a key of ROLES."""

    curves: dict[str, Tensor]  # role -> (updates,) float64
    names: dict[str, str]  # role -> what the learner called it
    unread: list[str]  # names that fit no role
    codes: Tensor | None
    size: int | None  # K
    size_is_a_guess: bool
    codebook: Tensor | None
    start: Tensor | None
    latents: Tensor | None
    variance: float | None
    ranks: dict[str, Tensor]
    gradients: dict[str, float]

    @property
    def updates(self) -> int:
        return len(next(iter(self.curves.values()), ()))

    def tenths(self, role: str) -> list[float] | None:
        """Medians over ten equal stretches of a curve; None where there is no such curve, or too short a one."""
        if role not in self.curves or self.updates < UPDATES_FOR_A_TREND:
            return None
        return [part.median().item() for part in self.curves[role].tensor_split(10)]

    def error(self) -> str:
        """The role of the curve that tells the reconstruction error."""
        return "nmse" if "nmse" in self.curves else "error"

    def share_of_the_mean(self) -> tuple[str, list[float]] | None:
        """The reconstruction error as a share of the mean image's, in ten stretches, after the name of its curve."""
        if self.variance is not None and (tenths := self.tenths("error")):
            return self.names["error"], [value / self.variance for value in tenths]
        tenths = self.tenths("nmse")
        return (self.names["nmse"], tenths) if tenths else None

    def opening(self) -> bool:
        """Whether the error has only just begun to fall, so that codes and latents are still finding their places."""
        tenths = self.tenths(self.error())
        return bool(tenths) and tenths[4] > 0.8 * tenths[0] and tenths[-1] < 0.95 * tenths[4]

    def perplexity_of_batches(self) -> float | None:
        """The median of the last tenth of the run."""
        curve = self.curves.get("perplexity")
        return curve[-max(1, len(curve) // 10) :].median().item() if curve is not None else None

    def perplexity_of_codes(self) -> float | None:
        return perplexity(self.codes, self.size).item() if self.codes is not None else None

    def usage(self) -> float | None:
        """Of the data set, where it has codes enough to judge by."""
        if self.codes is None or self.codes.numel() < CODES_TO_JUDGE_USAGE * self.size:
            return None
        return codebook_usage(self.codes, self.size).item()

    def used(self) -> Tensor:
        """(K,) booleans: which codes occur in the data set."""
        return torch.bincount(self.codes.flatten(), minlength=self.size) > 0

    def looked_at(self) -> tuple[str, ...]:
        """What a verdict rests on."""
        said = [f"{self.updates} updates"] if self.updates else []
        said += [role if role == name else f"{role} ('{name}')" for role, name in self.names.items()]
        said += [f"{self.codes.numel():,} codes"] if self.codes is not None else []
        said += [name for name in ("codebook", "start", "latents") if getattr(self, name) is not None]
        said += [f"{len(self.ranks)} ranks"] if self.ranks else []
        said += [f"{len(self.gradients)} gradients"] if self.gradients else []
        return tuple(said)

    def missing(self) -> tuple[str, ...]:
        """What it could have rested on, and does not."""
        said = [f"'{name}' (a name that it does not know)" for name in self.unread]
        if 0 < self.updates < UPDATES_FOR_A_TREND:
            said += [f"trends ({self.updates} updates, wanted {UPDATES_FOR_A_TREND})"]
        elif self.opening():
            said += ["growth and usage for good (the error has only begun to fall: train on and ask again)"]
        if self.size_is_a_guess:
            said += [f"K (taken to be {self.size}, from the highest code: give codebook_size)"]
        if self.codes is None:
            said += ["usage (no codes of a data set)"]
        elif self.usage() is None:
            said += [f"usage ({self.codes.numel():,} codes, wanted {CODES_TO_JUDGE_USAGE} for each of the {self.size})"]
        if self.curves and not self.curves.keys() & {"commitment", "quantiser loss"}:
            said += ["commitment (no such curve)"]
        if "error" in self.curves and "nmse" not in self.curves and self.variance is None:
            said += ["the mean image's error (no data_variance)"]
        if self.codebook is None or self.start is None:
            said += ["whether the codebook moved (needs codebook and start)"]
        if not self.gradients:
            said += ["misplaced detaches (values do not show them: needs gradients)"]
        return tuple(said)


def look_through(history, codes, codebook, start, latents, codebook_size, data_variance, ranks, gradients) -> Seen:
    """The arguments of `symptoms.diagnose`. Raises TypeError or ValueError that says what came and what was wanted."""
    if all(value is None for value in (history, codes, codebook, latents, ranks, gradients)):
        raise ValueError("nothing to look at; wanted at least a history, or codes")
    codebook, start, latents = _table("codebook", codebook), _table("start", start), _table("latents", latents)
    for name, other in (("start", start), ("latents", latents)):
        if codebook is not None and other is not None and other.shape[1] != codebook.shape[1]:
            raise ValueError(
                f"{name} has rows of {other.shape[1]} numbers, codebook of {codebook.shape[1]}; wanted one D"
            )
    if codebook is not None and start is not None and start.shape != codebook.shape:
        raise ValueError(f"start has shape {tuple(start.shape)}, codebook {tuple(codebook.shape)}; wanted the same")
    if data_variance is not None and not (math.isfinite(data_variance) and data_variance > 0):
        raise ValueError(f"data_variance is {data_variance}; wanted a number above 0")
    known = len(codebook) if codebook is not None else codebook_size
    codes, size = _codes(codes, known)
    return Seen(
        *_roles(_curves(history)), codes, size, known is None and size is not None, codebook, start, latents,
        data_variance, _several(ranks), _matrix(gradients),
    )  # fmt: skip


def _curves(history) -> dict[str, Tensor]:
    """name -> (updates,) float64, all of one length."""
    if history is None:
        return {}
    if not isinstance(history, Mapping):
        raise TypeError(
            f"history is of type {type(history).__name__}; wanted name -> list of numbers, as `fit` returns it. "
            "From a list of dicts: {name: [row[name] for row in rows] for name in rows[0]}"
        )
    if not history:
        raise ValueError("history is empty; wanted name -> list of numbers, one for each update")
    curves = {name: _curve(name, values) for name, values in history.items()}
    lengths = {name: len(curve) for name, curve in curves.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        raise ValueError(f"the curves of history have lengths {lengths}; wanted one number for each update in each")
    return curves


def _curve(name, values) -> Tensor:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"history[{name!r}] is {values!r:.60}; wanted a list of numbers")
    try:
        numbers = [value.item() if isinstance(value, Tensor) else float(value) for value in values]
        return torch.tensor(numbers, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"history[{name!r}] holds something that is no number ({error}); wanted a list") from error


def _roles(curves: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Role -> curve, role -> name, and the names that fit no role."""
    roles, names, left = {}, {}, dict(curves)
    if "loss" in left:  # `fit` asks for it by this name
        roles["loss"], names["loss"] = left.pop("loss"), "loss"
    for role, words in ROLES.items():
        fitting = [name for name in left if any(word in re.sub(r"[\W_]+", " ", str(name).lower()) for word in words)]
        if fitting and role not in roles:
            roles[role], names[role] = left.pop(fitting[0]), fitting[0]
    error = next((role for role in ("nmse", "error") if role in roles), None)
    if error and "loss" in roles and not roles.keys() & {"commitment", "quantiser loss"}:
        rest = roles["loss"] - roles[error]  # what else is in the sum, if it is a sum
        if rest.min() > 0:
            roles["quantiser loss"], names["quantiser loss"] = rest, f"{names['loss']} - {names[error]}"
    return roles, names, list(left)


def _codes(codes, size) -> tuple[Tensor | None, int | None]:
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"codebook_size is {size!r}; wanted a whole number of at least 1")
    if codes is None:
        return None, size
    try:
        codes = torch.as_tensor(codes).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"codes are {codes!r:.60}; wanted a tensor of whole numbers") from error
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise TypeError(f"codes are {codes.dtype}; wanted whole numbers: what a quantiser returns second")
    if codes.numel() == 0:
        raise ValueError(f"codes have shape {tuple(codes.shape)}; wanted at least one")
    low, high = int(codes.min()), int(codes.max())
    if low < 0:
        raise ValueError(f"codes go down to {low}. If that marks padding, give the others alone: codes[codes >= 0]")
    if size is not None and high >= size:
        raise ValueError(f"codes go up to {high}, and the codebook has {size}; wanted 0 to {size - 1}")
    return codes.long(), size or high + 1


def _table(name: str, table) -> Tensor | None:
    if table is None:
        return None
    if not isinstance(table, Tensor):
        hint = "; those of several processes go to ranks" if name == "codebook" else ""
        raise TypeError(f"{name} is of type {type(table).__name__}; wanted a tensor{hint}")
    if table.ndim != 2 or table.numel() == 0 or not table.is_floating_point():
        raise ValueError(f"{name} is {table.dtype} of shape {tuple(table.shape)}; wanted floating-point rows (rows, D)")
    return table.detach().cpu().float()


def _several(ranks) -> dict[str, Tensor]:
    if ranks is None:
        return {}
    if not isinstance(ranks, (Mapping, list, tuple)):
        raise TypeError(
            f"ranks is of type {type(ranks).__name__}; wanted a list, or name -> value, one of each process"
        )
    named = ranks if isinstance(ranks, Mapping) else {f"rank {n}": value for n, value in enumerate(ranks)}
    try:
        values = {str(name): torch.as_tensor(value).detach().cpu().double() for name, value in named.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"ranks hold something that is no tensor ({error}); wanted codebooks or curves") from error
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    if len(values) < 2 or len(set(shapes.values())) > 1 or next(iter(values.values())).ndim not in (1, 2):
        raise ValueError(
            f"ranks have shapes {shapes}; wanted two or more codebooks (K, D) of one shape, or curves of one length"
        )
    return values


def _matrix(gradients) -> dict[str, float]:
    if unknown := [name for name in gradients or {} if name not in FLOWS]:
        raise ValueError(f"gradients has {unknown[0]!r}; wanted names of lesson 05's matrix: {', '.join(FLOWS)}")
    return {name: float(value) for name, value in (gradients or {}).items()}
