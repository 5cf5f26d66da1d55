"""Exercise 02: latents of any number of axes to rows, and back."""

import torch
from torch import Generator, Tensor

from course_lib import quantize
from course_lib.check.exercises.drawing import normal, scattered
from course_lib.check.judge import Exercise, Mistake
from course_lib.check.observe import Call

# (B, D, *S): an image first; then none, T, T H W; one image, D = 1 and H = 1, axes of one length
SHAPES = [(2, 3, 2, 4), (3, 4), (2, 3, 5), (2, 3, 2, 4, 3), (1, 4, 3, 2), (3, 1, 1, 4), (3, 3, 3, 3)]


def scene(height: int = 24, width: int = 36) -> Tensor:
    """(1, 3, H, W): a low sun over the sea, in red, green and blue from 0 to 1."""
    h, w = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    sky = torch.stack([0.35 + 0.6 * h, 0.55 + 0 * h, 0.9 - 0.6 * h])
    sea = torch.stack([0.05 + 0 * h, 0.25 + 0.2 * h, 0.35 + 0.3 * h])
    sun = (h * (height - 1) - 13) ** 2 + (w * (width - 1) - 23) ** 2 < 27
    picture = torch.where(sun, torch.tensor([1.0, 0.85, 0.2]).reshape(3, 1, 1), sky)
    return torch.where(h > 0.62, sea, picture)[None]


# ----------------------------------------------------------------------------------------------------------------------
# flatten_latents


def draw_flatten(generator: Generator) -> list[Call]:
    def call(latents, part="odd sizes", **more):
        return Call((latents,), ("latents",), ("flat",), part, **more)

    plain, *odd = [normal(generator, *shape) for shape in SHAPES]
    channels_last = normal(generator, 2, 4, 2, 3).movedim(-1, 1)  # (2, 3, 4, 2), D fastest in memory
    turned = normal(generator, 2, 3, 2, 4).transpose(2, 3)  # (2, 3, 4, 2), H fastest in memory
    double = normal(generator, 2, 3, 4).double()
    return [
        call(plain, "values", differentiate=(0,)),
        *(call(latents, differentiate=(0,)) for latents in odd[:3]),
        *(call(latents) for latents in odd[3:]),
        call(channels_last, "order in memory"),
        call(turned, "order in memory"),
        call(double, "dtypes", elsewhere=True),
    ]


def axis_not_moved(latents):
    return latents.reshape(-1, latents.shape[1])


def images_only(latents):
    return latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])


def past_one_axis(latents):
    return latents.transpose(1, 2).reshape(-1, latents.shape[1])


def exchanged_with_the_last(latents):
    return latents.transpose(1, -1).reshape(-1, latents.shape[1])


def viewed(latents):
    return latents.movedim(1, -1).view(-1, latents.shape[1])


def merged_by_view(latents):
    places = latents.view(*latents.shape[:2], -1)
    return places.transpose(1, 2).reshape(-1, latents.shape[1])


def one_row_for_each_image(latents):
    return latents.flatten(1)


def upright(latents):
    return latents.movedim(1, 0).flatten(1)


def places_before_images(latents):
    return latents.movedim((0, 1), (-2, -1)).reshape(-1, latents.shape[1])


def batch_axis_left(latents):
    return latents.movedim(1, -1).reshape(latents.shape[0], -1, latents.shape[1])


def places_expected(latents):
    return latents.flatten(2).transpose(1, 2).flatten(0, 1)


def cut_off(latents):
    return latents.detach().movedim(1, -1).reshape(-1, latents.shape[1])


def draw_rows(axes, answer) -> None:
    """A colour image as latents, D = 3: its rows, each as the colour it is, as many to a line as the image is wide."""
    image = scene()
    axes.imshow(answer(image).detach().reshape(*image.shape[2:], 3).clamp(0, 1))
    axes.set(xticks=[], yticks=[], xlabel="rows of the list, each as one colour")


