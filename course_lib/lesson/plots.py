"""Every figure that two lessons share, in one style.

Each lesson gives code k the colour `CODE_COLOURS[k]` throughout. Five are Okabe and Ito's, made to stay apart for
colour-blind readers (jfly.uni-koeln.de/color); the other three were chosen to stay apart from these, as tints too,
where their second blue and second orange do not. Where a figure needs more colours, codes are numbered.
"""

import itertools
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, Markdown, display
from matplotlib.colors import to_rgb
from PIL import Image as PILImage

from course_lib.language import _

CODE_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#C8102E", "#99DDFF", "#882255"]
INK, GREY, PALE, FORWARD, BACKWARD = "#222222", "#8C8C8C", "#DDDDDD", "#0072B2", "#D55E00"


def use_style() -> None:
    """Sets the course's look for every figure of the session. Each lesson calls it once, at the top."""
    plt.rcParams.update(
        {
            "figure.figsize": (7, 3.5),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=CODE_COLOURS),
            "image.cmap": "gray",
            "legend.frameon": False,
        }
    )


def show(figure: plt.Figure, alt: str, caption: str = "") -> None:
    """Shows the figure and closes it. alt: a sentence that says in words what there is to see, for who cannot see it.
    caption: stands below, in Markdown, and says where to look."""
    buffer = BytesIO()
    picture = _picture(figure)
    red, green, blue = (channel.tobytes() for channel in picture.split())
    if red == green == blue:
        picture = picture.convert("L")  # rows of digits take a third of the room so, to the same pixels
    elif picture.getcolors(50_000) is None:  # rows of photographs: 256 colours look alike, in a third of the room
        picture = picture.quantize(256)
    picture.save(buffer, "png", optimize=True)
    _display(buffer, alt, caption)


def animate(figures, alt: str, seconds_per_frame: float = 0.4, caption: str = "") -> None:
    """Shows figures, one a frame, as one endlessly running animated PNG. All must be of one size; each is closed."""
    pictures = [_picture(figure) for figure in figures]
    strip = PILImage.new("RGB", (pictures[0].width, sum(picture.height for picture in pictures)))
    for i, picture in enumerate(pictures):
        strip.paste(picture, (0, i * picture.height))
    palette = strip.quantize(64, dither=PILImage.Dither.NONE)  # one for all frames: a thing keeps its colour
    frames = [picture.quantize(palette=palette, dither=PILImage.Dither.NONE) for picture in pictures]
    buffer = BytesIO()
    frames[0].save(
        buffer, "png", save_all=True, append_images=frames[1:], duration=int(1000 * seconds_per_frame), loop=0
    )
    _display(buffer, alt, caption)


def _display(png: BytesIO, alt: str, caption: str) -> None:
    display(Image(png.getvalue(), format="png", alt=alt))
    if caption:
        display(Markdown(f"*{caption}*"))


def _picture(figure: plt.Figure) -> PILImage.Image:
    """The figure as RGB, and closes it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return PILImage.open(buffer).convert("RGB")


def code_colours(codes) -> list[str]:
    """(N,) codes -> N colours, one for each code; more than eight codes start again from the first."""
    return [CODE_COLOURS[int(code) % len(CODE_COLOURS)] for code in codes]


def draw_cells(ax: plt.Axes, values, colours=None, title: str = "", digits: int = 2, rows=None, columns=None) -> None:
    """Draws a 2-D tensor as a table of coloured cells with its numbers in them.

    colours: one colour for each cell, row by row, or None for grey. rows, columns: the labels, or None for none.
    digits: decimals shown; 0 for whole numbers.
    """
    values = torch.as_tensor(values).detach().cpu()
    height, width = values.shape
    colours = [PALE] * (height * width) if colours is None else list(colours)
    picture = np.array([_tint(colour) for colour in colours]).reshape(height, width, 3)
    ax.imshow(picture, aspect="equal")
    for i in range(height):
        for j in range(width):
            ax.text(j, i, f"{values[i, j]:.{digits}f}", ha="center", va="center", fontsize=9, color=INK)
    ax.set_xticks(np.arange(-0.5, width), minor=True)
    ax.set_yticks(np.arange(-0.5, height), minor=True)
    ax.grid(which="minor", color="white", linewidth=2)
    ax.tick_params(which="both", length=0)
    ax.set_xticks(range(width), columns if columns is not None else [""] * width)
    ax.set_yticks(range(height), rows if rows is not None else [""] * height)
    ax.xaxis.tick_top()
    ax.spines[:].set_visible(False)
    ax.set_title(title)


def image_rows(rows: dict, alt: str, width_per_image: float = 0.75, caption: str = "") -> None:
    """Shows rows of images under each other: label -> (n, H, W) greys or (n, H, W, 3) colours, values in [0, 1]."""
    count = max(len(images) for images in rows.values())
    figure, axes = plt.subplots(
        len(rows), count, squeeze=False, figsize=(width_per_image * count + 1.3, (width_per_image + 0.02) * len(rows))
    )
    for row, (label, images) in zip(axes, rows.items()):
        for ax in row:
            ax.axis("off")
        for ax, image in zip(row, images):
            ax.imshow(torch.as_tensor(image).detach().cpu().clamp(0, 1).numpy(), vmin=0, vmax=1)
        row[0].text(-0.15, 0.5, label, transform=row[0].transAxes, ha="right", va="center")
    show(figure, alt, caption)


def training_curves(
    histories: dict, names: dict, alt: str, smooth: int = 25, caption: str = "", levels: dict | None = None
) -> None:
    """One panel for each quantity, one line for each run.

    histories: run -> what `fit` returned. names: key of the history -> label of the axis, its unit in it.
    smooth: width, in updates, of the running mean that is drawn. levels: key of the history -> (name, value), a level
    to compare with, such as the error of the mean image.
    """
    figure, axes = plt.subplots(1, len(names), squeeze=False, figsize=(4 * len(names), 3.2))
    kernel = np.ones(smooth) / smooth
    for ax, (name, label) in zip(axes[0], names.items()):
        for (run, history), line in zip(histories.items(), itertools.cycle(("-", "--", ":", "-."))):
            values = np.convolve(history[name], kernel, mode="valid")
            ax.plot(np.arange(len(values)) + smooth, values, line, label=run, linewidth=2)
        if name in (levels or {}):
            words, level = levels[name]
            ax.axhline(level, color=GREY, linewidth=1, label=words)
        ax.set(xlabel=_("update (mean of {count})").format(count=smooth), ylabel=label)
        if any(word in name for word in ("loss", "error", "mse")):
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(_plain)
            ax.yaxis.set_minor_formatter(_plain)
    if len(histories) + len(levels or {}) > 4:  # too many to stand on the curves
        figure.set_figheight(3.2 + 0.13 * len(histories))
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    elif len(histories) > 1 or levels:
        axes[0, 0].legend()
    show(figure, alt, caption)


def _plain(value: float, _position=None) -> str:
    """A label for a logarithmic axis, as 0.2; only 1, 2, 3 and 5 get one, the others would crowd it."""
    return f"{value:g}" if f"{value:e}"[0] in "1235" else ""


def _tint(colour: str, strength: float = 0.45) -> np.ndarray:
    """A colour mixed with white, so that black numbers on it stay readable."""
    return strength * np.array(to_rgb(colour)) + (1 - strength)
