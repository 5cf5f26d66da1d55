"""Exercise 11: latents as colours, and a mask for one position."""

import torch
from torch import Generator, Tensor

from course_lib.check.exercises.drawing import normal, number
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# pca_colours


def pca_colours(latents):
    """(B, D, H, W) -> (B, 3, H, W): the latents of the batch along their three main directions, as in lesson 11, each
    channel of each image stretched to 0 .. 1 over its H W positions; 0 where it is the same at all of them."""
    return rescaled(back(three_of(rows_of(latents)), latents))


def rows_of(latents):
    return latents.movedim(1, -1).reshape(-1, latents.shape[1])  # (N, D)


def main_directions(rows):
    return torch.linalg.svd(rows, full_matrices=False).Vh[:3]  # (3, D)


def three_of(rows):
    centred = rows - rows.mean(0)  # (N, D)
    return centred @ main_directions(centred).T  # (N, 3)


def back(projected, latents):
    return projected.reshape(len(latents), *latents.shape[2:], 3).movedim(-1, 1)  # (B, 3, H, W)


def rescaled(maps, axes=(2, 3)):
    low, high = maps.amin(axes, keepdim=True), maps.amax(axes, keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-8)


def draw_colours(generator: Generator) -> list[Call]:
    def call(latents, part="values", **more):
        return Call((latents,), ("latents",), ("colours",), part, **more)

    def latents(batch, dim, height, width, dtype=torch.float32):
        """Away from the origin, with three main directions that no method can mistake."""
        n = batch * height * width
        rank = min(dim, n - 1)
        left = normal(generator, n, rank).double()
        left = torch.linalg.qr(left - left.mean(0)).Q  # orthonormal columns, each with mean 0
        sizes = torch.tensor([1.0, 0.5, 0.25] + [0.01 / (k + 1) for k in range(rank - 3)]).double() * n**0.5
        right = torch.linalg.qr(normal(generator, dim, rank).double()).Q
        centre = 2 + normal(generator, dim).double()
        rows = (left * sizes) @ right.T + centre  # (N, D)
        return rows.reshape(batch, height, width, dim).movedim(-1, 1).to(dtype).contiguous()

    uniform = latents(2, 5, 2, 3)
    one = uniform.mean((0, 2, 3), keepdim=True).expand(1, 5, 2, 3)  # an image with one latent everywhere
    uniform = torch.cat([uniform, one]).roll(number(generator, 0, 2), 0)
    channel_last = latents(2, 4, 3, 2).movedim(1, -1).contiguous().movedim(-1, 1)
    return [
        call(latents(2, 4, 2, 3)),
        call(latents(1, 6, 3, 4), part="odd sizes"),
        call(latents(4, 3, 5, 2), part="odd sizes"),
        call(latents(2, 20, 1, 4), part="odd sizes"),  # fewer vectors than dimensions
        call(channel_last, part="odd sizes"),
        call(latents(7, 4, 1, 1), part="constant channels"),
        call(uniform, part="constant channels"),
        call(latents(3, 5, 3, 3, torch.float64), part="dtypes", elsewhere=True),
    ]


def up_to_the_sign(call: Call, seen: Observation) -> Observation:
    """A direction and its opposite are both right: of x and 1 - x, the one nearer to the reference's, for each channel
    over the whole batch. Where a channel is constant up to rounding, what became of the rounding is not looked at."""
    colours, latents = seen.get("colours"), call.args[0].double()
    if (
        not isinstance(colours, Tensor)
        or colours.shape != (len(latents), 3, *latents.shape[2:])
        or not colours.is_floating_point()
    ):
        return seen
    maps = back(three_of(rows_of(latents)), latents)
    flat = (maps.amax((2, 3), keepdim=True) - maps.amin((2, 3), keepdim=True) < 1e-4).expand_as(maps)
    several = latents[0, 0].numel() > 1  # one position alone is constant exactly
    rounded = flat & several & (colours >= 0) & (colours <= 1)  # what rounding was stretched to; not NaN
    colours = colours.masked_fill(rounded, 0)
    projections = maps.to(colours.dtype)
    if torch.allclose(colours.abs(), projections.abs(), 1e-2, 1e-2):
        seen["colours"] = projections  # not stretched yet, and so below 0 here and there, whatever the signs
        return seen
    turned = torch.where(flat, colours, 1 - colours)
    target = rescaled(projections).masked_fill(flat, 0)
    apart, turned_apart = ((x - target).abs().nan_to_num(9.0).sum((0, 2, 3)) for x in (colours, turned))  # (3,)
    seen["colours"] = torch.where((turned_apart < apart)[:, None, None], turned, colours)
    return seen


