"""The widget `grid`: a VQ-VAE under one's hand. Draw, see the codes, change one, see what is drawn from them."""

import base64
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex, to_rgb
from PIL import Image
from safetensors.torch import save
from scipy.cluster.hierarchy import leaves_list, linkage
from torch import Tensor, nn

from course_lib import weights
from course_lib.language import N_, _, ngettext
from course_lib.lesson.plots import CODE_COLOURS
from course_lib.lesson.widgets import HERE, Widget
from course_lib.models import ConvVQVAE

DIGITS = tuple("0123456789")
THINGS = (N_("airplane"), N_("automobile"), N_("bird"), N_("cat"), N_("deer"))
THINGS += (N_("dog"), N_("frog"), N_("horse"), N_("ship"), N_("truck"))
SHOWN = {"mnist_grid": ("grid_mnist.png", DIGITS), "cifar10": ("grid_cifar10.png", THINGS)}  # test images, by class
VARIANCE = {1: 0.0949, 3: 0.0633}  # of the training images of MNIST and CIFAR-10 in [0, 1], over all pixels
PLACES = 32  # at most so many rows and columns: more cannot be pointed at
SORTED = 2048  # beyond so many codes, sorting them takes longer than a learner would wait
NIGHT = np.array(to_rgb("#27313b"))  # the colour of a code that draws nothing
SIDES = dict(zip(("top", "right", "bottom", "left", "all over"), (CODE_COLOURS[code] for code in (6, 1, 2, 3, 4))))
FAINT = 0.05  # so little ink, as a share of the most, is none
CENTRED = 0.12  # ink whose centre is nearer to the middle, as a share of half the square, lies all over it
OWN = "own"  # no stored model has this name, so that a page shows the still picture


class Codes(traitlets.List):
    """Rows of codes; a tensor or an array will do. ValueError for a wrong shape, type or range."""

    def validate(self, widget, value) -> list[list[int]]:
        return widget.checked(value)


