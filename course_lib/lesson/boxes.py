"""The whole model in one picture, five boxes with what is really in them; each lesson lights what it is about."""

import functools

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from course_lib import weights
from course_lib.data import samples
from course_lib.language import _
from course_lib.lesson import plots
from course_lib.quantize import flatten_latents

BOXES = ("image", "latents", "codes", "quantized", "reconstruction")
STEPS = ("encode", "measure, choose", "look up", "decode")
OTHERS = ("codebook", "gradient", "losses")
FADED = 0.15  # how much is left of what is not lit


def five_boxes(*lit: str, alt: str = "") -> None:
    """Shows a handwritten seven on its way through a trained VQ-VAE, with its 7 x 7 latents, codes and code vectors.

    lit: names of BOXES, STEPS and OTHERS, the rest is faded; none lights all. "gradient" and "losses" are drawn only
    where they are lit. ValueError names a part that is not there. The picture is the same on every machine.
    """
    for name in lit:
        if name not in (*BOXES, *STEPS, *OTHERS):
            raise ValueError(f"there is no {name!r}; the parts are {', '.join((*BOXES, *STEPS, *OTHERS))}")
    figure = plt.figure(figsize=(10, 3.3), layout="none")
    ground = figure.add_axes((0, 0, 1, 1))
    ground.set(xlim=(0, 10), ylim=(0, 3.3))
    ground.axis("off")
    strength = {name: 1.0 if not lit or name in lit else FADED for name in (*BOXES, *STEPS, *OTHERS)}
    images, colours, codes = _a_seven_on_its_way()
    beneath = (
        _("28 x 28 numbers"),
        _("7 x 7 vectors $x$"),
        _("7 x 7 integers $k$"),
        _("7 x 7 rows $q$"),
        _("28 x 28 numbers"),
    )
    titles = _("image"), _("latents"), _("codes"), _("quantized"), _("reconstruction")
    for i, (name, title, picture, content) in enumerate(zip(BOXES, titles, images, beneath)):
        box = figure.add_axes((0.02 + 0.2 * i, 0.39, 0.14, 0.14 * 10 / 3.3))
        box.imshow(picture, vmin=0, vmax=1, alpha=strength[name])
        box.set(xticks=[], yticks=[])
        box.spines[:].set(visible=True, alpha=strength[name], linewidth=2.5 if name in lit else 1)
        box.set_title(title, loc="center", alpha=max(strength[name], 0.35), weight="bold" if name in lit else None)
        box.set_xlabel(content, fontsize=9, alpha=max(strength[name], 0.35))
        if name == "codes":
            for (row, column), code in zip(torch.cartesian_prod(torch.arange(7), torch.arange(7)), codes):
                box.text(column, row, int(code), ha="center", va="center", fontsize=6, alpha=strength[name])
    steps = _("encode"), _("measure, choose"), _("look up"), _("decode")
    for i, (name, words) in enumerate(zip(STEPS, steps)):
        arrow = {"arrowstyle": "->", "lw": 1.8, "color": plots.INK, "alpha": max(strength[name], 0.35)}
        ground.annotate("", (2.18 + 2 * i, 1.95), (1.65 + 2 * i, 1.95), arrowprops=arrow)
        ground.text(
            1.9 + 2 * i,
            2.03,
            words.replace(", ", ",\n"),
            ha="center",
            va="bottom",
            multialignment="center",
            fontsize=8,
            alpha=max(strength[name], 0.35),
        )
    _codebook(figure, ground, colours, strength["codebook"], "codebook" in lit)
    orange = {"arrowstyle": "->", "lw": 2, "color": plots.BACKWARD}
    if "gradient" in lit:
        ground.annotate("", (3.0, 0.95), (7.0, 0.95), arrowprops=orange | {"connectionstyle": "arc3,rad=-0.12"})
        ground.text(
            7.1, 0.86, _("the gradient, copied\nfrom $q$ to $x$"), fontsize=9, color=plots.BACKWARD, va="center"
        )
    if "losses" in lit:
        for left, right, height, where, words in (
            (0.9, 9.1, 0.2, 8.1, _("reconstruction loss")),
            (2.9, 7.1, 0.85, 5.0, _("codebook and commitment loss")),
        ):
            ground.plot([left, left, right, right], [1.02, height, height, 1.02], color=plots.BACKWARD, lw=2)
            ground.text(
                where,
                height,
                words,
                ha="center",
                va="center",
                fontsize=9,
                color=plots.BACKWARD,
                backgroundcolor="white",
            )
    shown = dict(zip((*BOXES, *STEPS, *OTHERS), (*titles, *steps, _("codebook"), _("gradient"), _("losses"))))
    told = _("Five boxes from an image of a seven by latents, codes, quantized to its copy.")
    if lit:
        told += " " + _("Lit: {parts}.").format(parts=", ".join(shown[name] for name in lit))
    plots.show(figure, alt or told)


def _codebook(figure: plt.Figure, ground: plt.Axes, colours: Tensor, strength: float, lit: bool) -> None:
    """The 64 vectors as coloured squares in two rows, with an arrow to each step that uses them."""
    strip = figure.add_axes((0.32, 0.04, 0.36, 0.36 / 16 * 10 / 3.3))
    strip.imshow(colours.reshape(2, 32, 3), alpha=strength)
    strip.set(xticks=[], yticks=[])
    strip.spines[:].set(visible=True, alpha=strength, linewidth=2.5 if lit else 1)
    strip.set_title(
        _("codebook: {count} vectors $e_k$").format(count=len(colours)),
        loc="center",
        fontsize=9,
        alpha=max(strength, 0.35),
        pad=2,
    )
    for x in (3.9, 5.9):
        arrow = {"arrowstyle": "->", "ls": "--", "color": plots.INK, "alpha": max(strength, 0.35)}
        ground.annotate("", (x, 1.85), (x, 0.6), arrowprops=arrow)


@functools.cache
def _a_seven_on_its_way() -> tuple[list[Tensor], Tensor, Tensor]:
    """Five pictures, the codebook as colours (64, 3), the codes (49,). Like vectors have like colours: the first three
    principal components of the codebook are red, green and blue."""
    model = weights.load("mnist_grid")
    images, labels, *_ = samples.mnist()
    image = images[labels == 7][3]  # (28, 28) uint8
    pixels = image[None, None].float() / 255 - 0.5  # (1, 1, 28, 28)
    with torch.no_grad():
        latents = flatten_latents(model.encoder(pixels))  # (49, 16)
        codes = model.encode(pixels)  # (1, 7, 7)
        copy = model.decode(codes)[0, 0]  # (28, 28)
    codebook = model.quantizer.codebook
    _, _, directions = torch.pca_lowrank(codebook, q=3)  # (16, 3)
    low, high = (codebook @ directions).quantile(torch.tensor([0.02, 0.98]), dim=0)  # (3,) each

    def colours(vectors):
        return ((vectors @ directions - low) / (high - low)).clamp(0, 1) * 0.75 + 0.2

    codes = codes.flatten()  # (49,)
    grids = [colours(vectors).reshape(7, 7, 3) for vectors in (latents, codebook[codes])]
    blank = torch.ones(7, 7, 3)
    return [1 - image / 255, grids[0], blank, grids[1], 0.5 - copy], colours(codebook), codes
