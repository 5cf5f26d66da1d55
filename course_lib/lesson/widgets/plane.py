"""The plane: latents and codes in two dimensions, to be dragged, stepped and played. `plane.js` is its other half."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from torch import Tensor

from course_lib import quantize
from course_lib.language import _
from course_lib.lesson import plots
from course_lib.lesson.widgets import Widget

MOST = {"latents": 5000, "codebook": 64, "embed_sum": 64}  # rows
METHODS = ("kmeans", "ema", "gradient")
LAYERS = ("cells", "lines", "trails", "straight_through", "rotation", "losses")
CONTROLS = ("steps", "update", "codes", "dead", "data", "show", "figures", "counts", "curves", "share")


class Points(traitlets.List):
    """Points of the plane as [[x, y], ...]; takes a tensor (rows, 2) or anything that makes one."""

    def validate(self, owner, value):
        return super().validate(owner, _pairs(self.name, value))


class Names(traitlets.List):
    """Some of the names that there are, in any order."""

    def __init__(self, names: tuple[str, ...], default: tuple[str, ...], **options):
        super().__init__(traitlets.Unicode(), list(default), **options)
        self.names = names

    def validate(self, owner, value):
        unknown = [name for name in value if name not in self.names]
        if unknown:
            raise ValueError(f"{self.name} has {unknown}; wanted some of {', '.join(self.names)}")
        return super().validate(owner, list(value))


class Plane(Widget):
    """Latents (dots) and codes (numbered squares) in the plane, each latent in the colour of its nearest code.

    latents: (N, 2) floats, or None for a drawn `data` set of so many `points`. codebook: (K, 2) floats, or None for
    `codebook_size` codes from `start`. Everything else is a trait, by name:

    - `method`, one of `methods`: what a step does: "kmeans", "ema" (`decay`, `eps`) or "gradient" (`learning_rate`,
      `codes_move`, `encoder_moves`, `commitment_weight`); `batch_size` latents in turn, or all where it is 0.
    - `threshold`: codes with a smaller count are dead; `auto_restart` restarts them after each step.
    - `target`: [x, y], where the decoder would like every q to be, or [] for where each latent was at first.
    - `show`: what is drawn (`LAYERS`). `controls`: what can be set and seen beside the picture (`CONTROLS`).
    - `latent`: the one that is picked at first. `caption`: a text in place of the widget's own.
    - `words`: what the lesson calls things, as {"latent": "marble", "code": "bucket"}.

    In a notebook all of it works both ways: `plane.codebook = tensor` moves the codes, and after a drag
    `plane.tensor("codebook")` gives them back.
    """

    name = "plane"
    latents = Points(help="(N, 2)").tag(sync=True)
    codebook = Points(help="(K, 2)").tag(sync=True)
    cluster_size = traitlets.List(traitlets.Float(), help="(K,), the moving counts").tag(sync=True)
    embed_sum = Points(help="(K, 2), the moving sums").tag(sync=True)
    step = traitlets.Int(0, min=0).tag(sync=True)
    data = traitlets.Enum(("given", "blobs", "ring", "moons", "spiral", "own"), "blobs").tag(sync=True)
    points = traitlets.Int(600, min=0, max=MOST["latents"]).tag(sync=True)
    seed = traitlets.Int(0, min=0).tag(sync=True)
    codebook_size = traitlets.Int(8, min=1, max=MOST["codebook"]).tag(sync=True)
    start = traitlets.Enum(("normal", "uniform", "kmeans"), "normal").tag(sync=True)
    method = traitlets.Enum(METHODS, "kmeans").tag(sync=True)
    methods = Names(METHODS, METHODS).tag(sync=True)
    decay = traitlets.Float(0.9, min=0, max=math.nextafter(1, 0)).tag(sync=True)
    eps = traitlets.Float(1e-5, min=0).tag(sync=True)
    batch_size = traitlets.Int(0, min=0).tag(sync=True)
    learning_rate = traitlets.Float(0.5, min=0).tag(sync=True)
    commitment_weight = traitlets.Float(0.25, min=0).tag(sync=True)
    codes_move = traitlets.Bool(True).tag(sync=True)
    encoder_moves = traitlets.Bool(False).tag(sync=True)
    threshold = traitlets.Float(0.5, min=0).tag(sync=True)
    auto_restart = traitlets.Bool(False).tag(sync=True)
    target = traitlets.List(traitlets.Float()).tag(sync=True)
    show = Names(LAYERS, ("cells",)).tag(sync=True)
    controls = Names(CONTROLS, CONTROLS).tag(sync=True)
    latent = traitlets.Int(0, min=0).tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    words = traitlets.Dict(traitlets.Unicode(), help="what the lesson calls a latent, a code").tag(sync=True)

    def __init__(self, latents: Tensor | None = None, codebook: Tensor | None = None, **traits):
        self._by_hand = False
        given = None if latents is None else _pairs("latents", latents)
        codes = None if codebook is None else _pairs("codebook", codebook)
        for name, rows in (("latents", given), ("codebook", codes)):
            if rows == []:
                raise ValueError(f"{name} has no rows; wanted a tensor (rows, 2) with at least one")
        if given is not None:
            traits = {"data": "given"} | traits | {"latents": given, "points": len(given)}
        if codes is not None:
            traits |= {"codebook_size": len(codes)}
        methods = traits.get("methods", METHODS)
        super().__init__(**{"method": methods[0] if methods else "kmeans"} | traits)
        if given is None:
            self.latents = draw_latents(self.data, self.points, self.seed)
        if codes is not None:
            self.codebook = codes
        else:
            state = start_codes(self.start, self.codebook_size, self.latents, self.seed)
            self.codebook, self.cluster_size, self.embed_sum = state

    def tensor(self, name: str) -> Tensor:
        """`latents` (N, 2), `codebook` (K, 2), `cluster_size` (K,) or `embed_sum` (K, 2) as it is now, float32."""
        names = "latents", "codebook", "cluster_size", "embed_sum"
        if name not in names:
            raise ValueError(f"there is no tensor {name!r}; wanted one of {', '.join(names)}")
        return torch.tensor(getattr(self, name))

    def set_state(self, sync_data):
        self._by_hand = True  # the front end sends codes and averages together
        try:
            super().set_state(sync_data)
        finally:
            self._by_hand = False

    @traitlets.observe("codebook")
    def _begin_averages(self, change):
        if not self._by_hand:
            self.codebook_size = len(self.codebook)
            self.cluster_size, self.embed_sum = [1.0] * len(self.codebook), self.codebook

    @traitlets.validate("target")
    def _check_target(self, proposal):
        if len(proposal["value"]) not in (0, 2):
            raise ValueError(f"target is {proposal['value']}; wanted [x, y], or [] for where each latent was at first")
        return proposal["value"]

    def still(self) -> tuple[plt.Figure, str]:
        latents, codebook = self.tensor("latents"), self.tensor("codebook")
        codes = quantize.nearest_codes(latents, codebook)  # (N,)
        distortion = quantize.codebook_loss(latents, codebook[codes]).item()
        perplexity = quantize.perplexity(codes, len(codebook)).item()
        used = len(codes.unique())
        figure, ax = plt.subplots(figsize=(7, 4.6), dpi=110, layout="constrained")
        low, high = (fun(torch.cat([latents, codebook]), 0).values for fun in (torch.min, torch.max))
        middle, half = (low + high) / 2, torch.maximum((high - low) / 2, torch.ones(2)) * 1.12
        (left, bottom), (right, top) = (middle - half).tolist(), (middle + half).tolist()
        if "cells" in self.show:
            grid = torch.cartesian_prod(torch.linspace(bottom, top, 240), torch.linspace(left, right, 360)).flip(1)
            region = quantize.nearest_codes(grid, codebook).reshape(240, 360)
            palette = np.array([plots._tint(colour, 0.25) for colour in plots.code_colours(range(len(codebook)))])
            ax.imshow(palette[region], origin="lower", extent=(left, right, bottom, top), aspect="equal")
        if "lines" in self.show:
            for x, q, colour in zip(latents, codebook[codes], plots.code_colours(codes)):
                ax.plot(*torch.stack([x, q]).T, color=colour, linewidth=0.7)
        edges = {"edgecolors": "white", "linewidths": 0.5}
        ax.scatter(*latents.T, s=12 if len(latents) > 100 else 36, c=plots.code_colours(codes), **edges)
        ax.scatter(
            *codebook.T, marker="s", s=150, c=plots.code_colours(range(len(codebook))), edgecolors="black", zorder=3
        )
        for k, code in enumerate(codebook.tolist()):
            ax.annotate(str(k), code, ha="center", va="center", fontsize=8, fontweight="bold", zorder=4)
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        seen = {"distortion": distortion, "perplexity": perplexity, "used": used, "N": len(latents), "K": len(codebook)}
        ax.set_title(_("distortion {distortion:.3f}, perplexity {perplexity:.2f} of {K}").format(**seen))
        alt = _(
            "{N} latents and {K} codes in the plane, each latent coloured by its nearest code. "
            "Distortion {distortion:.3f}, perplexity {perplexity:.2f}; {used} of {K} codes are in use."
        )
        return figure, alt.format(**seen)


def _pairs(name: str, points) -> list[list[float]]:
    """(rows, 2) finite numbers as a list of pairs; of float32, the shortest decimals that are the same float32."""
    if isinstance(points, Tensor):
        points = points.detach().cpu().numpy()
    try:
        array = np.asarray(points).astype(str if getattr(points, "dtype", None) == np.float32 else float).astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no table of numbers; wanted a tensor (rows, 2)") from error
    if array.size == 0:
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} has shape {array.shape}; wanted (rows, 2): the plane has two dimensions")
    if len(array) > MOST[name]:
        raise ValueError(
            f"{name} has {len(array)} rows; the plane draws up to {MOST[name]}. Take some of them, as "
            f"{name}[torch.randperm(len({name}))[:{MOST[name]}]]"
        )
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ValueError(f"{name} has NaN or infinite values, the first in row {row}; wanted finite numbers")
    return array.tolist()


# ----------------------------------------------------------------------------------------------------------------------
# What a plane begins with: the same numbers as in plane.js, so that "Start again" gives what Python gave


def uniform_numbers(seed: int):
    """Mulberry32: endless uniform numbers in [0, 1)."""
    mask = 0xFFFFFFFF
    state = seed & mask
    while True:
        state = (state + 0x6D2B79F5) & mask
        t = ((state ^ state >> 15) * (state | 1)) & mask
        t ^= (t + (t ^ t >> 7) * (t | 61)) & mask
        yield (t ^ t >> 14) / 2**32


def _normal(uniform) -> float:
    return math.sqrt(-2 * math.log(1 - next(uniform))) * math.cos(math.tau * next(uniform))


def _rounded(value: float, digits: int) -> float:
    return math.floor(value * 10**digits + 0.5) / 10**digits  # as Math.round: halves go up


def draw_latents(data: str, points: int, seed: int) -> list[list[float]]:
    """A data set of that name: N latents with four decimals."""
    uniform = uniform_numbers(1000 * seed + 1)
    centres = []
    if data == "blobs":
        for j in range(5):
            angle = math.tau * (j + 0.6 * next(uniform)) / 5
            radius = 0.75 + 0.35 * next(uniform)
            centres.append((2 * radius * math.cos(angle), 1.5 * radius * math.sin(angle)))

    def latent(i):
        if data == "blobs":
            return [centre + 0.3 * _normal(uniform) for centre in centres[i % 5]]
        if data == "ring":
            angle = math.tau * next(uniform)
            radius = 1.6 + 0.13 * _normal(uniform)
            return [radius * math.cos(angle), radius * math.sin(angle)]
        if data == "moons":
            angle, side = math.pi * next(uniform), -1 if i % 2 else 1
            spot = side * (1.4 * math.cos(angle) - 0.7), side * (1.4 * math.sin(angle) - 0.4)
            return [value + 0.13 * _normal(uniform) for value in spot]
        t = math.sqrt(next(uniform))
        radius = 0.2 + 1.8 * t
        spot = radius * math.cos(10 * t), radius * math.sin(10 * t)
        return [value + 0.07 * _normal(uniform) for value in spot]

    return [[_rounded(value, 4) for value in latent(i)] for i in range(points)]


def start_codes(start: str, codebook_size: int, latents: list[list[float]], seed: int):
    """Codes to begin with: (codebook, cluster_size, embed_sum), as a layer of `quantize` would have them."""
    uniform = uniform_numbers(1000 * seed + 2)
    if start == "kmeans":
        flat = torch.tensor(latents, dtype=torch.float64)  # (N, 2)
        codebook = flat[_draw_rows(len(flat), codebook_size, uniform)]  # (K, 2)
        for _ in range(10):
            counts, sums = quantize._count_and_sum(flat, quantize.nearest_codes(flat, codebook), codebook_size)
            codebook = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], codebook)
        return codebook.tolist(), counts.double().tolist(), (codebook * counts[:, None]).tolist()
    draw = (lambda: (2 * next(uniform) - 1) / codebook_size) if start == "uniform" else lambda: _normal(uniform)
    codebook = [[_rounded(draw(), 6) for _ in range(2)] for _ in range(codebook_size)]
    return codebook, [1.0] * codebook_size, codebook


def _draw_rows(length: int, count: int, uniform) -> list[int]:
    rows = []
    while len(rows) < count:
        order = list(range(length))
        for i in range(length - 1, 0, -1):
            j = math.floor(next(uniform) * (i + 1))
            order[i], order[j] = order[j], order[i]
        rows += order
    return list(itertools.islice(rows, count))
