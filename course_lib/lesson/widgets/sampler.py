"""The prior at work: a grid of codes fills code by code, and the reader may be the sampler."""

import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import safetensors.torch
import torch
import traitlets
from torch import Generator, Tensor, nn

from course_lib import weights
from course_lib.language import _, ngettext
from course_lib.lesson.widgets import Widget
from course_lib.models import ConvVQVAE
from course_lib.priors import CodeTransformer, bits_per_code, sample

PANELS = ("bars", "drawing", "samples")


class Sampler(Widget):
    """A transformer prior fills the grid of codes of a VQ-VAE, place by place; the decoder draws what is there so far.

    label: the class that is asked for, 0 to classes - 1, or None for any.
    temperature: >= 0; at 0 the likeliest code is always taken.
    known: (H, W) whole numbers, -1 where a code is still to be drawn: a beginning that is given. The prior draws in
        reading order and hears of what comes before alone, so all that is known has to come first.
    seed: of the draws; the same seed, label, temperature and beginning give the same grid. The first of the widget's
        own, 21, is a typical one: with the stored prior a neat 6, at a cost a little above the mean.
    panels: which parts are shown beside the grid, of "bars", "drawing", "samples".
    vqvae, prior: your own models in place of the stored ones for MNIST: a `ConvVQVAE` of images (`ResNetVQVAE` is one)
        and a `CodeTransformer` over its codes. They are rounded to half precision. A page without a kernel shows the
        still picture in their place, since it has the stored models alone.

    `codes` (rows of whole numbers, -1 where nothing is drawn yet), `label`, `temperature`, `seed` and `samples` can be
    read and set while the widget is shown; `grid` and `sampled` are the codes as tensors.

    Raises `ValueError` for a setting that is none, a beginning with gaps, and models that cannot be shown.
    """

    name = "sampler"
    stored = ("mnist_grid", "mnist_prior")

    codes = traitlets.Any().tag(sync=True)
    given = traitlets.Int(0, min=0, help="how many of the first codes are given, and stay when it begins anew").tag(
        sync=True
    )
    label = traitlets.Any(None).tag(sync=True)
    temperature = traitlets.Any(1.0).tag(sync=True)
    seed = traitlets.Any(21).tag(sync=True)
    samples = traitlets.List(
        traitlets.Dict(), help="finished: codes, label, temperature, seed, given, bits, the row in which it stands"
    ).tag(sync=True)
    panels = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        label: int | None = None,
        temperature: float = 1.0,
        known: Tensor | None = None,
        *,
        seed: int = 21,
        panels: tuple[str, ...] = PANELS,
        vqvae: ConvVQVAE | None = None,
        prior: CodeTransformer | None = None,
    ):
        if unknown := set(panels) - set(PANELS):
            raise ValueError(f"panels holds {', '.join(sorted(unknown))}; there are {', '.join(PANELS)}")
        vqvae_file = weights.read("mnist_grid") if vqvae is None else _half_precision(_checked_vqvae(vqvae))
        prior_file = weights.read("mnist_prior") if prior is None else _half_precision(_checked_prior(prior))
        self._vqvae = weights.load("mnist_grid") if vqvae is None else _at_rest(vqvae)
        self._prior = weights.load("mnist_prior") if prior is None else _at_rest(prior)
        size = len(self._vqvae.quantizer.codebook)
        if self._prior.codebook_size != size:
            raise ValueError(
                f"the prior knows {self._prior.codebook_size} codes, the VQ-VAE has {size}; wanted as many"
            )
        files = {
            "mnist_grid" if vqvae is None else "own_grid": vqvae_file,
            "mnist_prior" if prior is None else "own_prior": prior_file,
        }
        self.stored = tuple(files)
        super().__init__(
            codes=torch.full(self._prior.grid, -1) if known is None else known,
            label=label,
            temperature=temperature,
            seed=seed,
            panels=[panel for panel in PANELS if panel in panels],
            weights=files,
        )
        self.given = int((self.grid >= 0).sum())

    @property
    def grid(self) -> Tensor:
        """(H, W) int64, the codes so far, -1 where nothing is drawn yet."""
        return torch.tensor(self.codes)

    @property
    def sampled(self) -> Tensor:
        """(N, H, W) int64, the codes of the finished samples."""
        found = [one["codes"] for one in self.samples]
        return torch.tensor(found, dtype=torch.int64).reshape(-1, *self._prior.grid)

    @traitlets.validate("codes")
    def _valid_codes(self, proposal) -> list[list[int]]:
        height, width = self._prior.grid
        wanted = f"wanted ({height}, {width}) whole numbers, codes below {self._prior.codebook_size}, -1 where none is"
        codes = torch.as_tensor(proposal["value"])
        if codes.shape != (height, width) or codes.is_floating_point() or codes.is_complex():
            raise ValueError(f"the codes are {codes.dtype} {tuple(codes.shape)}; {wanted}")
        if not ((codes >= -1) & (codes < self._prior.codebook_size)).all():
            raise ValueError(f"the codes reach from {codes.min()} to {codes.max()}; {wanted}")
        missing = (codes.flatten() < 0).int()
        if (missing.diff() < 0).any():
            place = int((missing.diff() < 0).nonzero()[0]) + 1
            raise ValueError(
                f"the code in row {place // width + 1}, column {place % width + 1} is known, and one before it is not. "
                "The prior draws in reading order and hears of earlier codes alone, so what it drew would be no sample "
                "of p(rest | known): give a beginning without gaps"
            )
        return codes.tolist()

    @traitlets.validate("label")
    def _valid_label(self, proposal) -> int | None:
        label = _plain(proposal["value"])
        classes = self._prior.classes
        if label is not None and (type(label) is not int or not 0 <= label < classes):
            wanted = (
                f"a whole number from 0 to {classes - 1}, or None for any" if classes else "None: it has no classes"
            )
            raise ValueError(f"label is {label!r}; wanted {wanted}")
        return label

    @traitlets.validate("temperature")
    def _valid_temperature(self, proposal) -> float:
        temperature = _plain(proposal["value"])
        if type(temperature) not in (int, float) or not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature is {temperature!r}; wanted a finite number >= 0")
        return float(temperature)

    @traitlets.validate("seed")
    def _valid_seed(self, proposal) -> int:
        seed = _plain(proposal["value"])
        if type(seed) is not int or not 0 <= seed < 1_000_000:
            raise ValueError(f"seed is {seed!r}; wanted a whole number from 0 to 999,999")
        return seed

    @torch.no_grad()
    def still(self) -> tuple[plt.Figure, str]:
        """One grid as it fills, and below it finished samples: one of each class, or several of the label."""
        generator = Generator().manual_seed(self.seed)
        height, width = self._prior.grid
        places, classes = height * width, self._prior.classes
        each = self.label is None and classes > 0
        asked = list(range(classes))[:10] if each else [classes if self.label is None else self.label] * 10
        begun = self.grid.expand(len(asked), -1, -1)
        labels = torch.tensor([classes if self.label is None else self.label])
        whole = sample(
            self._prior, 1, labels=labels, temperature=self.temperature, known=begun[:1], generator=generator
        )
        stages = [round(places * part / 9) for part in range(10)]
        filling = whole.flatten(1).repeat(len(stages), 1)  # (10, H W)
        blank = self._vqvae.encode(self._nothing()).flatten(1)[0]  # (H W,)
        for row, count in zip(filling, stages):
            row[count:] = blank[count:]
        drawn = sample(
            self._prior, len(asked), labels=torch.tensor(asked), temperature=self.temperature, known=begun,
            generator=generator,
        )  # fmt: skip
        bits = places * bits_per_code(self._prior(whole, labels), whole)

        figure, axes = plt.subplots(2, 10, figsize=(9, 2.3), layout="constrained")
        for ax in axes.flat:
            ax.axis("off")
        for ax, image, count in zip(axes[0], self._images(filling.reshape(-1, height, width)), stages):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set_title(ngettext("{n} code", "{n} codes", count).format(n=count), fontsize=8, loc="center")
        for ax, image, label in zip(axes[1], self._images(drawn), asked):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set_title(str(label) if label < classes else _("any"), fontsize=8, loc="center")
        names = _("any class") if self.label is None else str(self.label)
        if each:
            names = _("the classes 0 to {last}").format(last=len(asked) - 1)
        alt = _(
            "A grid of {height} by {width} codes in ten stages, from empty to full, drawn by the prior in reading "
            "order: {bits:.0f} bits in place of {even:.0f}. Below, {count} finished samples for {names} at "
            "temperature {heat:g}."
        )
        return figure, alt.format(
            height=height, width=width, bits=bits.item(), even=places * math.log2(self._prior.codebook_size),
            count=len(asked), names=names, heat=self.temperature,
        )  # fmt: skip

    def _nothing(self) -> Tensor:
        """(1, C, H, W) in [-0.5, 0.5]: black, or grey where there are colours."""
        height, width = (side * by for side, by in zip(self._prior.grid, self._vqvae.factors))
        return torch.full((1, self._vqvae.in_channels, height, width), -0.5 if self._vqvae.in_channels == 1 else 0.0)

    def _images(self, codes: Tensor) -> np.ndarray:
        """(B, H', W') -> (B, H, W) greys or (B, H, W, 3) colours in [0, 1]."""
        images = (self._vqvae.decode(codes) + 0.5).clamp(0, 1).movedim(1, -1)
        return images.squeeze(-1).numpy()


