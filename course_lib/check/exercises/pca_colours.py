"""Exercise 11: latents as colours."""

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, Observation, exercise, normal, number
from course_lib.quantize import flatten_latents, unflatten_latents


def pca_colours(latents):
    """(B, D, H, W), D >= 3 -> (B, 3, H, W) in [0, 1], of the same dtype and device.

    The three main directions of all B H W latents together, largest variance
    first. Each channel of each image is stretched from its smallest value, 0,
    to its largest, 1; a channel that is the same all over an image is 0 there.
    """
    ### BEGIN SOLUTION
    flat = latents.movedim(1, -1).flatten(0, 2)  # (B, H, W, D) -> (N, D)
    centred = flat - flat.mean(0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:3]  # (3, D)
    projected = centred @ directions.T  # (N, 3)
    batch, _, height, width = latents.shape
    maps = projected.reshape(batch, height, width, 3).movedim(-1, 1)  # (B, 3, H, W)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)  # (B, 3, 1, 1)
    return (maps - low) / (high - low).clamp(min=1e-8)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
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
        call(0.03 * latents(2, 4, 3, 3), part="small latents"),  # where what is added below a fraction counts
        call(latents(7, 4, 1, 1), part="constant channels"),
        call(uniform, part="constant channels"),
        call(latents(3, 5, 3, 3, torch.float64), part="dtypes", elsewhere=True),
    ]


def up_to_the_sign(call: Call, observation: Observation) -> Observation:
    """A direction and its opposite are both right: of x and 1 - x, the one nearer to the right answer's, for each
    channel over the whole batch. Where a channel is constant up to rounding, what became of the rounding is not
    looked at."""
    colours, latents = observation.get("colours"), call.args[0].double()
    shape = (len(latents), 3, *latents.shape[2:])
    if not isinstance(colours, Tensor) or colours.shape != shape or not colours.is_floating_point():
        return observation
    rows = flatten_latents(latents)  # (N, D)
    centred = rows - rows.mean(0)
    maps = unflatten_latents(centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:3].T, shape)  # (B, 3, H, W)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)  # (B, 3, 1, 1)
    constant = (high - low < 1e-4).expand_as(maps)
    several = latents[0, 0].numel() > 1  # one position alone is constant exactly
    rounded = constant & several & (colours >= 0) & (colours <= 1)  # what rounding was stretched to; not NaN
    colours = colours.masked_fill(rounded, 0)
    if torch.allclose(colours.double().abs(), maps.abs(), 1e-2, 1e-2):
        return observation | {
            "colours": maps.to(colours.dtype)
        }  # not stretched yet, and so below 0, whatever the signs
    turned = torch.where(constant, colours, 1 - colours)
    target = ((maps - low) / (high - low)).masked_fill(constant, 0)
    apart, turned_apart = ((x - target).abs().nan_to_num(9.0).sum((0, 2, 3)) for x in (colours, turned))  # (3,)
    return observation | {"colours": torch.where((turned_apart < apart)[:, None, None], turned, colours)}


def one_pca_for_each_image(latents):
    return torch.cat([pca_colours(image) for image in latents.split(1)])


