"""Exercise 11: latents as colours, and one position masked."""

import torch
from torch import Generator, Tensor

from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake
from course_lib.check.observe import Call, Observation

# ----------------------------------------------------------------------------------------------------------------------
# pca_colours


def rescaled(maps: Tensor, axes: tuple[int, ...] = (2, 3)) -> Tensor:
    """(B, 3, H, W) -> the same, shifted and stretched to [0, 1] over `axes`; 0 where nothing varies."""
    low, high = maps.amin(axes, keepdim=True), maps.amax(axes, keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-8)


def directions(rows: Tensor) -> Tensor:
    """(N, D), centred -> (3, D), the directions of the largest variance."""
    return torch.linalg.svd(rows, full_matrices=False).Vh[:3]


def as_maps(rows: Tensor, latents: Tensor) -> Tensor:
    """(N, 3) -> (B, 3, H, W)."""
    return rows.unflatten(0, (len(latents), *latents.shape[2:])).movedim(-1, 1)


def pca_colours(latents: Tensor) -> Tensor:
    """(B, D, H, W), D >= 3 -> (B, 3, H, W): the three main directions of the batch's latents, each image in [0, 1]."""
    flat = latents.movedim(1, -1).flatten(0, 2)  # (N, D)
    centred = flat - flat.mean(0)
    return rescaled(as_maps(centred @ directions(centred).T, latents))


def draw_colours(generator: Generator) -> list[Call]:
    def latents(batch, dim, height, width):
        """Directions of clearly different variance, turned at random, away from the origin; images of their own kind."""
        spread = torch.tensor([4.0, 2.5, 1.5] + [0.3] * (dim - 3))
        turn = torch.linalg.qr(normal(generator, dim, dim)).Q  # (D, D)
        values = normal(generator, batch, height, width, dim) + 1.5 * normal(generator, batch, 1, 1, dim)
        centre = 6 * normal(generator, dim)
        return (values * spread @ turn + centre).movedim(-1, 1).contiguous()  # (B, D, H, W)

    def call(*shape, part="values", change=lambda values: values, **more):
        return Call((change(latents(*shape)),), ("latents",), ("colours",), part, **more)

    def one_of_them_flat(values):
        values[1] = values[1, :, :1, :1]  # an image whose positions all have the same latent
        return values

    return [
        call(3, 5, 4, 6),
        call(2, 8, 5, 3, part="other sizes"),
        call(1, 4, 6, 6, part="other sizes"),
        call(2, 3, 4, 4, part="other sizes"),
        call(3, 6, 4, 5, part="an image without differences", change=one_of_them_flat),
        call(3, 5, 4, 5, part="order in memory", change=scattered),
        call(2, 5, 4, 4, part="dtypes", change=Tensor.double, elsewhere=True),
    ]


def either_sign(call: Call, seen: Observation) -> Observation:
    """The sign of a direction is arbitrary: of x and 1 - x, the one nearer to the reference's."""
    colours = seen.get("colours")
    wanted = pca_colours(call.args[0])
    if isinstance(colours, Tensor) and colours.shape == wanted.shape and colours.is_floating_point():
        varies = (wanted != 0).any(3, keepdim=True).any(2, keepdim=True)  # (B, 3, 1, 1)
        turned = torch.where(varies, 1 - colours, colours)
        apart, turned_apart = ((x.double() - wanted).abs().sum((0, 2, 3), keepdim=True) for x in (colours, turned))
        seen["colours"] = torch.where(turned_apart < apart, turned, colours)
    return seen


def axis_not_moved(latents):
    flat = latents.reshape(-1, latents.shape[1])
    centred = flat - flat.mean(0)
    return rescaled((centred @ directions(centred).T).reshape(len(latents), 3, *latents.shape[2:]))