def viewed(latents):
    return rescaled(three_of(latents.reshape(-1, latents.shape[1])).reshape(len(latents), 3, *latents.shape[2:]))


def viewed_there_moved_back(latents):
    return rescaled(back(three_of(latents.reshape(-1, latents.shape[1])), latents))


def viewed_back(latents):
    return rescaled(three_of(rows_of(latents)).reshape(len(latents), 3, *latents.shape[2:]))


def not_centred(latents):
    rows = rows_of(latents)
    return rescaled(back(rows @ main_directions(rows).T, latents))


def one_mean_for_all(latents):
    rows = rows_of(latents)
    centred = rows - rows.mean()
    return rescaled(back(centred @ main_directions(centred).T, latents))


def centred_along_the_wrong_axis(latents):
    rows = rows_of(latents)
    centred = rows - rows.mean(1, keepdim=True)
    return rescaled(back(centred @ main_directions(centred).T, latents))


def standardized(latents):
    rows = rows_of(latents)
    centred = (rows - rows.mean(0)) / rows.std(0)
    return rescaled(back(centred @ main_directions(centred).T, latents))


def over_the_batch(latents):
    return rescaled(back(three_of(rows_of(latents)), latents), (0, 2, 3))


def channels_together(latents):
    return rescaled(back(three_of(rows_of(latents)), latents), (1, 2, 3))


def all_together(latents):
    return rescaled(back(three_of(rows_of(latents)), latents), (0, 1, 2, 3))


def each_pixel_by_itself(latents):
    return rescaled(back(three_of(rows_of(latents)), latents), (1,))


def first_three_channels(latents):
    return rescaled(latents[:, :3])


def one_pca_for_each_image(latents):
    return torch.cat([rescaled(back(three_of(rows_of(image)), image)) for image in latents.split(1)])


def not_rescaled(latents):
    return back(three_of(rows_of(latents)), latents)


def clamped(latents):
    return not_rescaled(latents).clamp(0, 1)


def squashed(latents):
    return not_rescaled(latents).sigmoid()


def divided_by_zero(latents):
    maps = not_rescaled(latents)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low)


def smallest_directions(latents):
    rows = rows_of(latents)
    rows = rows - rows.mean(0)
    return rescaled(back(rows @ torch.linalg.eigh(rows.T @ rows).eigenvectors[:, :3], latents))


def order_turned_round(latents):
    return rescaled(not_rescaled(latents).flip(1))


def columns_for_rows(latents):
    rows = rows_of(latents)
    rows = rows - rows.mean(0)
    return rescaled(back(rows @ torch.linalg.svd(rows).Vh[:, :3], latents))


def channels_left_last(latents):
    return pca_colours(latents).movedim(1, -1)