def _plain(value):
    """A tensor or NumPy number as Python's own."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _checked_vqvae(model: nn.Module) -> ConvVQVAE:
    if not isinstance(model, ConvVQVAE) or model.axes != 2 or model.in_channels not in (1, 3):
        raise ValueError(
            f"vqvae is of type {type(model).__name__}; wanted a ConvVQVAE of images (axes=2) with 1 or 3 channels, as "
            "ResNetVQVAE is one"
        )
    if any(weight.ndim == 4 and weight.shape[2] != weight.shape[3] for weight in model.parameters()):
        raise ValueError(f"vqvae shortens height and width by {model.factors}; wanted the same stride for both")
    if "quantizer.codebook" not in model.state_dict():
        raise ValueError(
            f"the quantizer is of type {type(model.quantizer).__name__}; wanted VectorQuantizer or VectorQuantizerEMA"
        )
    return model


def _checked_prior(model: nn.Module) -> CodeTransformer:
    if not isinstance(model, CodeTransformer):
        raise ValueError(
            f"prior is of type {type(model).__name__}; wanted a CodeTransformer, the one kind that the widget can run"
        )
    return model


def _half_precision(model: nn.Module) -> bytes:
    """The weights as safetensors in half precision, and beside them what cannot be seen in them."""
    halves = {
        name: value.detach().cpu().half().contiguous()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }
    if broken := [name for name, value in halves.items() if not value.isfinite().all()]:
        raise ValueError(f"{', '.join(broken)} is not finite in half precision; has the training diverged?")
    heads = {"heads": str(model.blocks[0].heads)} if isinstance(model, CodeTransformer) else {}
    return safetensors.torch.save(halves, heads)


def _at_rest(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in eval mode, whose weights are those of the file."""
    return copy.deepcopy(model).cpu().half().float().eval().requires_grad_(False)