def viewed_back(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return rescaled((centred @ directions(centred).T).reshape(len(latents), 3, *latents.shape[2:]))


def not_centred(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    return rescaled(as_maps(flat @ directions(flat).T, latents))


def first_three_channels(latents):
    return rescaled(latents[:, :3])


def last_three_directions(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return rescaled(as_maps(centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors[:, :3], latents))


def columns_for_rows(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return rescaled(as_maps(centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:, :3], latents))


def over_the_batch(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return rescaled(as_maps(centred @ directions(centred).T, latents), (0, 2, 3))


def channels_together(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return rescaled(as_maps(centred @ directions(centred).T, latents), (1, 2, 3))


def each_position_apart(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return rescaled(as_maps(centred @ directions(centred).T, latents), (1,))


def directions_of_each_image(latents):
    return torch.cat([pca_colours(image) for image in latents.split(1)])


def not_rescaled(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    return as_maps(centred @ directions(centred).T, latents)


def divided_by_nothing(latents):
    flat = latents.movedim(1, -1).flatten(0, 2)
    centred = flat - flat.mean(0)
    maps = as_maps(centred @ directions(centred).T, latents)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low)


def colours_last(latents):
    return pca_colours(latents).movedim(1, -1)


def draw_colour_picture(axes, answer) -> None:
    """Latents of a small scene, a disc over a slope, hidden in eight channels."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 24), indexing="ij")
    disc = ((x - 0.5).square() + (y - 0.4).square() < 0.08).float()
    waves = torch.sin(12 * x)
    scene = torch.stack([4 * disc, 2.5 * y, 0.8 * waves], dim=-1)  # (24, 24, 3)
    hidden = scene @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q[:3]
    colours = answer(hidden.movedim(-1, 0).unsqueeze(0))  # (1, 8, 24, 24) -> (1, 3, 24, 24)
    axes.imshow(colours[0].movedim(0, -1).detach().clamp(0, 1))
    axes.set(xticks=[], yticks=[], xlabel="a colour may be swapped for its opposite")


COLOURS = Exercise(
    name="pca_colours",
    lesson="11_inside_the_latents",
    reference=pca_colours,
    draw=draw_colours,
    view=either_sign,
    picture=draw_colour_picture,
    allowance=(1e-3, 2e-3),
    points=2,
    mistakes=(
        Mistake(
            axis_not_moved,
            "the latents were cut into rows without moving the channel axis last: a row then holds one channel at D places",
            "zoo 4",
        ),
        Mistake(
            viewed_back,
            "the rows are right, the way back is not: (N, 3) holds the three numbers of a place side by side, so the axis of "
            "3 comes last until it is moved",
            "zoo 4",
        ),
        Mistake(
            not_centred,
            "the rows were not centred: the first direction then points from the origin to the middle of the latents",
            "common",
        ),
        Mistake(first_three_channels, "these are the first three channels, not the three main directions", "common"),
        Mistake(
            last_three_directions,
            "these are the directions of the smallest variance: eigh sorts upwards, svd downwards",
            "common",
        ),
        Mistake(
            columns_for_rows,
            "the third result of svd holds the directions as rows: Vh[:3], not Vh[:, :3]",
            "common",
        ),
        Mistake(
            over_the_batch,
            "stretched by the extremes of the whole batch; asked for is each image by its own",
            "lesson 11",
        ),
        Mistake(
            channels_together,
            "the three channels of an image were stretched together; each has its own extremes",
            "common",
        ),
        Mistake(
            each_position_apart,
            "the extremes were taken over the three channels of one position: that leaves hardly any colour but the purest",
            "common",
        ),
        Mistake(
            directions_of_each_image,
            "each image got directions of its own: the same latent then has other directions' numbers in another image",
            "common",
        ),
        Mistake(not_rescaled, "the projections are not stretched to [0, 1] yet", "common"),
        Mistake(
            divided_by_nothing,
            "where a channel is the same all over an image, its extremes agree and 0 / 0 is nan; 0 is wanted there",
            "common",
        ),
        Mistake(colours_last, "the axis of the colours comes last; (B, 3, H, W) was asked for", "common"),
    ),
    hints=(
        "A picture has three numbers at each place, a latent has D. Which three combinations of the D numbers vary most, taken "
        "over all places of all images?",
        "Rows (N, D), minus their mean. The right singular vectors of that matrix, largest first, are the main directions; a "
        "row times a direction is one number. Back in (B, 3, H, W), stretch each channel of each image by its own extremes.",
        "centred = rows - rows.mean(0); directions = torch.linalg.svd(centred, full_matrices=False).Vh[:3]; project; undo the "
        "flattening; low and high with amin and amax over H and W, keepdim=True; guard the division against 0",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# mask_position


def mask_position(latents: Tensor, row: int, column: int) -> Tensor:
    """(B, D, H, W) -> a copy with zeros in all channels at one position, in every image."""
    masked = latents.clone()
    masked[:, :, row, column] = 0
    return masked


def draw_masks(generator: Generator) -> list[Call]:
    def call(shape, row, column, part="values", change=lambda values: values, **more):
        latents = change(normal(generator, *shape))
        return Call((latents, row, column), ("latents", "row", "column"), ("masked",), part, **more)

    height, width = number(generator, 5, 7), number(generator, 8, 10)
    return [
        call((2, 4, 4, 5), 1, 3),
        call((3, 7, height, width), number(generator, 1, 2), number(generator, 3, 4)),
        call((2, 3, height, width), height - 1, width - 1, part="corners"),
        call((2, 3, height, width), 0, 0, part="corners"),
        call((1, 1, 1, 1), 0, 0, part="odd sizes"),
        call((2, 5, 5, 4), 3, 1, part="order in memory", change=scattered),
        call((2, 5, 4, 4), 2, 1, part="dtypes", change=Tensor.double, elsewhere=True),
    ]


def written_into_the_input(latents, row, column):
    latents[:, :, row, column] = 0
    return latents


def row_and_column_swapped(latents, row, column):
    masked = latents.clone()
    masked[:, :, column, row] = 0
    return masked


def whole_row(latents, row, column):
    masked = latents.clone()
    masked[:, :, row] = 0
    return masked


def row_and_column(latents, row, column):
    masked = latents.clone()
    masked[:, :, row] = 0
    masked[:, :, :, column] = 0
    return masked


def channel_axis_forgotten(latents, row, column):
    masked = latents.clone()
    masked[:, row, column] = 0
    return masked


def first_channel_only(latents, row, column):
    masked = latents.clone()
    masked[:, 0, row, column] = 0
    return masked


def first_image_only(latents, row, column):
    masked = latents.clone()
    masked[0, :, row, column] = 0
    return masked


def all_but_the_position(latents, row, column):
    masked = torch.zeros_like(latents)
    masked[:, :, row, column] = latents[:, :, row, column]
    return masked


def mean_instead_of_zero(latents, row, column):
    masked = latents.clone()
    masked[:, :, row, column] = latents.mean((2, 3))
    return masked


def mask_on_a_gpu(latents, row, column):
    mask = torch.ones_like(latents).cuda()
    mask[:, :, row, column] = 0
    return latents * mask


def mask_itself(latents, row, column):
    mask = torch.ones_like(latents)
    mask[:, :, row, column] = 0
    return mask


def nothing_masked(latents, row, column):
    masked = latents.clone()
    masked[:, :, row, column].clone().zero_()
    return masked


def mask_in_float32(latents, row, column):
    mask = torch.ones(latents.shape[2:], device=latents.device)
    mask[row, column] = 0
    return (latents * mask).float()


MASK = Exercise(
    name="mask_position",
    lesson="11_inside_the_latents",
    reference=mask_position,
    draw=draw_masks,
    mistakes=(
        Mistake(
            written_into_the_input,
            "the latents that were handed in have changed: whoever masks the next position masks two",
            "common",
        ),
        Mistake(row_and_column_swapped, "row and column are swapped: of (B, D, H, W), the row counts along H", "common"),
        Mistake(whole_row, "the whole row is masked; one place of it was asked for", "common"),
        Mistake(row_and_column, "a whole row and a whole column are masked, a cross; its centre was asked for", "common"),
        Mistake(
            channel_axis_forgotten,
            "the second axis is D: an index for it masks one channel of a whole line instead of all channels of one place",
            "zoo 4",
        ),
        Mistake(first_channel_only, "only channel 0 is masked; a latent is all D numbers of its place", "common"),
        Mistake(first_image_only, "only the first image is masked; the batch has B", "common"),
        Mistake(all_but_the_position, "everything but the position is masked: the mask is the wrong way round", "common"),
        Mistake(mean_instead_of_zero, "the mean of each image was written there; zeros were asked for", "lesson 11"),
        Mistake(
            mask_on_a_gpu,
            ".cuda() asks for a GPU whatever the latents lie on: the mask has to follow the data",
            "zoo 6",
        ),
        Mistake(mask_itself, "this is the mask; it is still to be multiplied with the latents", "common"),
        Mistake(nothing_masked, "nothing is masked: the zeros went into a copy that nobody keeps", "common"),
        Mistake(mask_in_float32, "the result is float32 whatever came in: a copy has the dtype of the latents", "common"),
    ),
    hints=(
        "Which of the four axes does one position of all channels of all images run along, and which does it stand still on?",
        "A clone can be written to without harm. In an assignment, a colon takes a whole axis, a number one place of it.",
        "masked = a clone of latents; masked[which of B, which of D, row, column] = 0",
    ),
)

EXERCISES = [COLOURS, MASK]