def draw_colours_of(axes, answer) -> None:
    """Two images of 16 x 16 latents: a slope, a disc and stripes, mixed into eight channels."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    disc, stripes = (x.square() + y.square() < 0.4).float(), (9 * y).sin()
    maps = torch.stack(
        [torch.stack([2 * x, disc, 0.3 * stripes]), torch.stack([-y, -disc, 0.2 * stripes.mT])]
    )  # (2, 3, 16, 16)
    mix = torch.linalg.qr(torch.randn(8, 3, generator=torch.Generator().manual_seed(0))).Q  # (8, 3)
    latents = torch.einsum("dk,bkhw->bdhw", mix, maps)  # (2, 8, 16, 16)
    colours = up_to_the_sign(Call((latents,), ("latents",)), {"colours": torch.as_tensor(answer(latents))})["colours"]
    gap = torch.ones(16, 1, 3)
    picture = torch.cat([colours[0].movedim(0, -1), gap, colours[1].movedim(0, -1)], dim=1)  # (16, 33, 3)
    axes.imshow(picture.clamp(0, 1).numpy())
    axes.set(xticks=[], yticks=[], xlabel="two images of 16 x 16 latents")


COLOURS = Exercise(
    name="pca_colours",
    points=2,
    lesson="11_inside_the_latents",
    reference=pca_colours,
    draw=draw_colours,
    view=up_to_the_sign,
    picture=draw_colours_of,
    allowance=(2e-3, 2e-3),  # a narrow channel is stretched, and its rounding with it
    mistakes=(
        Mistake(
            viewed,
            "(B, D, H, W) was reshaped to (N, D) with the channels still second: a row then mixes positions, "
            "and so do the colours",
            "zoo 4",
        ),
        Mistake(
            viewed_there_moved_back,
            "on the way to (N, D) the channels were still second, so a row is no latent; on the way back they "
            "were moved",
            "zoo 4",
        ),
        Mistake(
            viewed_back,
            "the rows are right, but on the way back they were reshaped to (B, 3, H, W) at once: the three "
            "numbers of a row stand last",
            "zoo 4",
        ),
        Mistake(
            not_centred,
            "the rows were not centred: the first direction then points from the origin to their mean, not "
            "along their spread",
            "common",
        ),
        Mistake(
            one_mean_for_all,
            "one number was subtracted, the mean of everything; centring takes the mean row, one number for each of D",
            "common",
        ),
        Mistake(
            centred_along_the_wrong_axis,
            "each row lost its own mean over D; centring subtracts the mean row, taken over all N",
            "common",
        ),
        Mistake(
            standardized,
            "the D numbers were divided by their spread, as scikit-learn's scaler does; the directions of largest "
            "variance need the variances as they are",
            "common",
        ),
        Mistake(
            over_the_batch,
            "the channels were stretched by the extremes of the whole batch; asked for are those of each image",
            "lesson 11",
        ),
        Mistake(
            channels_together,
            "one pair of extremes was taken for all three channels of an image; each channel has its own",
            "common",
        ),
        Mistake(
            all_together,
            "one pair of extremes was taken for all images and channels; each channel of each image has its own",
            "common",
        ),
        Mistake(
            each_pixel_by_itself,
            "the extremes were taken over the channels, at each position by itself: every pixel then has a 0 "
            "and a 1, whatever its neighbours are",
            "common",
        ),
        Mistake(
            first_three_channels,
            "these are the first three of the D channels; wanted are the three directions of largest variance",
            "common",
        ),
        Mistake(
            one_pca_for_each_image,
            "each image got its own directions: red then means something else in each of them. Take the "
            "directions from all images together",
            "common",
        ),
        Mistake(
            not_rescaled, "these are the projections themselves, below 0 and above 1; a colour lies in [0, 1]", "common"
        ),
        Mistake(
            clamped,
            "the projections were cut off at 0 and 1: half of them are below 0, and all of those become 0",
            "common",
        ),
        Mistake(
            squashed,
            "a sigmoid brings everything into (0, 1), but the extremes of an image are to become 0 and 1 exactly",
            "common",
        ),
        Mistake(
            divided_by_zero, "a channel that is the same at all positions got 0 / 0: it should be 0 there", "common"
        ),
        Mistake(
            smallest_directions,
            "these are the directions of smallest variance: eigh gives its eigenvalues in ascending order",
            "common",
        ),
        Mistake(
            order_turned_round,
            "the three directions are the right ones in the opposite order: the first channel is for the "
            "largest variance",
            "common",
        ),
        Mistake(
            columns_for_rows,
            "the directions are the rows of the third result of torch.linalg.svd, which is V transposed; here "
            "its columns were taken",
            "common",
        ),
        Mistake(channels_left_last, "the channels came last, as pictures are drawn; wanted is (B, 3, H, W)", "common"),
    ),
    hints=(
        "What is one data point here: an image, a channel, or a position? How many points are there, and how many "
        "numbers has each?",
        "N = B H W points of D numbers: the channel axis goes last before anything is merged. Centre them, take the "
        "first three right singular vectors (rows of Vh), project, and undo the merging the same way. Then stretch "
        "each channel of each image: subtract its minimum over H and W, divide by its range, but never by 0.",
        "rows = latents.movedim(1, -1).reshape(-1, D); centred = ...; Vh = torch.linalg.svd(centred, "
        "full_matrices=False)[2]; maps = (centred @ the first three rows of Vh, transposed), back to (B, H, W, 3), "
        "then to (B, 3, H, W); low, high = maps.amin((2, 3), keepdim=True), maps.amax(...)",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# mask_position


def mask_position(latents, row, column):
    """(B, D, H, W) -> a copy, with zeros at one position of each image."""
    masked = latents.clone()
    masked[:, :, row, column] = 0
    return masked


def draw_mask(generator: Generator) -> list[Call]:
    def call(shape, row, column, part="values", dtype=torch.float32, **more):
        latents = normal(generator, *shape).to(dtype)
        latents = latents + latents.sign()  # none is near 0
        return Call((latents, row, column), ("latents", "row", "column"), ("masked",), part, **more)

    strides = 2 + torch.rand(3, 4, 5, 6, generator=generator).movedim(-1, 1)  # (3, 6, 4, 5)
    return [
        call((2, 4, 4, 4), 1, 2),
        call((3, 5, 4, 6), 3, 4),
        call((2, 3, 6, 4), 0, 3, part="borders"),
        call((2, 7, 4, 6), 3, 5, part="borders"),
        call((2, 3, 2, 5), 1, 0, part="borders"),
        call((1, 1, 1, 1), 0, 0, part="odd sizes"),
        call((1, 2, 1, 6), 0, 3, part="odd sizes"),
        Call((strides, 2, 3), ("latents", "row", "column"), ("masked",), "odd sizes"),
        call((2, 3, 4, 4), 2, 1, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def masked_in_place(latents, row, column):
    latents[:, :, row, column] = 0
    return latents


def row_and_column_swapped(latents, row, column):
    return mask_position(latents.mT, row, column).mT


def whole_row(latents, row, column):
    return mask_position(latents, row, slice(None))


def whole_column(latents, row, column):
    return mask_position(latents, slice(None), column)


def cross(latents, row, column):
    return whole_column(whole_row(latents, row, column), row, column)


def first_channel_alone(latents, row, column):
    masked = latents.clone()
    masked[:, 0, row, column] = 0
    return masked


def first_image_alone(latents, row, column):
    masked = latents.clone()
    masked[0, :, row, column] = 0
    return masked


def channel_axis_forgotten(latents, row, column):
    masked = latents.clone()
    masked[:, row, column] = 0
    return masked


def all_but_the_position(latents, row, column):
    return latents - mask_position(latents, row, column)


def ones(latents, row, column):
    masked = latents.clone()
    masked[:, :, row, column] = 1
    return masked


def not_a_number(latents, row, column):
    masked = latents.clone()
    masked[:, :, row, column] = float("nan")
    return masked


def mean_vector(latents, row, column):
    masked = latents.clone()
    masked[:, :, row, column] = latents.mean((2, 3))
    return masked


def mask_on_the_cpu(latents, row, column):
    mask = torch.ones(latents.shape, dtype=latents.dtype)
    mask[:, :, row, column] = 0
    return latents * mask


def mask_for_one_position(latents, row, column):
    mask = torch.ones_like(latents)
    mask[:, :, row, column] = 0
    return mask


def counted_from_one(latents, row, column):
    return mask_position(latents, row - 1, column - 1)


MASK = Exercise(
    name="mask_position",
    lesson="11_inside_the_latents",
    reference=mask_position,
    draw=draw_mask,
    mistakes=(
        Mistake(
            masked_in_place,
            "the zeros were written into the latents themselves: whoever decodes them next, unmasked, finds the hole",
            "common",
        ),
        Mistake(row_and_column_swapped, "row and column are swapped: of (B, D, H, W), H counts the rows", "common"),
        Mistake(whole_row, "the whole row is masked; one position of it was asked for", "common"),
        Mistake(whole_column, "the whole column is masked; one position of it was asked for", "common"),
        Mistake(
            cross, "the whole row and the whole column are masked; wanted is the position where they meet", "common"
        ),
        Mistake(
            first_channel_alone,
            "one channel is masked: a position is one vector of D numbers, and all of them become 0",
            "common",
        ),
        Mistake(
            first_image_alone,
            "the first image alone is masked; wanted is the position in each image of the batch",
            "common",
        ),
        Mistake(
            channel_axis_forgotten,
            "row and column were taken as the second and third axis: the second is the channels, (B, D, H, W)",
            "zoo 4",
        ),
        Mistake(
            all_but_the_position,
            "this is the position alone with everything else masked: the other way round",
            "common",
        ),
        Mistake(ones, "the position holds ones; wanted are zeros", "common"),
        Mistake(
            not_a_number,
            "the position holds NaN: a decoder would spread it over every pixel in reach; wanted are zeros",
            "common",
        ),
        Mistake(mean_vector, "the position holds the mean of the image's latents; wanted are zeros", "lesson 11"),
        Mistake(
            mask_on_the_cpu,
            "the mask is made on the CPU, and the latents may lie on a GPU: a new tensor has to be told, or "
            "made like one that lies there",
            "zoo 6",
        ),
        Mistake(
            mask_for_one_position,
            "this is the mask, ones and a zero vector; wanted are the latents behind it",
            "common",
        ),
        Mistake(
            counted_from_one, "rows and columns were counted from 1; 0 is the first, and -1 would be the last", "common"
        ),
    ),
    hints=(
        "A position is one place in the grid, but in how many numbers of the tensor, (B, D, H, W)?",
        "Two of the four axes are fixed, two are taken whole. And who else holds the tensor that you were given?",
        "a clone first; then, in one assignment, 0 at [all images, all channels, row, column] of the clone",
    ),
)

EXERCISES = [COLOURS, MASK]
