import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from IPython.display import Image
from PIL import Image as PILImage

from course_lib import weights
from course_lib.lesson import boxes, plots


@pytest.fixture(autouse=True)
def closed_figures():
    plt.close("all")  # those of other tests too
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    images = []
    monkeypatch.setattr(plots, "display", images.append)
    return images


def test_show_gives_a_png_with_its_alternative_text_and_closes_the_figure(shown):
    figure, ax = plt.subplots()
    plots.show(figure, "a sentence")
    (image,) = shown
    assert isinstance(image, Image) and image.alt == "a sentence"
    assert image.data.startswith(b"\x89PNG") and not plt.get_fignums()
    data, metadata = DisplayFormatter().format(image)
    assert "image/png" in data and metadata["image/png"]["alt"] == "a sentence"


@pytest.mark.parametrize("colour, mode", [("0.4", "L"), ("#0072B2", "RGB")])
def test_show_keeps_every_pixel_and_no_channel_too_many(shown, colour, mode):
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.bar(0, 1, color=colour)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plots.show(figure, "a bar")
    picture = PILImage.open(io.BytesIO(shown[0].data))
    assert picture.mode == mode
    wanted = np.array(PILImage.open(buffer).convert("RGB"))
    np.testing.assert_array_equal(np.array(picture.convert("RGB")), wanted)


def test_animate_keeps_every_frame(shown):
    figures = []
    for height in (1, 2, 3):
        figure, ax = plt.subplots(figsize=(2, 2))
        ax.bar(0, height)
        ax.set_ylim(0, 3)
        figures.append(figure)
    plots.animate(figures, "bars grow", seconds_per_frame=0.2)
    picture = PILImage.open(io.BytesIO(shown[0].data))
    assert picture.n_frames == 3 and picture.info["duration"] == 200 and not plt.get_fignums()
    frames = []
    for i in range(3):
        picture.seek(i)
        frames.append(np.array(picture.convert("RGB")))
    assert not np.array_equal(frames[0], frames[2])


def test_code_colours_repeat_after_eight_and_are_stable():
    assert plots.code_colours(torch.tensor([0, 7, 8])) == [
        plots.CODE_COLOURS[0],
        plots.CODE_COLOURS[7],
        plots.CODE_COLOURS[0],
    ]
    assert len(set(plots.CODE_COLOURS)) == 8


def test_draw_cells_writes_each_number_at_its_place():
    _, ax = plt.subplots()
    values = torch.tensor([[0.125, 2.0, -1.0], [3.0, 4.0, 5.5]])
    plots.draw_cells(ax, values, digits=2, rows=["a", "b"], columns=["x", "y", "z"])
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(j, i): f"{values[i, j]:.2f}" for i in range(2) for j in range(3)}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x", "y", "z"]


def test_draw_cells_colours_row_by_row():
    _, ax = plt.subplots()
    plots.draw_cells(ax, torch.zeros(2, 2), ["#FF0000", "#00FF00", "#0000FF", "#000000"])
    picture = ax.images[0].get_array()
    assert picture[0, 1].argmax() == 1 and picture[1, 0].argmax() == 2 and picture[0, 0].argmax() == 0


def test_image_rows_shows_all_images_in_order(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "show", lambda figure, alt, caption: figures.append((figure, alt)))
    images = torch.arange(2 * 4 * 4).reshape(2, 4, 4) / 32
    plots.image_rows({"input": images, "output": images.flip(0)}, "two rows")
    figure, alt = figures[0]
    pictures = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert alt == "two rows" and len(pictures) == 4
    for picture, image in zip(pictures, (*images, *images.flip(0))):
        assert np.allclose(picture, image)


def test_training_curves_draws_the_running_mean(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "show", lambda figure, alt, caption: figures.append(figure))
    history = {"loss": [4.0, 2.0, 6.0, 8.0], "perplexity": [1.0, 3.0, 5.0, 7.0]}
    plots.training_curves(
        {"run": history}, {"loss": "loss (nats)", "perplexity": "perplexity (codes)"}, "curves", smooth=2
    )
    loss, perplexity = figures[0].axes
    assert np.allclose(loss.lines[0].get_ydata(), [3, 4, 7]) and np.allclose(loss.lines[0].get_xdata(), [2, 3, 4])
    assert loss.get_yscale() == "log" and perplexity.get_yscale() == "linear"
    assert np.allclose(perplexity.lines[0].get_ydata(), [2, 4, 6])
    assert loss.get_ylabel() == "loss (nats)"
    label = loss.yaxis.get_minor_formatter()
    assert [label(value, None) for value in (0.02, 0.04, 0.1, 0.3, 0.5, 0.7, 2)] == [
        "0.02",
        "",
        "0.1",
        "0.3",
        "0.5",
        "",
        "2",
    ]


def test_training_curves_of_many_runs_name_them_beside_the_panels(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "show", lambda figure, alt, caption: figures.append(figure))
    for count in (1, 3, 6):
        histories = {f"run {n}": {"nmse": [3.0, 2.0, 1.0]} for n in range(count)}
        plots.training_curves(histories, {"nmse": "NMSE (share)"}, "curves", smooth=1)
    alone, few, many = figures
    assert all(figure.axes[0].get_yscale() == "log" for figure in figures)
    assert alone.axes[0].get_legend() is None and not alone.legends
    assert [text.get_text() for text in few.axes[0].get_legend().get_texts()] == ["run 0", "run 1", "run 2"]
    assert many.axes[0].get_legend() is None and len(many.legends[0].get_texts()) == 6


def test_a_caption_stands_below_its_picture(shown):
    plots.show(plt.figure(), "a figure", "Look at the left.")
    assert [type(one).__name__ for one in shown] == ["Image", "Markdown"]
    assert shown[1].data == "*Look at the left.*"


def test_a_level_is_drawn_in_its_own_panel(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "show", lambda figure, alt, caption: figures.append(figure))
    history = {"error": [0.5] * 30, "perplexity": [7.0] * 30}
    plots.training_curves({"run": history}, dict(zip(history, history)), "", levels={"error": ("the mean image", 0.07)})
    left, right = figures[0].axes
    assert [list(line.get_ydata()) for line in left.lines[1:]] == [[0.07, 0.07]] and len(right.lines) == 1
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["run", "the mean image"]


# Five boxes


def test_the_boxes_show_the_codes_that_the_stored_model_gives(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: figures.append((figure, alt)))
    boxes.five_boxes("codes")
    ((figure, alt),) = figures
    panels = {panel.get_title(loc="center"): panel for panel in figure.axes}
    image = 1 - panels["image"].images[0].get_array()
    codes = weights.load("mnist_grid").encode(torch.as_tensor(image).float()[None, None] - 0.5)
    assert [int(text.get_text()) for text in panels["codes"].texts] == codes.flatten().tolist()
    assert alt.endswith("Lit: codes.") and panels["image"].images[0].get_alpha() < panels["codes"].images[0].get_alpha()


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="there is no 'decoder'; the parts are image"):
        boxes.five_boxes("decoder")