FLATTEN = Exercise(
    name="flatten_latents",
    lesson="02_flattening",
    reference=quantize.flatten_latents,
    draw=draw_flatten,
    picture=draw_rows,
    mistakes=(
        Mistake(
            axis_not_moved,
            "the axes were merged before D was moved: the shape is right, but a row holds numbers of several places",
            "zoo 4",
        ),
        Mistake(
            images_only,
            "a fixed list of four axes fits images alone; sound has three, video five, and plain vectors, (B, D), two",
            "common",
        ),
        Mistake(
            past_one_axis,
            "transpose(1, 2) brings D past one axis: that is the end for sound; with H and W it has further to go",
            "common",
        ),
        Mistake(
            exchanged_with_the_last,
            "transpose(1, -1) exchanges two axes: the last one goes to where D was, so with H and W the rows come in "
            "another order",
            "common",
        ),
        Mistake(
            viewed,
            ".view never copies, so it refuses an axis that was moved; which call copies where it has to?",
            "lesson 02",
        ),
        Mistake(
            merged_by_view,
            "right for most latents; of a turned image, H and W exchanged, .view cannot merge the places: which call "
            "copies where it has to?",
            "mutation",
        ),
        Mistake(
            one_row_for_each_image,
            "this is one row for each image, with all its vectors in it; wanted is one row for each vector, (N, D)",
            "common",
        ),
        Mistake(upright, "the vectors stand upright, (D, N); wanted is one row for each, (N, D)", "common"),
        Mistake(
            places_before_images,
            "each row is right, the order is not: all images at one place follow each other; wanted is one image "
            "after the other",
            "common",
        ),
        Mistake(
            batch_axis_left,
            "one axis too many: the batch is to be merged with the places, (N, D) and not (B, N / B, D)",
            "common",
        ),
        Mistake(
            places_expected,
            "latents of shape (B, D) raise an error here; they have no spatial axes and are a list of rows already",
            "common",
        ),
        Mistake(
            cut_off,
            "the rows are right, but no gradient comes back through them, and the encoder is behind: where was it cut?",
            "zoo 22",
        ),
    ),
    hints=(
        "Which axis do the D numbers of one vector lie along, and which axis must they lie along for .reshape(-1, "
        "D) to keep them together?",
        "Merging joins axes in the order in which they stand, the last fastest. So first move D behind all the others, "
        "which keep their order, however many they are; then merge those.",
        "moved = latents.movedim(where D is, where it has to be)  # (B, *S, D); then merge all axes but the last",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# unflatten_latents


def draw_unflatten(generator: Generator) -> list[Call]:
    def call(shape, part="odd sizes", change=None, **more):
        flat = normal(generator, torch.Size(shape).numel() // shape[1], shape[1])
        flat = change(flat) if change else flat
        return Call((flat, shape), ("flat", "shape"), ("latents",), part, **more)

    plain, *odd = SHAPES
    return [
        call(plain, "values", differentiate=(0,)),
        *(call(shape, differentiate=(0,)) for shape in odd[:3]),
        *(call(shape) for shape in odd[3:]),
        call((2, 3, 4, 2), "order in memory", scattered),
        call((2, 3, 4), "dtypes", Tensor.double, elsewhere=True),
    ]


def only_reshaped(flat, shape):
    return flat.reshape(shape)


def move_forgotten(flat, shape):
    batch, dim, *spatial = shape
    return flat.reshape(batch, *spatial, dim)


def back_to_images_only(flat, shape):
    batch, dim, height, width = shape
    return flat.reshape(batch, height, width, dim).permute(0, 3, 1, 2)


def back_to_sound_only(flat, shape):
    batch, dim, length = shape
    return flat.reshape(batch, length, dim).permute(0, 2, 1)


def exchanged_back(flat, shape):
    batch, dim, *spatial = shape
    return flat.reshape(batch, *spatial, dim).transpose(1, -1)


def moved_the_same_way_again(flat, shape):
    batch, dim, *spatial = shape
    return flat.reshape(batch, *spatial, dim).movedim(1, -1)


def turned_then_cut(flat, shape):
    return flat.T.reshape(shape)


def places_left_merged(flat, shape):
    return flat.reshape(shape[0], -1, shape[1]).transpose(1, 2)


def images_after_places(flat, shape):
    batch, dim, *spatial = shape
    return flat.reshape(*spatial, batch, dim).movedim((-2, -1), (0, 1))


def cut_off_again(flat, shape):
    batch, dim, *spatial = shape
    return flat.detach().reshape(batch, *spatial, dim).movedim(-1, 1)


def draw_latents(axes, answer) -> None:
    """The rows of a colour image, right ones, put back by `answer`."""
    image = scene()
    back = answer(image.movedim(1, -1).reshape(-1, 3), tuple(image.shape))
    if back.shape != image.shape:
        raise ValueError(f"came {tuple(back.shape)}, wanted {tuple(image.shape)}")
    axes.imshow(back[0].detach().movedim(0, -1).clamp(0, 1))
    axes.set(xticks=[], yticks=[], xlabel="the latents as an image")


UNFLATTEN = Exercise(
    name="unflatten_latents",
    lesson="02_flattening",
    reference=quantize.unflatten_latents,
    draw=draw_unflatten,
    picture=draw_latents,
    mistakes=(
        Mistake(
            only_reshaped,
            "the rows were cut straight to the final shape: that undoes the trap of lesson 02, not a right flattening",
            "zoo 4",
        ),
        Mistake(
            move_forgotten,
            "the rows are back at their places, but D is still the last axis; wanted is (B, D, *S)",
            "common",
        ),
        Mistake(
            back_to_images_only, "this takes four axes, no more and no fewer; shape may have two to five", "common"
        ),
        Mistake(
            back_to_sound_only, "this takes three axes, no more and no fewer; shape may have two to five", "common"
        ),
        Mistake(
            exchanged_back, "transpose(1, -1) exchanges two axes: with H and W, W is left standing before H", "common"
        ),
        Mistake(
            moved_the_same_way_again,
            "the move goes from 1 to the end once more; on the way back D comes from the end and goes to 1",
            "common",
        ),
        Mistake(
            turned_then_cut,
            "(D, N) cut to the final shape is right for one image alone: with more, D has to go behind the batch",
            "common",
        ),
        Mistake(places_left_merged, "one spatial axis came back where shape has another number of them", "common"),
        Mistake(
            images_after_places,
            "the rows were read as if all images at one place followed each other; they come image after image",
            "common",
        ),
        Mistake(
            cut_off_again,
            "the numbers are right, but no gradient goes back through them to the rows: where was it cut?",
            "zoo 22",
        ),
    ),
    hints=(
        "Flattening moved an axis and then merged the others. In which order are the two undone?",
        "The last thing done is undone first: split the rows into (B, *S, D), where each row is still one piece, "
        "and only then bring D from the end back to its place.",
        "batch, dim, *spatial = shape; split = flat.reshape(batch, ..., dim)  # (B, *S, D); then move the last axis "
        "to place 1",
    ),
)

EXERCISES = [FLATTEN, UNFLATTEN]