WRONG = r"""
latents.movedim(1, -1).flatten(0, 2) -> latents.reshape(-1, latents.shape[1])  # zoo 4
reshape(batch, height, width, 3).movedim(-1, 1) -> reshape(batch, 3, height, width)
    (B, D, H, W) was reshaped to (N, D) with the channels still second: a row then mixes positions, and so do the
    colours
latents.movedim(1, -1).flatten(0, 2) -> latents.reshape(-1, latents.shape[1])  # zoo 4
    on the way to (N, D) the channels were still second, so a row is no latent; on the way back they were moved
reshape(batch, height, width, 3).movedim(-1, 1) -> reshape(batch, 3, height, width)  # zoo 4
    the rows are right, but on the way back they were reshaped to (B, 3, H, W) at once: the three numbers of a row
    stand last
- flat.mean(0) ->
    the rows were not centred: the first direction then points from the origin to their mean, not along their spread
flat.mean(0) -> flat.mean()
    one number was subtracted, the mean of everything; centring takes the mean row, one number for each of D
flat.mean(0) -> flat.mean(1, keepdim=True)
    each row lost its own mean over D; centring subtracts the mean row, taken over all N
flat - flat.mean(0) -> (flat - flat.mean(0)) / flat.std(0)
    the D numbers were divided by their spread, as scikit-learn's scaler does; the directions of largest variance need
    the variances as they are
amin((2, 3) -> amin((0, 2, 3)  # lesson 11
amax((2, 3) -> amax((0, 2, 3)
    the channels were stretched by the extremes of the whole batch; asked for are those of each image
amin((2, 3) -> amin((1, 2, 3)
amax((2, 3) -> amax((1, 2, 3)
    one pair of extremes was taken for all three channels of an image; each channel has its own
low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True) -> low, high = maps.min(), maps.max()
    one pair of extremes was taken for all images and channels; each channel of each image has its own
amin((2, 3) -> amin(1
amax((2, 3) -> amax(1
    the extremes were taken over the channels, at each position by itself: every pixel then has a 0 and a 1, whatever
    its neighbours are
projected.reshape(batch, height, width, 3).movedim(-1, 1) -> latents[:, :3]
    these are the first three of the D channels; wanted are the three directions of largest variance
-> one_pca_for_each_image
    each image got its own directions: red then means something else in each of them. Take the directions from all
    images together
return maps
    these are the projections themselves, below 0 and above 1; a colour lies in [0, 1]
return maps.clamp(0, 1)
    the projections were cut off at 0 and 1: half of them are below 0, and all of those become 0
return maps.sigmoid()
    a sigmoid brings everything into (0, 1), but the extremes of an image are to become 0 and 1 exactly
(high - low).clamp(min=1e-8) -> (high - low + 1e-3)
    something was added below the fraction: where the latents are small it counts, and the largest value is not 1
.clamp(min=1e-8) ->
    a channel that is the same at all positions got 0 / 0: it should be 0 there
svd(centred, full_matrices=False).Vh[:3] -> eigh(centred.T @ centred).eigenvectors[:, :3].T
    these are the directions of smallest variance: eigh gives its eigenvalues in ascending order
Vh[:3] -> Vh[:3].flip(0)
    the three directions are the right ones in the opposite order: the first channel is for the largest variance
svd(centred, full_matrices=False).Vh[:3] -> svd(centred).Vh[:, :3].T
    the directions are the rows of the third result of torch.linalg.svd, which is V transposed; here its columns were
    taken
return ((maps - low) / (high - low).clamp(min=1e-8)).movedim(1, -1)
    the channels came last, as pictures are drawn; wanted is (B, 3, H, W)
svd(centred, full_matrices=False).Vh[:3] -> eigh(centred.T @ centred).eigenvectors.flip(1)[:3]
    rows of eigh's eigenvectors were taken; each eigenvector is a column
svd(centred, full_matrices=False).Vh[:3] -> eigh(centred.T @ centred).eigenvectors[-3:]
    rows of eigh's eigenvectors were taken, the last ones; each eigenvector is a column
svd(centred, full_matrices=False).Vh[:3] -> eigh(centred.T @ centred).eigenvectors[:3]
    rows of eigh's eigenvectors were taken, the first ones; each eigenvector is a column, and they ascend
reshape(batch, height, width, 3) -> reshape(batch, width, height, 3)
    height and width have changed places on the way back to a grid
return ((maps - low) / (high - low).clamp(min=1e-8)).mT
    height and width have changed places: each picture lies on its side
/ (high - low).clamp(min=1e-8) -> / high
    what is left after the smallest value is taken off was divided by the largest, and not by what is between the two
return maps / high
    the projections were divided by their largest value alone: the smallest is not 0 then
return torch.where(high - low > 1e-6, (maps - low) / (high - low).clamp(min=1e-8), 0.5)
    a channel that is the same all over an image became 0.5, a middling grey; asked for is another number
"""


def picture(axes, answer) -> None:
    """Two images of 16 x 16 latents: a slope, a disc and stripes, mixed into eight channels."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    disc, stripes = (x.square() + y.square() < 0.4).float(), (9 * y).sin()
    images = torch.stack([2 * x, disc, 0.3 * stripes]), torch.stack([-y, -disc, 0.2 * stripes.mT])
    mix = torch.linalg.qr(torch.randn(8, 3, generator=torch.Generator().manual_seed(0))).Q  # (8, 3)
    latents = torch.einsum("dk,bkhw->bdhw", mix, torch.stack(images))  # (2, 8, 16, 16)
    colours = up_to_the_sign(Call((latents,), ("latents",)), {"colours": torch.as_tensor(answer(latents))})["colours"]
    gap = torch.ones(16, 1, 3)
    both = torch.cat([colours[0].movedim(0, -1), gap, colours[1].movedim(0, -1)], dim=1)  # (16, 33, 3)
    axes.imshow(both.clamp(0, 1).numpy())
    axes.set(xticks=[], yticks=[], xlabel="two images of 16 x 16 latents")


EXERCISE = exercise(
    pca_colours,
    lesson="11_inside_the_latents",
    points=2,
    draw=draw,
    view=up_to_the_sign,
    wrong=WRONG,
    picture=picture,
    allowance=(2e-3, 2e-3),  # a narrow channel is stretched, and its rounding with it
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
