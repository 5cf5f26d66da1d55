"""Exercise 15: fifteen short programs, each with one fault that published code carries.

A reference does what the mended program does, the mistake marked `planted` what the program does as it is handed out.
The first call belongs to the part of the mark in which the fault shows, so that an unmended program has a score of 0.
No mistake raises: another error of the same kind, raised in the same calls, would be taken for it.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from course_lib import quantize
from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call, Seed

LESSON = "15_bug_hunt"


def nearest(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1)  # (N,)


def chosen_by(flat, codebook):
    return F.one_hot(nearest(flat, codebook), len(codebook)).to(flat.dtype)  # (N, K)


# ----------------------------------------------------------------------------------------------------------------------
# bug_01: the nearest codes, and how far they are


def draw_01(generator: Generator) -> list[Call]:
    def call(n, k, d, part="values", dtype=torch.float32, **more):
        args = normal(generator, n, d).to(dtype), normal(generator, k, d).to(dtype)
        return Call(args, ("flat", "codebook"), ("codes", "error"), part, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((1, 4, 3), (5, 1, 2), (6, 7, 1), (40, 30, 2))]
    return [call(6, 5, 3), *odd, call(4, 6, 2, part="dtypes", dtype=torch.float64, elsewhere=True)]


def assigned(flat, codebook, codes):
    return codes, (flat - codebook[codes]).square().sum(dim=1).mean()


def squared_distances(flat, codebook):
    squares = flat.square().sum(dim=1, keepdim=True) + codebook.square().sum(dim=1)  # (N, K)
    return squares - 2 * flat @ codebook.T  # (N, K)


def nearest_and_error(flat, codebook):
    return assigned(flat, codebook, squared_distances(flat, codebook).argmin(dim=1))


def farthest(flat, codebook):
    return assigned(flat, codebook, squared_distances(flat, codebook).argmax(dim=1))


def largest_product(flat, codebook):
    return assigned(flat, codebook, (flat @ codebook.T).argmax(dim=1))


def nearest_to_the_opposite(flat, codebook):
    return assigned(flat, codebook, squared_distances(-flat, codebook).argmin(dim=1))


def error_alone(flat, codebook):
    distances = squared_distances(flat, codebook)
    return distances.argmax(dim=1), distances.amin(dim=1).mean()


def mean_over_dimension_too(flat, codebook):
    codes = nearest(flat, codebook)
    return codes, F.mse_loss(codebook[codes], flat)


NEAREST = Exercise(
    name="bug_01",
    lesson=LESSON,
    reference=nearest_and_error,
    draw=draw_01,
    mistakes=(
        Mistake(
            farthest,
            "the program does what it did. Take a single latent: print its row of distances, and the place in that row "
            "that was chosen",
            "zoo 1",
            planted=True,
        ),
        Mistake(
            largest_product,
            "argmax of the scalar product alone: long codes win it, near ones need not. The lengths of the codes "
            "belong to the comparison",
            "common",
        ),
        Mistake(
            nearest_to_the_opposite,
            "the middle term has lost its sign: squares plus twice the product is the distance to -x",
            "common",
        ),
        Mistake(
            error_alone, "the error is that of the nearest codes now, and the codes are still the others", "common"
        ),
        Mistake(
            mean_over_dimension_too,
            "the codes are right. The error was promised as a sum over D; mse_loss takes the mean over D as well",
            "zoo 20",
        ),
    ),
    hints=(
        "Take one latent and a codebook of two, one near and one far. Which of the two does it get?",
        "A table of distances and a table of similarities are read in opposite ways: the best of the one is its "
        "smallest entry, that of the other its largest.",
        "codes = torch.arg...(distances, dim=1): the table holds distances, so which of the two words?",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_02: flatten, quantise, unflatten


def draw_02(generator: Generator) -> list[Call]:
    def call(shape, k, part="values", dtype=torch.float32, change=lambda latents: latents, **more):
        latents, codebook = normal(generator, *shape).to(dtype), normal(generator, k, shape[1]).to(dtype)
        return Call((change(latents), codebook), ("latents", "codebook"), ("quantized", "codes"), part, **more)

    shapes = ((1, 4, 3, 5), (3, 1, 2, 2), (2, 3, 1, 1), (1, 2, 1, 6), (2, 5, 4, 4))
    return [
        call((2, 3, 2, 4), 6),
        *(call(shape, 5, part="odd sizes") for shape in shapes),
        call((2, 3, 3, 2), 4, part="odd sizes", change=scattered),
        call((2, 2, 3, 2), 4, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def channels_moved(latents, codebook):
    batch, dim, height, width = latents.shape
    codes = nearest(latents.permute(0, 2, 3, 1).reshape(-1, dim), codebook)  # (B H W,)
    quantized = codebook[codes].reshape(batch, height, width, dim).permute(0, 3, 1, 2)  # (B, D, H, W)
    return quantized, codes.reshape(batch, height, width)


def channels_left_in_place(latents, codebook):
    batch, dim, height, width = latents.shape
    codes = nearest(latents.reshape(-1, dim), codebook)
    return codebook[codes].reshape(latents.shape), codes.reshape(batch, height, width)


def way_back_left(latents, codebook):
    batch, dim, height, width = latents.shape
    codes = nearest(latents.permute(0, 2, 3, 1).reshape(-1, dim), codebook)
    return codebook[codes].reshape(latents.shape), codes.reshape(batch, height, width)


def way_in_left(latents, codebook):
    batch, dim, height, width = latents.shape
    codes = nearest(latents.reshape(-1, dim), codebook)
    quantized = codebook[codes].reshape(batch, height, width, dim).permute(0, 3, 1, 2)
    return quantized, codes.reshape(batch, height, width)


def height_and_width_swapped(latents, codebook):
    batch, dim, height, width = latents.shape
    codes = nearest(latents.transpose(1, 3).reshape(-1, dim), codebook)  # rows in the order B, W, H
    quantized = codebook[codes].reshape(batch, width, height, dim).transpose(1, 3)
    return quantized, codes.reshape(batch, height, width)


def batch_and_channels_swapped(latents, codebook):
    batch, dim, height, width = latents.shape
    codes = nearest(latents.transpose(0, 1).reshape(-1, dim), codebook)
    quantized = codebook[codes].reshape(dim, batch, height, width).transpose(0, 1)
    return quantized, codes.reshape(batch, height, width)


FLATTEN = Exercise(
    name="bug_02",
    lesson=LESSON,
    reference=channels_moved,
    draw=draw_02,
    mistakes=(
        Mistake(
            channels_left_in_place,
            "the program does what it did. Fill latents so that every number says where it stands, b, d, h and w, and "
            "print the first row of flat",
            "zoo 4",
            planted=True,
        ),
        Mistake(
            way_back_left,
            "the codes are right now; on the way back the rows are still read as if the channels came before the "
            "positions",
            "zoo 4",
        ),
        Mistake(
            way_in_left,
            "the way back is mended, the way in is not: a row of flat still holds numbers of several positions",
            "zoo 4",
        ),
        Mistake(
            height_and_width_swapped,
            "the vectors are right, and the rows run down the columns of the picture: the order is B, W, H, and the "
            "codes are laid out as B, H, W",
            "common",
        ),
        Mistake(
            batch_and_channels_swapped,
            "batch and channels have changed places: the channels have to become the last axis, not the first",
            "common",
        ),
    ),
    hints=(
        "Which numbers of the latents should stand together in one row of flat, and which do?",
        "reshape never moves a number: it cuts the sequence in memory anew. In (B, D, H, W) neighbours in memory "
        "are neighbours along W, not along D. The axis that becomes the row has to be the last one first.",
        "in: move axis 1 to the end, then reshape(-1, dim). back: reshape(batch, height, width, dim), then move the "
        "last axis to place 1.",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_03: epochs over a shuffled loader


def draw_03(generator: Generator) -> list[Call]:
    names = ("latents", "codebook", "batch_size", "epochs", "generator")

    def call(n, k, batch_size, epochs, part="values", **more):
        args = normal(generator, n, 2), normal(generator, k, 2), batch_size, epochs
        return Call((*args, Seed(number(generator, 0, 10**6))), names, ("counts", "order"), part, **more)

    # no fewer than 12 latents: the chance that an order comes twice must be as good as none
    odd = [call(*sizes, part="odd sizes") for sizes in ((14, 5, 5, 2), (13, 1, 12, 3))]
    return [call(12, 4, 4, 3), *odd, call(12, 3, 20, 2, part="the generator", again=True, reseeded=True)]


def epochs_told(call: Call, seen: Observation) -> Observation:
    """Any new order will do: what counts is that each epoch is one, whole."""
    latents, epochs = call.args[0], call.args[3]
    order = seen.pop("order", None)
    is_table = isinstance(order, Tensor) and order.ndim == 2
    rows, every = order.tolist() if is_table else [], list(range(len(latents)))
    told = {
        "order": f"{tuple(order.shape)} of {order.dtype}" if isinstance(order, Tensor) else "no tensor",
        "epochs in which every latent came once": f"{sum(sorted(row) == every for row in rows)} of {epochs}",
        "epochs in the order of the one before": sum(one == other for one, other in zip(rows, rows[1:])),
        "epochs in the order of the data": sum(row == every for row in rows),
    }
    return {"kind of result": seen.pop("kind of result", "none"), **told, **seen}


def numbered_loader(latents, batch_size, generator, **more):
    rows = TensorDataset(torch.arange(len(latents)), latents)
    return DataLoader(rows, batch_size, **({"shuffle": True} | more), generator=generator)


def counted(latents, codebook, epochs, batches_of):
    """batches_of(): the batches of an epoch."""
    counts, order = torch.zeros(epochs, len(codebook), dtype=torch.int64), []
    for epoch in range(epochs):
        came = []
        for numbers, batch in batches_of():
            counts[epoch] += torch.bincount(nearest(batch, codebook), minlength=len(codebook))
            came.append(numbers)
        order.append(torch.cat(came))
    return counts, torch.stack(order)


def one_pass_each(latents, codebook, batch_size, epochs, generator):
    loader = numbered_loader(latents, batch_size, generator)
    return counted(latents, codebook, epochs, lambda: loader)


def first_batch_each_time(latents, codebook, batch_size, epochs, generator):
    loader = numbered_loader(latents, batch_size, generator)
    return counted(latents, codebook, epochs, lambda: (next(iter(loader)) for _ in range(len(loader))))


def first_epoch_repeated(latents, codebook, batch_size, epochs, generator):
    batches = list(numbered_loader(latents, batch_size, generator))
    return counted(latents, codebook, epochs, lambda: batches)


def not_shuffled(latents, codebook, batch_size, epochs, generator):
    loader = numbered_loader(latents, batch_size, generator, shuffle=False)
    return counted(latents, codebook, epochs, lambda: loader)


def last_batch_dropped(latents, codebook, batch_size, epochs, generator):
    size = min(batch_size, len(latents))  # a loader without any batch would have nothing to join
    loader = numbered_loader(latents, size, generator, drop_last=True)
    return counted(latents, codebook, epochs, lambda: loader)


def generator_forgotten(latents, codebook, batch_size, epochs, generator):
    loader = numbered_loader(latents, batch_size, None)
    return counted(latents, codebook, epochs, lambda: loader)


EPOCHS = Exercise(
    name="bug_03",
    lesson=LESSON,
    reference=one_pass_each,
    draw=draw_03,
    view=epochs_told,
    mistakes=(
        Mistake(
            first_batch_each_time,
            "the program does what it did. Look at one row of order: does every number occur, and how often?",
            "zoo 7",
            planted=True,
        ),
        Mistake(
            first_epoch_repeated,
            "each epoch is whole, and all have the order of the first: the shuffling happened once, before the epochs",
            "common",
        ),
        Mistake(
            not_shuffled, "each latent comes once, in the order of the data; a new random order was promised", "common"
        ),
        Mistake(
            generator_forgotten,
            "each epoch is whole and new, and the generator that was handed over draws none of them: with the same "
            "generator the same orders should come",
            "mutation",
        ),
        Mistake(
            last_batch_dropped,
            "where batch_size does not divide N, the rest is left out: the last batch may be smaller, but it has to "
            "come",
            "common",
        ),
    ),
    hints=(
        "How many latents does an epoch look at, and are they all different? Sort one row of order.",
        "iter(loader) begins anew: it draws a new order and stands before the first batch of it. Whoever asks for a new "
        "iterator before each batch sees only first batches.",
        "inside an epoch ask for one iterator and use it up; a for loop does both: for numbers, batch in ...",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_04: a usage tracker that forgets


def draw_04(generator: Generator) -> list[Call]:
    def call(batches, n, k, decay, part="values", **more):
        codes = torch.randint(0, k, (batches, n), generator=generator)
        return Call((codes, k, decay), ("batches", "codebook_size", "decay"), ("usage",), part, **more)

    odd = [
        call(*sizes, part="odd sizes") for sizes in ((1, 6, 4, 0.99), (5, 1, 3, 0.5), (4, 7, 1, 0.8), (3, 5, 4, 0.0))
    ]
    return [call(3, 6, 4, 0.9), *odd, call(30, 8, 5, 0.7, part="many batches", elsewhere=True)]


def average_of(batches, codebook_size, step, start=0.0):
    usage = torch.full((codebook_size,), start, device=batches.device)
    for codes in batches:
        usage = step(usage, torch.bincount(codes, minlength=codebook_size))
    return usage


def moving_average(batches, codebook_size, decay):
    return average_of(batches, codebook_size, lambda usage, counts: decay * usage + (1 - decay) * counts)


def decayed_sum(batches, codebook_size, decay):
    return average_of(batches, codebook_size, lambda usage, counts: decay * usage + counts)


def weights_swapped(batches, codebook_size, decay):
    return average_of(batches, codebook_size, lambda usage, counts: (1 - decay) * usage + decay * counts)


def share_of_the_batch(batches, codebook_size, decay):
    n = batches.shape[1]
    return average_of(batches, codebook_size, lambda usage, counts: decay * usage + (1 - decay) * counts / n)


def corrected_for_the_start(batches, codebook_size, decay):
    return moving_average(batches, codebook_size, decay) / (1 - decay ** len(batches))


def plain_mean(batches, codebook_size, decay):
    return average_of(batches, codebook_size, lambda usage, counts: usage + counts / len(batches))


def begun_at_one(batches, codebook_size, decay):
    return average_of(batches, codebook_size, lambda usage, counts: decay * usage + (1 - decay) * counts, start=1.0)


def begun_at_the_first_batch(batches, codebook_size, decay):
    first = torch.bincount(batches[0], minlength=codebook_size)
    return moving_average(batches, codebook_size, decay) + decay ** len(batches) * first


TRACKER = Exercise(
    name="bug_04",
    lesson=LESSON,
    reference=moving_average,
    draw=draw_04,
    mistakes=(
        Mistake(
            decayed_sum,
            "the program does what it did. Give it the same batch a thousand times: at which number does usage "
            "settle, and at which should it?",
            "zoo 24",
            planted=True,
        ),
        Mistake(
            weights_swapped,
            "the two weights have changed places: decay is what stays of the old, and the rest goes to the new",
            "common",
        ),
        Mistake(
            share_of_the_batch,
            "this settles at the share of the batch that chose a code; promised is how many latents of a batch did",
            "common",
        ),
        Mistake(
            corrected_for_the_start,
            "divided by 1 - decay^T, as Adam does: that takes the start at 0 out again, and the start at 0 was "
            "promised",
            "common",
        ),
        Mistake(
            plain_mean, "all batches weigh alike here; an older one is to weigh less, by decay for each batch", "common"
        ),
        Mistake(begun_at_the_first_batch, "it starts at the counts of the first batch; 0 was promised", "common"),
        Mistake(begun_at_one, "usage begins at 1 here; it was promised to begin at 0", "lesson 06"),
    ),
    hints=(
        "Suppose each batch has the same counts. Which number u does the update leave as it is? Solve for it.",
        "An average gives its parts weights that add up to 1. What are the two weights here, and what is their sum?",
        "usage = decay * usage + (what is left of 1) * counts",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_05: a stack of residual layers


def draw_05(generator: Generator) -> list[Call]:
    def call(batch, channels, hidden, layers, size, part="values", **more):
        build = {"channels": channels, "hidden": hidden, "layers": layers}
        return Call(
            (normal(generator, batch, channels, *size),), ("x",), part=part, build=build, differentiate=(0,), **more
        )

    one, many = call(1, 2, 1, 1, (3, 1), part="odd sizes"), call(2, 1, 3, 4, (2, 3), part="odd sizes", elsewhere=True)
    return [call(2, 3, 2, 2, (3, 4)), one, many]


def residual_layer(channels, hidden, first=None):
    return nn.Sequential(
        nn.ReLU(),
        first or nn.Conv2d(channels, hidden, kernel_size=3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
    )


class OwnLayers(nn.Module):
    def __init__(self, channels, hidden, layers):
        super().__init__()
        self.layers = self.made(channels, hidden, layers)

    def made(self, channels, hidden, layers):
        return nn.ModuleList([residual_layer(channels, hidden) for _ in range(layers)])

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return F.relu(x)


class OneLayerRepeated(OwnLayers):
    def made(self, channels, hidden, layers):
        return nn.ModuleList([residual_layer(channels, hidden)] * layers)


class PlainList(OwnLayers):
    def made(self, channels, hidden, layers):
        return [residual_layer(channels, hidden) for _ in range(layers)]


class OneConvolutionShared(OwnLayers):
    def made(self, channels, hidden, layers):
        first = nn.Conv2d(channels, hidden, kernel_size=3, padding=1, bias=False)
        return nn.ModuleList([residual_layer(channels, hidden, first) for _ in range(layers)])


class OneLayerTooMany(OwnLayers):
    def made(self, channels, hidden, layers):
        return nn.ModuleList([residual_layer(channels, hidden) for _ in range(layers + 1)])


class OneSkipForAll(OwnLayers):
    def forward(self, x):
        return F.relu(x + nn.Sequential(*self.layers)(x))


STACK = Exercise(
    name="bug_05",
    lesson=LESSON,
    reference=OwnLayers,
    draw=draw_05,
    mistakes=(
        Mistake(
            OneLayerRepeated,
            "the program does what it did. Count the parameters of a stack of one layer and of a stack of three",
            "zoo 14",
            planted=True,
        ),
        Mistake(
            PlainList,
            "the layers are separate now, and stand in a plain list: parameters() does not look into it, so an "
            "optimiser would get none of them",
            "common",
        ),
        Mistake(
            OneConvolutionShared,
            "the 1x1 convolutions are separate, the 3x3 convolution is still one object in all layers",
            "zoo 14",
        ),
        Mistake(
            OneLayerTooMany, "there is one layer more than was asked for: does the first one count twice?", "common"
        ),
        Mistake(
            OneSkipForAll,
            "x is added once, around the whole stack; each layer adds its own input to what it computes",
            "common",
        ),
    ),
    hints=(
        "Change one weight of the first layer. Does the second layer change too? Python's `is` can tell.",
        "[layer] * 3 is a list of three names for one object. To have three objects, three have to be made.",
        "a list with one call of self.branch for each layer: [... for _ in range(layers)], inside nn.ModuleList",
    ),
    allowance=(1e-3, 1e-4),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_06: hide one position of each image


def draw_06(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, **more):
        latents = normal(generator, *shape).to(dtype)
        positions = torch.randint(0, shape[2] * shape[3], shape[:1], generator=generator)
        return Call((latents, positions), ("latents", "positions"), ("masked",), part, **more)

    odd = [call(*shape, part="odd sizes") for shape in ((1, 2, 1, 1), (4, 1, 2, 5), (5, 3, 4, 2))]
    plain = call(3, 2, 2, 3, part="devices", elsewhere=True)
    return [plain, call(2, 3, 3, 2), *odd, call(2, 3, 3, 3, part="dtypes", dtype=torch.float64)]


def rows_and_columns(latents, positions):
    width = latents.shape[3]
    return torch.arange(len(latents), device=latents.device), positions // width, positions % width


def masks_beside_the_latents(latents, positions):
    masked = latents.clone()
    images, rows, columns = rows_and_columns(latents, positions)
    masked[images, :, rows, columns] = 0
    return masked


def machine_asked(latents, positions):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch, _, height, width = latents.shape
    masks = torch.ones(batch, height * width, device=device)  # (B, H W)
    masks[torch.arange(batch), positions] = 0
    return latents * masks.reshape(batch, 1, height, width)


def told_no_device(latents, positions):
    batch, _, height, width = latents.shape
    masks = torch.ones(batch, height * width)
    masks[torch.arange(batch), positions] = 0
    return latents * masks.reshape(batch, 1, height, width)


def everything_brought_to_the_cpu(latents, positions):
    batch, _, height, width = latents.shape
    masks = torch.ones(batch, height * width)
    masks[torch.arange(batch), positions] = 0
    return latents.cpu() * masks.reshape(batch, 1, height, width)


def latents_overwritten(latents, positions):
    images, rows, columns = rows_and_columns(latents, positions)
    latents[images, :, rows, columns] = 0
    return latents


def every_position_in_every_image(latents, positions):
    masked = latents.clone()
    _, rows, columns = rows_and_columns(latents, positions)
    masked[:, :, rows, columns] = 0
    return masked


def one_number_hidden(latents, positions):
    masked = latents.clone()
    images, rows, columns = rows_and_columns(latents, positions)
    masked[images, 0, rows, columns] = 0
    return masked


MASKS = Exercise(
    name="bug_06",
    lesson=LESSON,
    reference=masks_beside_the_latents,
    draw=draw_06,
    mistakes=(
        Mistake(
            machine_asked,
            "the values are right; the masks lie where the machine says, or a kind of device, and not where the latents are. Which "
            "tensor does the program make, and from whom does it get its place?",
            "zoo 6",
            planted=True,
        ),
        Mistake(
            told_no_device,
            "the masks are told no place at all now, so they lie on the CPU; they belong where the latents are",
            "common",
        ),
        Mistake(
            everything_brought_to_the_cpu,
            "the latents are brought to the masks: the result lies on the CPU, and a decoder on the GPU cannot take it",
            "common",
        ),
        Mistake(
            latents_overwritten, "the caller's latents have lost these positions too: promised was a copy", "common"
        ),
        Mistake(
            every_position_in_every_image,
            "each image has lost the positions of all the others as well: `:` on the first axis means every image",
            "common",
        ),
        Mistake(one_number_hidden, "one number of the vector is 0; all D of them were to be", "common"),
    ),
    hints=(
        "Who could call this with latents that lie elsewhere than the masks? Think of a machine with a GPU, and a "
        "model that somebody left on the CPU.",
        "A tensor that is made inside a function belongs where the function's inputs are. The machine does not know "
        "that; the inputs do.",
        "torch.ones(batch, height * width, device=the device of latents), or a method of latents that makes ones",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_07: how much of the codebook a data set uses


def draw_07(generator: Generator) -> list[Call]:
    def call(n, k, d, batch_size, part="values", dtype=torch.float32, **more):
        args = normal(generator, n, d).to(dtype), normal(generator, k, d).to(dtype), batch_size
        return Call(args, ("latents", "codebook", "batch_size"), ("usage", "perplexity"), part, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((23, 6, 3, 5), (7, 5, 2, 1), (6, 4, 2, 10), (9, 1, 2, 4))]
    return [call(24, 8, 2, 6), *odd, call(11, 5, 1, 3, part="dtypes", dtype=torch.float64, elsewhere=True)]


def usage_of(share):
    return (share > 0).float().mean()


def perplexity_of(share):
    return torch.special.entr(share).sum().exp()


def batch_shares(latents, codebook, batch_size):
    return [chosen_by(batch, codebook).float().mean(dim=0) for batch in latents.split(batch_size)]


def whole_data_set(latents, codebook, batch_size):
    counts = sum(chosen_by(batch, codebook).float().sum(dim=0) for batch in latents.split(batch_size))
    share = counts / len(latents)
    return usage_of(share), perplexity_of(share)


def mean_of_the_batches(latents, codebook, batch_size):
    shares = batch_shares(latents, codebook, batch_size)
    return torch.stack([usage_of(s) for s in shares]).mean(), torch.stack([perplexity_of(s) for s in shares]).mean()


def largest_of_the_batches(latents, codebook, batch_size):
    shares = batch_shares(latents, codebook, batch_size)
    return torch.stack([usage_of(s) for s in shares]).max(), torch.stack([perplexity_of(s) for s in shares]).max()


def perplexity_left(latents, codebook, batch_size):
    usage, _ = whole_data_set(latents, codebook, batch_size)
    return usage, mean_of_the_batches(latents, codebook, batch_size)[1]


def usage_left(latents, codebook, batch_size):
    _, perplexity = whole_data_set(latents, codebook, batch_size)
    return mean_of_the_batches(latents, codebook, batch_size)[0], perplexity


def batches_weigh_alike(latents, codebook, batch_size):
    share = torch.stack(batch_shares(latents, codebook, batch_size)).mean(dim=0)
    return usage_of(share), perplexity_of(share)


def weighted_by_size(latents, codebook, batch_size):
    shares = batch_shares(latents, codebook, batch_size)
    weights = latents.new_tensor([len(batch) for batch in latents.split(batch_size)]).float() / len(latents)
    found = [(torch.stack([measure(s) for s in shares]) * weights).sum() for measure in (usage_of, perplexity_of)]
    return tuple(found)


USAGE = Exercise(
    name="bug_07",
    lesson=LESSON,
    reference=whole_data_set,
    draw=draw_07,
    mistakes=(
        Mistake(
            mean_of_the_batches,
            "the program does what it did. Call it twice on the same latents, with two batch sizes",
            "zoo 19",
            planted=True,
        ),
        Mistake(
            largest_of_the_batches,
            "the fullest batch still shows no more than one batch can: codes that occur in different batches have to "
            "be counted together",
            "common",
        ),
        Mistake(
            perplexity_left,
            "usage is that of the whole data set now, perplexity is still a mean over batches",
            "zoo 19",
        ),
        Mistake(
            usage_left, "perplexity is that of the whole data set now, usage is still a mean over batches", "zoo 19"
        ),
        Mistake(
            batches_weigh_alike,
            "the shares of the batches were averaged: right for batches of one size; a smaller last batch then weighs "
            "too much",
            "common",
        ),
        Mistake(
            weighted_by_size,
            "the batches are weighted by their sizes, and still measured one by one: a measure of the whole needs the "
            "counts of the whole",
            "common",
        ),
    ),
    hints=(
        "With a batch size of 1, what are usage and perplexity of any batch? What does their mean say of the codebook?",
        "Neither measure can be averaged over batches: a code that is missing in one batch may occur in the next. What "
        "can be added up batch by batch is the histogram.",
        "counts = counts + torch.bincount(codes, minlength=...) in the loop; share, usage and perplexity once, after "
        "it",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_08: how the moving averages begin


def draw_08(generator: Generator) -> list[Call]:
    def call(batches, n, k, d, decay, part="values", dtype=torch.float32, **more):
        codebook = normal(generator, k, d)
        codebook[-1] += 20  # out of reach: nobody will choose it
        args = codebook.to(dtype), normal(generator, batches, n, d).to(dtype), decay
        seed = number(generator, 0, 10**6)
        return Call(args, ("codebook", "batches", "decay"), ("codebook in the end",), part, seed=seed, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((2, 1, 4, 3, 0.5), (3, 9, 2, 1, 0.99), (3, 12, 6, 2, 0.8))]
    return [call(1, 6, 4, 2, 0.9), *odd, call(2, 5, 3, 2, 0.7, part="dtypes", dtype=torch.float64, elsewhere=True)]


def averaged(codebook, batches, decay, cluster_size, embed_sum):
    for flat in batches:
        chosen = chosen_by(flat, codebook)  # (N, K)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
        codebook = embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)  # (K, D)
    return codebook


def one_latent_each(codebook, batches, decay):
    return averaged(codebook, batches, decay, torch.ones_like(codebook[:, 0]), codebook)


def nothing_and_noise(codebook, batches, decay):
    return averaged(codebook, batches, decay, torch.zeros_like(codebook[:, 0]), torch.randn_like(codebook))


def sums_alone_mended(codebook, batches, decay):
    return averaged(codebook, batches, decay, torch.zeros_like(codebook[:, 0]), codebook)


def counts_alone_mended(codebook, batches, decay):
    return averaged(codebook, batches, decay, torch.ones_like(codebook[:, 0]), torch.randn_like(codebook))


def nothing_at_all(codebook, batches, decay):
    return averaged(codebook, batches, decay, torch.zeros_like(codebook[:, 0]), torch.zeros_like(codebook))


def one_latent_at_the_origin(codebook, batches, decay):
    return averaged(codebook, batches, decay, torch.ones_like(codebook[:, 0]), torch.zeros_like(codebook))


def an_even_share_each(codebook, batches, decay):
    share = batches.shape[1] / len(codebook)
    return averaged(codebook, batches, decay, torch.full_like(codebook[:, 0], share), share * codebook)


START = Exercise(
    name="bug_08",
    lesson=LESSON,
    reference=one_latent_each,
    draw=draw_08,
    mistakes=(
        Mistake(
            nothing_and_noise,
            "the program does what it did. Before the first batch, what is embed_sum over cluster_size, and what "
            "should it be?",
            "zoo 8",
            planted=True,
        ),
        Mistake(
            sums_alone_mended,
            "the sums are those of the codes now, the counts still begin at 0: a sum of one latent over a count of "
            "none",
            "zoo 8",
        ),
        Mistake(
            counts_alone_mended,
            "the counts begin at 1 now, and the sums are still random numbers that have nothing to do with the codes",
            "zoo 8",
        ),
        Mistake(
            nothing_at_all,
            "counts and sums begin at 0 together: then a code that nobody chooses is 0 over next to nothing, and "
            "moves to the origin",
            "common",
        ),
        Mistake(
            one_latent_at_the_origin,
            "each code counts as one latent whose sum is 0: that latent lies at the origin, not where the code lies",
            "common",
        ),
        Mistake(
            an_even_share_each,
            "counts and sums fit each other; each code counts as N / K latents, where the promise says one",
            "common",
        ),
    ),
    hints=(
        "An update divides embed_sum by cluster_size. If no batch had come yet, which vectors should that division "
        "give?",
        "Counts and sums describe the same latents. At the start these are imagined: one for each code, lying on it. "
        "How many is that for each code, and what is their sum?",
        "cluster_size = ... of ones; embed_sum = ... of the codebook",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_09: training and evaluation


def draw_09(generator: Generator) -> list[Call]:
    gives = ("vq", "codes", "codebook", "cluster_size", "embed_sum")

    def call(n, dim, k, decay, training, part="values", differentiate=(0,), **more):
        names = ("training latents" if training else "evaluation latents",)
        build, seed = {"dim": dim, "codebook_size": k, "decay": decay}, number(generator, 0, 10**6)
        settings = {"build": build, "training": training, "differentiate": differentiate, "seed": seed}
        return Call((normal(generator, n, dim),), names, gives, part, **settings, **more)

    return [
        call(6, 2, 4, 0.9, False),
        call(6, 2, 4, 0.9, True),
        call(5, 3, 40, 0.5, True, differentiate=()),  # the last code is hardly ever chosen
        call(1, 1, 3, 0.99, False, "odd sizes", differentiate=()),
        call(5, 2, 3, 0.7, True, "training without gradients", differentiate=(), gradients=False),
        call(7, 2, 1, 0.8, True, "odd sizes", elsewhere=True),
    ]


class ModeAsked(nn.Module):
    def __init__(self, dim, codebook_size, decay):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed_sum", self.codebook.clone())

    def asked(self, latents):
        return self.training

    def forward(self, latents):
        codes = nearest(latents, self.codebook)  # (N,)
        quantized = self.codebook[codes]  # (N, D)
        if self.asked(latents):
            self.update(latents.detach(), codes)
        return self.results(latents, quantized, codes)

    def results(self, latents, quantized, codes):
        vq = latents + (quantized - latents).detach()
        return vq, codes, self.codebook.clone(), self.cluster_size.clone(), self.embed_sum.clone()

    def update(self, flat, codes):
        self.count(flat, codes)
        self.codebook.copy_(self.embed_sum / self.cluster_size.clamp_min(1e-5).unsqueeze(1))

    def count(self, flat, codes):
        chosen = F.one_hot(codes, len(self.codebook)).to(flat.dtype)  # (N, K)
        self.cluster_size.mul_(self.decay).add_(chosen.sum(dim=0), alpha=1 - self.decay)
        self.embed_sum.mul_(self.decay).add_(chosen.T @ flat, alpha=1 - self.decay)


class GradientsAsked(ModeAsked):
    def asked(self, latents):
        return torch.is_grad_enabled()


class ModeAndGradientsAsked(ModeAsked):
    def asked(self, latents):
        return self.training and torch.is_grad_enabled()


class LatentsAsked(ModeAsked):
    def asked(self, latents):
        return latents.requires_grad


class AlwaysUpdated(ModeAsked):
    def asked(self, latents):
        return True


class TurnedRound(ModeAsked):
    def asked(self, latents):
        return not self.training


class NeverUpdated(ModeAsked):
    def asked(self, latents):
        return False


class CodebookAloneGuarded(ModeAsked):
    def forward(self, latents):
        codes = nearest(latents, self.codebook)
        quantized = self.codebook[codes]
        self.count(latents.detach(), codes)
        if self.training:
            self.codebook.copy_(self.embed_sum / self.cluster_size.clamp_min(1e-5).unsqueeze(1))
        return self.results(latents, quantized, codes)


class UpdatedBeforeTheLookUp(ModeAsked):
    def forward(self, latents):
        codes = nearest(latents, self.codebook)
        if self.training:
            self.update(latents.detach(), codes)
        return self.results(latents, self.codebook[codes], codes)


EVALUATION = Exercise(
    name="bug_09",
    lesson=LESSON,
    reference=ModeAsked,
    draw=draw_09,
    mistakes=(
        Mistake(
            GradientsAsked,
            "the program does what it did. Put a layer into evaluation mode, call it, and compare its codebook before "
            "and after, outside of torch.no_grad()",
            "zoo 22",
            planted=True,
        ),
        Mistake(
            ModeAndGradientsAsked,
            "evaluation is right now; in training under no_grad the buffers still stand still: what has the gradient "
            "switch to do with it?",
            "common",
        ),
        Mistake(
            AlwaysUpdated,
            "training is right, with gradients and without; in evaluation mode the codebook still moves",
            "common",
        ),
        Mistake(
            LatentsAsked,
            "whether the latents need a gradient says nothing about the mode: a frozen encoder in training gives "
            "latents that need none, and evaluation may see some that do",
            "common",
        ),
        Mistake(
            TurnedRound,
            "the condition is turned round: now evaluation moves the codebook and training does not",
            "common",
        ),
        Mistake(
            NeverUpdated,
            "evaluation changes nothing now, and neither does training: the codebook stands still",
            "common",
        ),
        Mistake(
            CodebookAloneGuarded,
            "the codebook stays in evaluation, its counts and sums do not: the next training step would show it",
            "zoo 22",
        ),
        Mistake(
            UpdatedBeforeTheLookUp,
            "the mode is asked now, and the update has moved before the look-up: the vectors no longer are those that "
            "the codes were chosen from",
            "zoo 13",
        ),
    ),
    hints=(
        "What does layer.eval() change in a module, and does forward look at that?",
        "Two switches are independent: the mode of a module (train, eval) and whether autograd records (no_grad). Many "
        "people use both in evaluation, so that one seems to do the work of the other.",
        "if self....: the attribute that .train() and .eval() set",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_10: a start by k-means


def draw_10(generator: Generator) -> list[Call]:
    names = ("cluster_size", "embed_sum", "first", "flat", "decay", "generator")

    def call(first, flat, k, decay, part="values", dtype=torch.float32, seed=None, **more):
        state = torch.rand(k, generator=generator) + 0.5, 3 * normal(generator, k, first.shape[1])
        args = *(tensor.to(dtype) for tensor in (*state, first, flat)), decay, seed or Seed(number(generator, 0, 10**6))
        return Call(args, names, ("new cluster_size", "new embed_sum", "codebook"), part, **more)

    def on_a_line(places):
        direction = F.normalize(normal(generator, 2), dim=0)
        return torch.tensor(places).unsqueeze(1) * direction + 0.02 * normal(generator, len(places), 2)

    def started(k, places):
        """Latents at these places of a line, so laid out that the first k are those which k-means starts from."""
        seed = Seed(number(generator, 0, 10**6))
        numbers = torch.arange(float(len(places))).unsqueeze(1)
        start = quantize.kmeans_init(numbers, k, 0, Generator().manual_seed(seed.number))[0].flatten().tolist()
        order = [int(n) for n in start] + [n for n in range(len(places)) if n not in start]
        return [place for _, place in sorted(zip(order, places))], seed

    # The second code takes 9 in its second step and would lose it in the third: nothing has settled
    drifting, seed = started(2, [0.0, 1.0, 3.0, 9.0, 27.0])
    line = on_a_line([*drifting, 2.0, 8.0, 12.0, 20.0])
    plain = call(line[:5], line[5:], 2, 0.9, seed=seed, again=True)
    # The second code is left by all its latents in the second step, and stays at 5 as the mean of none
    emptied, seed = started(3, [-1.0, 0.0, 21.0, 10.0, 10.6, 10.6, 10.6])
    line = on_a_line([*emptied, 5.0, -0.5, 5.5, 12.5])
    empty = call(line[:7], line[7:], 3, 0.8, part="an empty centroid", seed=seed)
    odd = call(normal(generator, 9, 2), normal(generator, 1, 2), 3, 0.5, part="odd sizes")
    wide = normal(generator, 10, 1), normal(generator, 5, 1), 4, 0.7
    return [plain, empty, odd, call(*wide, part="dtypes", dtype=torch.float64, elsewhere=True)]


def k_means(cluster_size, first, generator):
    return quantize.kmeans_init(first, len(cluster_size), iterations=2, generator=generator)


def updated(cluster_size, embed_sum, codebook, flat, decay):
    chosen = chosen_by(flat, codebook)  # (N, K)
    cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
    embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
    return cluster_size, embed_sum, embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)


def counts_and_sums_of_k_means(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = k_means(cluster_size, first, generator)
    return updated(counts, codebook * counts.unsqueeze(1), codebook, flat, decay)


def centroids_alone(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = k_means(cluster_size, first, generator)
    return updated(cluster_size, embed_sum, codebook, flat, decay)


def sums_not_multiplied(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = k_means(cluster_size, first, generator)
    return updated(counts, codebook, codebook, flat, decay)


def counts_without_sums(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = k_means(cluster_size, first, generator)
    return updated(counts, embed_sum, codebook, flat, decay)


def sums_without_counts(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = k_means(cluster_size, first, generator)
    return updated(cluster_size, codebook * counts.unsqueeze(1), codebook, flat, decay)


def counted_as_one(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = k_means(cluster_size, first, generator)
    return updated(torch.ones_like(cluster_size), codebook, codebook, flat, decay)


def sums_of_old_counts(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = k_means(cluster_size, first, generator)
    return updated(cluster_size, codebook * cluster_size.unsqueeze(1), codebook, flat, decay)


def centroids_over_old_counts(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = k_means(cluster_size, first, generator)
    return updated(cluster_size, codebook, codebook, flat, decay)


def empty_centroids_count_as_one(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = k_means(cluster_size, first, generator)
    counts = counts.clamp_min(1)
    return updated(counts, codebook * counts.unsqueeze(1), codebook, flat, decay)


def counted_again(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = k_means(cluster_size, first, generator)
    counts = chosen_by(first, codebook).sum(dim=0)
    return updated(counts, codebook * counts.unsqueeze(1), codebook, flat, decay)


def counted_and_summed_again(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = k_means(cluster_size, first, generator)
    chosen = chosen_by(first, codebook)
    return updated(chosen.sum(dim=0), chosen.T @ first, codebook, flat, decay)


def update_left_out(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = k_means(cluster_size, first, generator)
    return counts, codebook * counts.unsqueeze(1), codebook


K_MEANS = Exercise(
    name="bug_10",
    lesson=LESSON,
    reference=counts_and_sums_of_k_means,
    draw=draw_10,
    mistakes=(
        Mistake(
            centroids_alone,
            "the program does what it did. Call it with decay near 1, so that the update hardly counts, and compare "
            "the codebook with the centroids",
            "zoo 16",
            planted=True,
        ),
        Mistake(
            sums_not_multiplied,
            "embed_sum is a sum: for a centroid that stands for several latents it is not the centroid itself",
            "zoo 16",
        ),
        Mistake(
            counts_without_sums,
            "the counts come from k-means now, the sums are still those of the random codebook",
            "zoo 16",
        ),
        Mistake(
            sums_without_counts,
            "the sums come from k-means now, the counts are still those of the random codebook",
            "zoo 16",
        ),
        Mistake(
            counted_as_one,
            "the ratio of sums and counts is right, and each centroid counts as one latent: how many is it the mean "
            "of?",
            "common",
        ),
        Mistake(
            sums_of_old_counts,
            "the sums follow k-means, the counts are still the old ones: each centroid weighs what the random code did",
            "zoo 16",
        ),
        Mistake(
            centroids_over_old_counts,
            "embed_sum is the bare centroid, and the counts are still those of the random codebook: their quotient is "
            "no centroid",
            "zoo 16",
        ),
        Mistake(
            empty_centroids_count_as_one,
            "a centroid that is the mean of no latent was counted as one: its count is 0, and so is its sum",
            "common",
        ),
        Mistake(
            counted_again,
            "`first` was counted once more, on the finished centroids: the second result of kmeans_init says how many "
            "latents each is the mean of",
            "common",
        ),
        Mistake(
            counted_and_summed_again,
            "counts and sums were made anew from the latents nearest to the finished centroids: their quotient is one "
            "more step of k-means",
            "common",
        ),
        Mistake(update_left_out, "this is the state after k-means; the update with flat is missing", "common"),
    ),
    hints=(
        "Which of its three quantities does an EMA codebook keep from one update to the next, and which does it "
        "compute anew?",
        "The codebook is a quotient that the next update computes again from embed_sum and cluster_size. Whoever sets "
        "the quotient alone sets nothing that lasts.",
        "take both results of kmeans_init; cluster_size = ..., embed_sum = centroid times ..., before the update",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_11: smoothing, stored or not


def draw_11(generator: Generator) -> list[Call]:
    names = ("cluster_size", "embed_sum", "codebook", "batches", "decay", "eps")

    def call(batches, n, k, d, decay, eps, part="values", dtype=torch.float32, **more):
        counts = torch.randint(0, 4, (k,), generator=generator).float()
        counts[0] = 0
        codebook = normal(generator, k, d)
        state = counts, codebook * counts.unsqueeze(1), codebook, normal(generator, batches, n, d)
        gives = ("new cluster_size", "new embed_sum", "new codebook")
        return Call((*(tensor.to(dtype) for tensor in state), decay, eps), names, gives, part, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((3, 1, 4, 2, 0.5, 0.2), (2, 6, 3, 1, 0.99, 1.0))]
    small = call(3, 5, 4, 3, 0.8, 1e-5, part="a usual eps")
    return [
        call(2, 5, 3, 2, 0.9, 0.5),
        *odd,
        small,
        call(2, 4, 3, 2, 0.7, 0.3, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def smoothed(counts, eps):
    total = counts.sum()
    return (counts + eps) / (total + len(counts) * eps) * total


def steps(cluster_size, embed_sum, codebook, batches, decay, divide, keep=lambda counts: counts):
    """divide: the stored counts -> what the sums are divided by; keep: the new counts -> what is stored of them."""
    for flat in batches:
        chosen = chosen_by(flat, codebook)  # (N, K)
        counts = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
        codebook = embed_sum / divide(counts).unsqueeze(1)  # (K, D)
        cluster_size = keep(counts)
    return cluster_size, embed_sum, codebook


def smoothed_and_forgotten(cluster_size, embed_sum, codebook, batches, decay, eps):
    return steps(cluster_size, embed_sum, codebook, batches, decay, lambda counts: smoothed(counts, eps))


def smoothed_and_stored(cluster_size, embed_sum, codebook, batches, decay, eps):
    def smooth(counts):
        return smoothed(counts, eps)

    return steps(cluster_size, embed_sum, codebook, batches, decay, divide=smooth, keep=smooth)


def smoothing_dropped(cluster_size, embed_sum, codebook, batches, decay, eps):
    return steps(cluster_size, embed_sum, codebook, batches, decay, lambda counts: counts)


def stored_and_not_used(cluster_size, embed_sum, codebook, batches, decay, eps):
    keep = lambda counts: smoothed(counts, eps)  # noqa: E731
    return steps(cluster_size, embed_sum, codebook, batches, decay, lambda counts: counts, keep)


def smoothed_at_the_end(cluster_size, embed_sum, codebook, batches, decay, eps):
    counts, sums, codebook = smoothed_and_forgotten(cluster_size, embed_sum, codebook, batches, decay, eps)
    return smoothed(counts, eps), sums, codebook


def clamped(cluster_size, embed_sum, codebook, batches, decay, eps):
    return steps(cluster_size, embed_sum, codebook, batches, decay, lambda counts: counts.clamp_min(eps))


def total_not_kept(cluster_size, embed_sum, codebook, batches, decay, eps):
    return steps(cluster_size, embed_sum, codebook, batches, decay, lambda counts: counts + eps)


def shares_not_counts(cluster_size, embed_sum, codebook, batches, decay, eps):
    return steps(cluster_size, embed_sum, codebook, batches, decay, lambda counts: smoothed(counts, eps) / counts.sum())


SMOOTHING = Exercise(
    name="bug_11",
    lesson=LESSON,
    reference=smoothed_and_forgotten,
    draw=draw_11,
    mistakes=(
        Mistake(
            smoothed_and_stored,
            "the program does what it did. With eps = 1 and a code that nobody chooses, follow its cluster_size from "
            "step to step: an average of zeros should fall towards 0",
            "zoo 9",
            planted=True,
        ),
        Mistake(
            smoothing_dropped,
            "the stored counts are right now, and nothing is smoothed any more: an empty code divides by 0",
            "common",
        ),
        Mistake(
            clamped,
            "the stored counts are right now. Clamping guards the division and is another formula; each count was to "
            "get eps",
            "common",
        ),
        Mistake(
            smoothed_at_the_end,
            "the steps are right now, and the smoothed counts were returned; the average itself is to come back",
            "common",
        ),
        Mistake(
            stored_and_not_used,
            "the two have changed places: the smoothed counts are stored, the unsmoothed ones divide",
            "zoo 9",
        ),
        Mistake(
            total_not_kept,
            "eps is added to every count, and their sum grows by K times eps: smoothing was promised to keep the sum",
            "common",
        ),
        Mistake(
            shares_not_counts,
            "these are smoothed shares, which add up to 1; the sums are to be divided by counts",
            "common",
        ),
    ),
    hints=(
        "Which of the names in the loop live on into the next step, and is each of them still what its name says?",
        "The smoothing is a safeguard for one division. As the program stands, each step smooths what the steps before "
        "have smoothed already.",
        "give the smoothed counts a name of their own; divide by that name, and store ...",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_12: a quantiser that learns by gradient


def draw_12(generator: Generator) -> list[Call]:
    def call(n, dim, k, part="values", **more):
        args = (normal(generator, n, dim),)
        gives, build = ("vq", "codes", "loss"), {"dim": dim, "codebook_size": k}
        return Call(args, ("latents",), gives, part, build=build, differentiate=(0,), **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((1, 3, 4), (5, 1, 3), (4, 2, 1))]
    return [call(5, 2, 4, part="gradients"), call(20, 3, 6, elsewhere=True), *odd]


class LossesFirst(nn.Module):
    def __init__(self, dim, codebook_size):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim))

    def forward(self, latents):
        codes = nearest(latents, self.codebook)  # (N,)
        return self.passed(latents, self.codebook[codes], codes)

    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized, latents.detach()) + 0.25 * F.mse_loss(latents, quantized.detach())
        return latents + (quantized - latents).detach(), codes, loss


class StraightThroughFirst(LossesFirst):
    def passed(self, latents, quantized, codes):
        vq = latents + (quantized - latents).detach()
        return vq, codes, F.mse_loss(vq, latents.detach()) + 0.25 * F.mse_loss(latents, vq.detach())


class NothingPassed(LossesFirst):
    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized, latents.detach()) + 0.25 * F.mse_loss(latents, quantized.detach())
        return quantized, codes, loss


class EverythingDetached(LossesFirst):
    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized, latents.detach()) + 0.25 * F.mse_loss(latents, quantized.detach())
        return quantized.detach(), codes, loss


class StopsSwapped(LossesFirst):
    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized.detach(), latents) + 0.25 * F.mse_loss(latents.detach(), quantized)
        return latents + (quantized - latents).detach(), codes, loss


class StopsLost(LossesFirst):
    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized, latents) + 0.25 * F.mse_loss(latents, quantized)
        return latents + (quantized - latents).detach(), codes, loss


class CodebookLossPullsBoth(LossesFirst):
    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized, latents) + 0.25 * F.mse_loss(latents, quantized.detach())
        return latents + (quantized - latents).detach(), codes, loss


class CommitmentPullsBoth(LossesFirst):
    def passed(self, latents, quantized, codes):
        loss = F.mse_loss(quantized, latents.detach()) + 0.25 * F.mse_loss(latents, quantized)
        return latents + (quantized - latents).detach(), codes, loss


class CodebookLossLost(LossesFirst):
    def passed(self, latents, quantized, codes):
        return latents + (quantized - latents).detach(), codes, 0.25 * F.mse_loss(latents, quantized.detach())


GRADIENT_LAYER = Exercise(
    name="bug_12",
    lesson=LESSON,
    reference=LossesFirst,
    draw=draw_12,
    mistakes=(
        Mistake(
            StraightThroughFirst,
            "the program does what it did. All values are right; ask for the gradient of loss for layer.codebook",
            "zoo 11",
            planted=True,
        ),
        Mistake(
            NothingPassed,
            "the codebook learns now, and vq has lost its way back: its gradient goes to the codebook instead of the "
            "latents",
            "zoo 25",
        ),
        Mistake(
            EverythingDetached,
            "the codebook learns now, and vq hands its gradient to nobody: the latents never hear of the decoder",
            "zoo 25",
        ),
        Mistake(
            StopsSwapped,
            "both losses have a gradient now, each for the other side: the one that pulls the latents has weight 1, "
            "the one that pulls the codebook has 0.25",
            "zoo 12",
        ),
        Mistake(
            StopsLost,
            "without the two .detach() each loss pulls both sides, so latents and codebook get 1.25 each",
            "zoo 12",
        ),
        Mistake(
            CodebookLossPullsBoth,
            "one .detach() is missing: the codebook loss pulls both sides, the latents too",
            "zoo 12",
        ),
        Mistake(
            CommitmentPullsBoth,
            "one .detach() is missing: the commitment loss pulls both sides, the codebook too",
            "zoo 12",
        ),
        Mistake(
            CodebookLossLost,
            "the codebook loss is gone; it was to be computed from another tensor, not left out",
            "common",
        ),
    ),
    hints=(
        "Through which tensors would the gradient of the codebook loss have to travel to reach self.codebook? Is one "
        "of them behind a .detach()?",
        "The straight-through tensor has the value of the codes and the gradient of the latents. For a loss that is to "
        "move the codes it is the wrong tensor, though its value is the right one.",
        "give the straight-through tensor a name of its own (vq); both losses take ..., the decoder takes vq",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_13: the end of an encoder


def draw_13(generator: Generator) -> list[Call]:
    def call(batch, channels, hidden, narrow, size, part="values", **more):
        args = (normal(generator, batch, channels, *size),)
        return Call(
            args,
            ("x",),
            part=part,
            build={"channels": channels, "hidden": hidden, "narrow": narrow},
            differentiate=(0,),
            **more,
        )

    odd = [call(1, 1, 3, 2, (1, 5), part="odd sizes"), call(3, 2, 1, 3, (2, 2), part="odd sizes", elsewhere=True)]
    return [call(2, 2, 3, 4, (3, 4)), *odd]


class SkipKept(nn.Module):
    def __init__(self, channels, hidden, narrow):
        super().__init__()
        self.enter = nn.Conv2d(channels, hidden, kernel_size=3, padding=1)
        self.branch = nn.Sequential(
            *self.opening(),
            nn.Conv2d(hidden, narrow, kernel_size=3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, hidden, kernel_size=1, bias=False),
        )

    def opening(self):
        return [nn.ReLU()]

    def forward(self, x):
        y = self.enter(x)  # (B, hidden, H, W)
        return y + self.branch(y)


class SkipOverwritten(SkipKept):
    def opening(self):
        return [nn.ReLU(inplace=True)]


class FirstReluLost(SkipKept):
    def opening(self):
        return []


class SkipDetached(SkipKept):
    def forward(self, x):
        y = self.enter(x)
        return y.detach() + self.branch(y)


class SkipLost(SkipKept):
    def forward(self, x):
        return self.branch(self.enter(x))


class ReluAfterTheSum(SkipKept):
    def forward(self, x):
        y = self.enter(x)
        return F.relu(y + self.branch(y))


IN_PLACE = Exercise(
    name="bug_13",
    lesson=LESSON,
    reference=SkipKept,
    draw=draw_13,
    mistakes=(
        Mistake(
            SkipOverwritten,
            "the program does what it did. In forward, print y.min() before the branch runs and once more after it",
            "zoo 15",
            planted=True,
        ),
        Mistake(
            FirstReluLost,
            "the skip path is right now, and the branch no longer opens with a ReLU: the promise has two",
            "common",
        ),
        Mistake(
            SkipDetached,
            "the values are right; the copy for the skip path was cut from the graph, so enter hears of the loss "
            "through the branch alone",
            "common",
        ),
        Mistake(SkipLost, "this is the branch alone; what it makes is to be added to its input", "common"),
        Mistake(ReluAfterTheSum, "negative numbers are still cut off, after the sum now: they are to pass", "common"),
    ),
    hints=(
        "Set the weights of the last convolution to 0. What does the program give then, and what should it give?",
        "y + branch(y) uses one tensor twice. If the branch writes into the memory of its input, the other use sees "
        "what was written.",
        "nn.ReLU(...) at the opening of the branch: which argument makes it write into its input?",
    ),
    allowance=(1e-3, 1e-4),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_14: three losses, one weight


def draw_14(generator: Generator) -> list[Call]:
    names = ("images", "reconstruction", "latents", "quantized", "beta")

    def call(image, latent, beta, part="values", dtype=torch.float32, **more):
        args = [normal(generator, *shape).to(dtype) for shape in (image, image, latent, latent)]
        return Call((*args, beta), names, ("loss",), part, differentiate=(1, 2, 3), **more)

    return [
        call((2, 4), (2, 3), 0.25, part="gradients"),
        call((2, 2), (2, 2), 0.25),
        call((1, 1, 3, 4), (1, 2, 2, 2), 2.0, part="odd sizes"),
        call((3, 2), (3, 1), 0.1, part="odd sizes"),
        call((2, 5), (2, 2), 0.5, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def weighed(images, reconstruction, latents, quantized, codebook_weight, commitment_weight):
    losses = F.mse_loss(quantized, latents.detach()), F.mse_loss(quantized.detach(), latents)
    return F.mse_loss(reconstruction, images) + codebook_weight * losses[0] + commitment_weight * losses[1]


def beta_on_the_commitment(images, reconstruction, latents, quantized, beta):
    return weighed(images, reconstruction, latents, quantized, 1, beta)


def beta_on_the_codebook(images, reconstruction, latents, quantized, beta):
    return weighed(images, reconstruction, latents, quantized, beta, 1)


def beta_on_both(images, reconstruction, latents, quantized, beta):
    return weighed(images, reconstruction, latents, quantized, beta, beta)


def beta_nowhere(images, reconstruction, latents, quantized, beta):
    return weighed(images, reconstruction, latents, quantized, 1, 1)


def both_pull_both(images, reconstruction, latents, quantized, beta):
    return F.mse_loss(reconstruction, images) + (1 + beta) * F.mse_loss(quantized, latents)


def codebook_loss_pulls_both(images, reconstruction, latents, quantized, beta):
    losses = F.mse_loss(quantized, latents), F.mse_loss(quantized.detach(), latents)
    return F.mse_loss(reconstruction, images) + losses[0] + beta * losses[1]


def commitment_pulls_both(images, reconstruction, latents, quantized, beta):
    losses = F.mse_loss(quantized, latents.detach()), F.mse_loss(quantized, latents)
    return F.mse_loss(reconstruction, images) + losses[0] + beta * losses[1]


def both_pull_the_latents(images, reconstruction, latents, quantized, beta):
    return F.mse_loss(reconstruction, images) + (1 + beta) * F.mse_loss(quantized.detach(), latents)


def both_pull_the_codes(images, reconstruction, latents, quantized, beta):
    return F.mse_loss(reconstruction, images) + (1 + beta) * F.mse_loss(quantized, latents.detach())


BETA = Exercise(
    name="bug_14",
    lesson=LESSON,
    reference=beta_on_the_commitment,
    draw=draw_14,
    mistakes=(
        Mistake(
            beta_on_the_codebook,
            "the program does what it did; who swaps both the weights and the .detach() swaps nothing. The value "
            "cannot tell: compare the gradient for quantized at beta = 0 with the promise",
            "zoo 10",
            planted=True,
        ),
        Mistake(beta_on_both, "beta weighs both terms now; the codebook's has no weight", "zoo 10"),
        Mistake(beta_nowhere, "beta has gone; the term that pulls the latents is to be weighed with it", "common"),
        Mistake(
            both_pull_both,
            "nothing is detached any more: each term pulls both sides, and beta cannot tell them apart",
            "zoo 12",
        ),
        Mistake(
            codebook_loss_pulls_both,
            "one .detach() is missing: the term without beta pulls both sides, the latents too",
            "zoo 12",
        ),
        Mistake(
            commitment_pulls_both,
            "one .detach() is missing: the term with beta pulls both sides, the codes too",
            "zoo 12",
        ),
        Mistake(
            both_pull_the_latents,
            "both terms pull the latents now: quantized is detached in both, so the codebook never moves",
            "zoo 12",
        ),
        Mistake(
            both_pull_the_codes,
            "both terms pull the codes now: the latents are detached in both, so nothing commits the encoder",
            "zoo 12",
        ),
    ),
    hints=(
        "Without running anything: in each of the two terms, who gets a gradient? Which of the two is the commitment "
        "loss?",
        "A term is named after whom it pulls, and it pulls what is not detached. Both terms have the same value, so "
        "the sum cannot show a swapped weight; the gradients can.",
        "beta * (the term in which latents is not detached) + (the term in which quantized is not detached)",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bug_15: residual quantisation


def draw_15(generator: Generator) -> list[Call]:
    gives = ("vq", "codes", "loss")

    def call(n, levels, k, d, part="values", dtype=torch.float32, **more):
        args = normal(generator, n, d).to(dtype), normal(generator, levels, k, d).to(dtype)
        return Call(args, ("flat", "codebooks"), gives, part, differentiate=(0, 1), **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((4, 1, 3, 2), (5, 2, 1, 1))]
    wide = call(6, 3, 3, 2, part="dtypes", dtype=torch.float64, elsewhere=True)
    return [call(5, 2, 4, 3, part="gradients"), call(3, 3, 4, 2), *odd, wide]


def levels_of(flat, codebooks, take_off, codebook_loss=lambda code, residual: F.mse_loss(code, residual.detach())):
    """take_off: from the residual of a level and its code, the residual of the next."""
    residual, quantized, codes, loss = flat, torch.zeros_like(flat), [], 0.0
    for codebook in codebooks:
        codes.append(nearest(residual, codebook))  # (N,)
        code = codebook[codes[-1]]  # (N, D)
        loss = loss + codebook_loss(code, residual) + 0.25 * F.mse_loss(residual, code.detach())
        residual = take_off(residual, code)
        quantized = quantized + code
    return quantized, torch.stack(codes, dim=1), loss


def passed_through(flat, quantized, codes, loss):
    return flat + (quantized - flat).detach(), codes, loss


def levels_apart(flat, codebooks):
    return passed_through(flat, *levels_of(flat, codebooks, lambda residual, code: residual - code.detach()))


def levels_leak(flat, codebooks):
    return passed_through(flat, *levels_of(flat, codebooks, lambda residual, code: residual - code))


def residual_cut(flat, codebooks):
    return passed_through(flat, *levels_of(flat, codebooks, lambda residual, code: (residual - code).detach()))


def other_term_cut(flat, codebooks):
    return passed_through(flat, *levels_of(flat, codebooks, lambda residual, code: residual.detach() - code))


def codebooks_silenced(flat, codebooks):
    def codebook_loss(code, residual):
        return F.mse_loss(code.detach(), residual.detach())

    return passed_through(
        flat, *levels_of(flat, codebooks, lambda residual, code: residual - code.detach(), codebook_loss)
    )


def nobody_commits(flat, codebooks):
    def losses(code, residual):  # what the commitment loss of `levels_of` says to the residual is taken off again
        commitment = F.mse_loss(residual, code.detach())
        return F.mse_loss(code, residual.detach()) + 0.25 * (commitment.detach() - commitment)

    return passed_through(flat, *levels_of(flat, codebooks, lambda residual, code: residual - code.detach(), losses))


def way_through_lost(flat, codebooks):
    return levels_of(flat, codebooks, lambda residual, code: residual - code.detach())


RESIDUAL = Exercise(
    name="bug_15",
    lesson=LESSON,
    reference=levels_apart,
    draw=draw_15,
    mistakes=(
        Mistake(
            levels_leak,
            "the program does what it did. Ask for the gradient of loss for codebooks with two levels, and again with "
            "the first level alone: codebooks[0] should get the same from both",
            "zoo 17",
            planted=True,
        ),
        Mistake(
            residual_cut,
            "the levels are apart now, and from the second on their commitment losses reach nobody: the residual as a "
            "whole was cut, flat with it",
            "zoo 17",
        ),
        Mistake(
            other_term_cut,
            "the wrong term is detached: the codes still leak into the next level, and flat no longer reaches it",
            "zoo 17",
        ),
        Mistake(
            codebooks_silenced,
            "the leak is closed, and the codebook loss is detached on both sides: no codebook learns",
            "common",
        ),
        Mistake(
            nobody_commits,
            "the leak is closed, and the commitment losses reach nobody: in them the residual is not to be detached",
            "common",
        ),
        Mistake(
            way_through_lost,
            "the leak is closed; vq is the bare sum of codes now, so its gradient goes to the codebooks and not to "
            "flat",
            "zoo 21",
        ),
    ),
    hints=(
        "The residual of the second level is flat minus a code of the first. Which losses of the second level "
        "have a gradient with respect to that residual, and what do they then reach?",
        "The gradient of a residual should reach flat and no codebook: the code taken off is a constant, flat is not.",
        "residual = residual - (the code, as a constant)",
    ),
)

EXERCISES = [
    NEAREST,
    FLATTEN,
    EPOCHS,
    TRACKER,
    STACK,
    MASKS,
    USAGE,
    START,
    EVALUATION,
    K_MEANS,
    SMOOTHING,
    GRADIENT_LAYER,
    IN_PLACE,
    BETA,
    RESIDUAL,
]