class Grid(Widget):
    """A VQ-VAE whose codes can be changed by hand.

        widget = Grid()                      # digits; or Grid("cifar10"), or Grid(your_model, images)
        widget.grid                          # (H', W') int64, the codes as they stand now
        widget.codes = vqvae.encode(x)[0]    # and the widget shows what they decode to

    What is drawn or chosen in the widget is here at once, and what is set here is shown there at once.

    Args:
        model: "mnist_grid" or "cifar10", the models that are part of the course, or a trained ConvVQVAE (so also a
            ResNetVQVAE) of images with 1 or 3 channels and values in [-0.5, 0.5]. The widget takes a copy of it as it
            is now, with weights rounded to half precision. On a page only the course's models are alive.
        images: uint8, (N, H, W) or (N, H, W, 3), to choose from; some test images unless given.
        codes: (H', W'), whole numbers in [0, K): what to begin with, instead of the encoder's codes.
        image: which of the images to begin with.
        labels: N words that name the images.
        variance: of the data in [0, 1], by which the error is divided; MNIST's or CIFAR-10's unless given.

    Attributes:
        grid: (H', W') int64, the codes. image: uint8, (H, W) or (H, W, 3), what the model sees. Both can be set; a new
            image is encoded.

    Raises:
        ValueError: a model of another kind or with weights that are not finite; images, codes or labels of a wrong
            shape or type, or out of range.
    """

    name = "grid"
    network = traitlets.Unicode(help="the name of the weights").tag(sync=True)
    shape = traitlets.List(traitlets.Int(), help="H, W, C of an image").tag(sync=True)
    images = traitlets.Unicode(help="base64 of uint8, the images to choose from, one after the other").tag(sync=True)
    labels = traitlets.List(traitlets.Unicode(), help="their names").tag(sync=True)
    pixels = traitlets.Unicode(help="base64 of uint8, the image that is encoded").tag(sync=True)
    codes = Codes(help="H' rows of W' codes").tag(sync=True)
    order = traitlets.List(traitlets.Int(), help="all codes, so that neighbours look alike").tag(sync=True)
    colours = traitlets.List(traitlets.Unicode(), help="of code 0, 1, ...").tag(sync=True)
    hues = traitlets.Dict(help="in greys: where the ink of a code lies -> the hue that says so").tag(sync=True)
    variance = traitlets.Float(help="of the data").tag(sync=True)

    def __init__(
        self,
        model: str | nn.Module = "mnist_grid",
        images: Tensor | None = None,
        codes=None,
        *,
        image: int | None = None,
        labels=None,
        variance: float | None = None,
    ):
        network, content, self._model = _stored(model) if isinstance(model, str) else _own(model)
        channels = self._model.in_channels
        if images is None:
            images, names = _test_images(channels)  # ten, by class
            image = 7 if image is None else image  # a seven, a horse
        else:
            images = _checked_images(images, self._model)
            names = [str(i + 1) for i in range(len(images))]
        names = names if labels is None else [str(label) for label in labels]
        if len(names) != len(images):
            raise ValueError(f"there are {len(names)} labels for {len(images)} images; wanted one for each")
        image = image or 0
        if not 0 <= image < len(images):
            raise ValueError(f"image is {image}; wanted 0 to {len(images) - 1}, as there are {len(images)} images")
        order = _alike(_looks(self._model))
        self.stored = (network,)
        super().__init__(
            network=network,
            weights={network: content},
            shape=[*images.shape[1:3], channels],
            images=_text(images),
            labels=names,
            pixels=_text(images[image]),
            codes=_encode(self._model, images[image]) if codes is None else codes,
            order=order,
            colours=code_colours(self._model),
            hues=SIDES if channels == 1 else {},
            variance=VARIANCE[channels] if variance is None else float(variance),
        )

    @property
    def grid(self) -> Tensor:
        """(H', W') int64: the codes as they stand now."""
        return torch.tensor(self.codes)

    @grid.setter
    def grid(self, codes) -> None:
        self.codes = codes

    @property
    def image(self) -> Tensor:
        """uint8, (H, W) or (H, W, 3): what the model sees now."""
        height, width, channels = self.shape
        flat = torch.frombuffer(bytearray(base64.b64decode(self.pixels)), dtype=torch.uint8)
        return flat.reshape(height, width) if channels == 1 else flat.reshape(height, width, channels)

    @image.setter
    def image(self, image: Tensor) -> None:
        image = _checked_images(torch.as_tensor(image)[None], self._model)[0]
        if list(image.shape[:2]) != self.shape[:2]:
            raise ValueError(f"the image is {_by(image)}; this widget's images are {self.shape[0]} x {self.shape[1]}")
        with self.hold_sync():
            self.pixels, self.codes = _text(image), _encode(self._model, image)

    def checked(self, codes) -> list[list[int]]:
        """Codes of any kind -> lists, if they fit this widget."""
        wanted = tuple(size // by for size, by in zip(self.shape, self._model.factors))
        count = len(self._model.quantizer.codebook)
        codes = torch.as_tensor(codes)
        if tuple(codes.shape) != wanted or codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise ValueError(
                f"the codes have shape {tuple(codes.shape)} and type {codes.dtype}; wanted whole numbers, {wanted}"
            )
        if not 0 <= int(codes.min()) <= int(codes.max()) < count:
            raise ValueError(f"the codes go from {codes.min()} to {codes.max()}; this model has codes 0 to {count - 1}")
        return codes.tolist()

    def still(self) -> tuple[plt.Figure, str]:
        """The image, its codes, and what is drawn from them."""
        with torch.no_grad():
            drawn = self._model.decode(self.grid[None])[0].movedim(0, -1).add(0.5).clamp(0, 1).squeeze(-1)
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
        left.imshow(self.image.numpy(), cmap="gray", vmin=0, vmax=255)
        right.imshow(drawn.numpy(), cmap="gray", vmin=0, vmax=1)
        tiles = [[to_rgb(self.colours[code]) for code in row] for row in self.codes]
        middle.imshow(np.array(tiles))
        rows, columns = self.grid.shape
        for row in range(rows):
            for column in range(columns):
                ink = "black" if np.dot(tiles[row][column], (0.3, 0.59, 0.11)) > 0.45 else "white"
                middle.text(
                    column, row, self.codes[row][column], ha="center", va="center", fontsize=64 / columns, color=ink
                )
        own = ngettext("its {n} code", "its {n} codes", rows * columns).format(n=rows * columns)
        for ax, title in ((left, _("image")), (middle, own), (right, _("drawn from the codes"))):
            ax.set_title(title)
            ax.axis("off")
        count = len(self.colours)
        alt = _(
            "An image of {height} by {width} pixels, its {rows} by {columns} codes out of {count}, each a numbered "
            "tile, and the image that the decoder draws from them."
        )
        height, width = self.shape[:2]
        return figure, alt.format(height=height, width=width, rows=rows, columns=columns, count=count)


def _stored(name: str) -> tuple[str, bytes, nn.Module]:
    if name not in SHOWN:
        raise ValueError(f"there is no model {name!r} for the grid; wanted {', '.join(map(repr, SHOWN))}, or a model")
    return name, weights.read(name), weights.load(name)


def _own(model: nn.Module) -> tuple[str, bytes, nn.Module]:
    """A model of the learner's own -> the bytes of its weights in half precision, and a copy with the same rounding."""
    if not isinstance(model, ConvVQVAE) or model.axes != 2 or model.in_channels not in (1, 3):
        raise ValueError(
            f"the model is a {type(model).__name__}; wanted a ResNetVQVAE (or another ConvVQVAE with axes=2) whose "
            "in_channels is 1 or 3"
        )
    kernels = [layer.kernel_size for layer in model.decoder if isinstance(layer, nn.ConvTranspose2d)]
    if any(high != wide or high % 2 for high, wide in kernels):
        raise ValueError(f"the decoder's transposed kernels are {kernels}; wanted strides that are even and square")
    if model.quantizer.codebook.ndim != 2:
        raise ValueError(f"the codebook has shape {tuple(model.quantizer.codebook.shape)}; wanted one codebook, (K, D)")
    model = copy.deepcopy(model).float().cpu().eval().requires_grad_(False)
    kept = {"quantizer.codebook": model.quantizer.codebook}
    for part in ("encoder", "decoder"):
        kept |= {f"{part}.{name}": value for name, value in getattr(model, part).state_dict().items()}
    halves = {name: value.half().contiguous() for name, value in kept.items()}
    broken = [name for name, value in halves.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(
            f"{', '.join(broken)}: not all numbers are finite in half precision (NaN, or beyond 65,504); did the "
            "training diverge?"
        )
    for name, value in kept.items():
        value.copy_(halves[name])
    return OWN, save(halves), model


def _test_images(channels: int) -> tuple[Tensor, list[str]]:
    """Ten test images of MNIST or CIFAR-10, one of each class, which are part of the course, and their names."""
    file, names = SHOWN["mnist_grid" if channels == 1 else "cifar10"]
    strip = torch.from_numpy(np.array(Image.open(HERE / file)))  # (H, 10 W) or (H, 10 W, 3)
    return torch.stack(strip.chunk(len(names), dim=1)), [_(name) for name in names]


def _checked_images(images: Tensor, model: ConvVQVAE) -> Tensor:
    images = torch.as_tensor(images).detach().cpu()
    wanted = "(N, H, W)" if model.in_channels == 1 else "(N, H, W, 3)"
    fits = images.ndim == 3 if model.in_channels == 1 else images.ndim == 4 and images.shape[3] == 3
    if not fits or images.dtype != torch.uint8 or not len(images):
        raise ValueError(f"the images have shape {tuple(images.shape)} and type {images.dtype}; wanted {wanted}, uint8")
    for size, by in zip(images.shape[1:3], model.factors):
        if size % by or not 0 < size // by <= PLACES:
            raise ValueError(
                f"the images are {_by(images[0])}; wanted height and width divisible by {model.factors}, for at most "
                f"{PLACES} x {PLACES} codes"
            )
    return images


def _encode(model: ConvVQVAE, image: Tensor) -> Tensor:
    """uint8, (H, W) or (H, W, 3) -> (H', W') int64."""
    pixels = image[None] if model.in_channels == 1 else image.movedim(-1, 0)  # (C, H, W)
    return model.encode(pixels[None].float() / 255 - 0.5)[0]


def _looks(model: ConvVQVAE) -> Tensor:
    """(K, C, h, w) in [0, 1]: what the decoder draws at the place of each code.

    Its neighbours lie half way from it to the mean of all codes: like neighbours in an image, they resemble it.
    """
    codebook = model.quantizer.codebook  # (K, D)
    neighbours = (codebook + codebook.mean(0)) / 2
    fields = neighbours[:, :, None, None].repeat(1, 1, 3, 3)  # (K, D, 3, 3)
    fields[:, :, 1, 1] = codebook
    drawn = torch.cat([model.decoder(part) for part in fields.split(64)])
    high, wide = model.factors
    return (drawn[:, :, high : 2 * high, wide : 2 * wide] + 0.5).clamp(0, 1)


def _alike(looks: Tensor) -> list[int]:
    """All codes in an order in which neighbours look alike: the leaves of a tree that joins what is closest."""
    if not 2 < len(looks) <= SORTED:
        return list(range(len(looks)))
    order = leaves_list(linkage(looks.flatten(1).numpy(), "average", optimal_ordering=True))
    quarter = len(order) // 4 or 1
    light_first = looks[order[:quarter]].mean() > looks[order[-quarter:]].mean()
    return (order if light_first else order[::-1]).tolist()


def code_colours(model: ConvVQVAE) -> list[str]:
    """K colours, "#rrggbb", code 0 first, which show what each code of an image model draws.

    With three channels a code has the mean colour of what it draws. In greys, the hue says where in its square the ink
    lies (`SIDES`), and the brightness how much there is: what draws nothing is as dark as night.
    """
    looks = _looks(model).detach()  # (K, C, h, w)
    if looks.shape[1] == 3:
        return [to_hex(mean) for mean in looks.mean((2, 3)).tolist()]
    ink = looks[:, 0] - looks.amin()  # (K, h, w)
    amount = ink.mean((1, 2)) / ink.mean((1, 2)).max().clamp(min=1e-6)  # (K,) in [0, 1]
    mass = ink.sum((1, 2)).clamp(min=1e-6)
    down, right = (torch.linspace(-1, 1, size) for size in ink.shape[1:])
    y, x = (ink.sum(2) @ down / mass, ink.sum(1) @ right / mass)  # (K,) each: the centre of the ink, in [-1, 1]
    sides = torch.where(y.abs() >= x.abs(), torch.where(y < 0, 0, 2), torch.where(x < 0, 3, 1))
    sides = torch.where(torch.maximum(x.abs(), y.abs()) < CENTRED, 4, sides)
    hues = np.array([to_rgb(colour) for colour in SIDES.values()])[sides]  # (K, 3)
    light = ((amount - FAINT) / (1 - FAINT)).clamp(min=0).sqrt().numpy()[:, None]
    return [to_hex(colour) for colour in NIGHT + (hues - NIGHT) * light]


def _text(pixels: Tensor) -> str:
    return base64.b64encode(pixels.contiguous().numpy().tobytes()).decode()


def _by(image: Tensor) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"
