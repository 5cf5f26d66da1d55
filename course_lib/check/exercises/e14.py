"""Exercise 14: what a prior over codes is made of: what it may look at, what a code costs, how a code is drawn."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from course_lib.check.exercises.drawing import SPATIAL, normal, number, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call, Seed

# ----------------------------------------------------------------------------------------------------------------------
# causal_mask


def causal_mask(kernel_size, kind):
    """Odd k, 'A' or 'B' -> (k, k): 1 at what precedes the centre in raster order, with 'B' at the centre too."""
    seen = kernel_size**2 // 2 + (kind == "B")  # places in raster order, up to the centre
    return (torch.arange(kernel_size**2) < seen).float().reshape(kernel_size, kernel_size)


def draw_kernels(generator: Generator) -> list[Call]:
    def call(size, kind, part="values"):
        return Call((size, kind), ("kernel_size", "kind"), ("mask",), part)

    large = 2 * number(generator, 4, 6) + 1
    return [
        call(3, "A"),
        call(3, "B"),
        call(5, "B"),
        call(7, "A"),
        call(large, "A", part="odd sizes"),
        call(large, "B", part="odd sizes"),
        call(1, "A", part="odd sizes"),
        call(1, "B", part="odd sizes"),
    ]


def kinds_swapped(kernel_size, kind):
    return causal_mask(kernel_size, "A" if kind == "B" else "B")


def centre_always(kernel_size, kind):
    return causal_mask(kernel_size, "B")


def centre_never(kernel_size, kind):
    return causal_mask(kernel_size, "A")


def row_of_the_centre_whole(kernel_size, kind):
    mask = causal_mask(kernel_size, kind)
    mask[kernel_size // 2] = 1
    return mask


def row_whole_but_for_the_centre(kernel_size, kind):
    mask, centre = row_of_the_centre_whole(kernel_size, kind), kernel_size // 2
    mask[centre, centre] = kind == "B"
    return mask


def rows_above_alone(kernel_size, kind):
    mask, centre = causal_mask(kernel_size, kind), kernel_size // 2
    mask[centre, :centre] = 0
    return mask


def row_of_the_centre_alone(kernel_size, kind):
    mask = causal_mask(kernel_size, kind)
    mask[: kernel_size // 2] = 0
    return mask


def row_just_above_missing(kernel_size, kind):
    mask, centre = causal_mask(kernel_size, kind), kernel_size // 2
    mask[max(0, centre - 1) : centre] = 0
    return mask


def future(kernel_size, kind):
    return causal_mask(kernel_size, kind).flip(0, 1)


def mirrored(kernel_size, kind):
    return causal_mask(kernel_size, kind).flip(1)


def rows_below(kernel_size, kind):
    return causal_mask(kernel_size, kind).flip(0)


def column_by_column(kernel_size, kind):
    return causal_mask(kernel_size, kind).T


def lower_triangle(kernel_size, kind):
    return torch.ones(kernel_size, kernel_size).tril(0 if kind == "B" else -1)


def everything_left(kernel_size, kind):
    mask = torch.zeros(kernel_size, kernel_size)
    mask[:, : kernel_size // 2 + (kind == "B")] = 1
    return mask


def above_and_left_alone(kernel_size, kind):
    mask, centre = causal_mask(kernel_size, kind), kernel_size // 2
    mask[:, centre + 1 :] = 0
    return mask


def centre_one_too_far(kernel_size, kind):
    mask, centre = torch.zeros(kernel_size, kernel_size), (kernel_size + 1) // 2
    mask[:centre] = 1
    mask[centre:, : centre + (kind == "B")][:1] = 1
    return mask


def centre_one_too_early(kernel_size, kind):
    mask, centre = torch.zeros(kernel_size, kernel_size), (kernel_size - 1) // 2 - 1
    mask[: max(0, centre)] = 1
    mask[max(0, centre), : max(0, centre + (kind == "B"))] = 1
    return mask


def centre_alone_hidden(kernel_size, kind):
    mask, centre = torch.ones(kernel_size, kernel_size), kernel_size // 2
    mask[centre, centre] = kind == "B"
    return mask


def hidden_marked(kernel_size, kind):
    return 1 - causal_mask(kernel_size, kind)


def one_too_many_for_a(kernel_size, kind):
    seen = kernel_size**2 // 2 + (2 if kind == "B" else 1)
    return (torch.arange(kernel_size**2) < seen).float().reshape(kernel_size, kernel_size)


def for_attention(kernel_size, kind):
    return torch.ones(kernel_size**2, kernel_size**2).tril(0 if kind == "B" else -1)


def to_be_added(kernel_size, kind):
    return torch.zeros(kernel_size, kernel_size).masked_fill(causal_mask(kernel_size, kind) == 0, -math.inf)


def true_and_false(kernel_size, kind):
    return causal_mask(kernel_size, kind).bool()


def whole_numbers(kernel_size, kind):
    return causal_mask(kernel_size, kind).long()


def with_the_axes_of_a_weight(kernel_size, kind):
    return causal_mask(kernel_size, kind)[None, None]


def in_one_row(kernel_size, kind):
    return causal_mask(kernel_size, kind).flatten()


def draw_masks(axes, answer) -> None:
    """Kernels of three sizes, kind A above kind B; the centre is marked."""
    picture = torch.full((17, 21), 0.5)
    for row, kind in ((1, "A"), (10, "B")):
        for column, size in ((1, 3), (6, 5), (13, 7)):
            top = row + (7 - size) // 2
            picture[top : top + size, column : column + size] = torch.as_tensor(answer(size, kind)).float()
            axes.plot(column + size // 2, top + size // 2, "x", color="#D55E00")
    axes.imshow(picture, vmin=0, vmax=1, cmap="gray")
    axes.set(xticks=[2, 8, 16], xticklabels=["3", "5", "7"], yticks=[4, 13], yticklabels=["A", "B"])
    axes.set_xlabel("white 1, black 0; crosses: the centre")


MASK = Exercise(
    name="causal_mask",
    lesson="14_priors",
    reference=causal_mask,
    draw=draw_kernels,
    picture=draw_masks,
    mistakes=(
        Mistake(
            kinds_swapped,
            "A and B are swapped: the first layer reads the codes themselves, and may not read the one it is to "
            "predict",
            "common",
        ),
        Mistake(
            centre_always,
            "kind A lets the centre through: a first layer then reads the code that it is to predict, and learns to "
            "copy it",
            "common",
        ),
        Mistake(
            centre_never,
            "kind B hides the centre too: later layers hold nothing of their own code any more, and may read their "
            "own place",
            "common",
        ),
        Mistake(
            row_of_the_centre_whole,
            "the row of the centre is seen as a whole: what stands on the right of it comes later",
            "common",
        ),
        Mistake(
            row_whole_but_for_the_centre,
            "the row of the centre is seen on both sides; only its left part comes before",
            "common",
        ),
        Mistake(
            rows_above_alone,
            "only the rows above are seen: in raster order, the left part of the same row precedes the centre too",
            "common",
        ),
        Mistake(row_of_the_centre_alone, "only the row of the centre is seen: all rows above precede it too", "common"),
        Mistake(
            row_just_above_missing,
            "the row just above the centre is hidden; a slice ends before its second number",
            "common",
        ),
        Mistake(future, "this is the future: what follows the centre is seen, and what precedes it hidden", "common"),
        Mistake(mirrored, "left and right are swapped: a row is read from the left, as text is", "common"),
        Mistake(rows_below, "above and below are swapped: row 0 of a kernel lies above its centre", "common"),
        Mistake(
            column_by_column,
            "this is the order column by column; raster order goes through a row before it goes to the next",
            "common",
        ),
        Mistake(
            lower_triangle,
            "this is the triangle of attention, where rows and columns count places of one sequence; here they are "
            "places of a grid",
            "common",
        ),
        Mistake(
            everything_left, "all that lies left is seen, in every row: what is left and below comes later", "common"
        ),
        Mistake(
            above_and_left_alone,
            "only what is above and left at once is seen; of the rows above, the right part comes before as well",
            "common",
        ),
        Mistake(
            centre_one_too_far,
            "the centre was taken one place too far: counted from 0, which is the middle one of k?",
            "common",
        ),
        Mistake(
            centre_one_too_early,
            "the centre was taken one place too early: counted from 0, which is the middle one of k?",
            "common",
        ),
        Mistake(
            centre_alone_hidden,
            "all but the centre is seen, the future included: whoever draws code after code does not have that yet",
            "common",
        ),
        Mistake(
            hidden_marked,
            "ones and zeros are swapped: the weights are multiplied by the mask, so 1 is what may be seen",
            "common",
        ),
        Mistake(
            one_too_many_for_a,
            "one place too many is seen, for A and for B: of k x k places, how many come before the centre?",
            "common",
        ),
        Mistake(
            for_attention,
            "this is a mask over pairs of places, as attention wants it; a kernel of k x k has k x k places",
            "common",
        ),
        Mistake(
            to_be_added,
            "this mask is made to be added, 0 and minus infinity; wanted is one to multiply weights by",
            "common",
        ),
        Mistake(true_and_false, "the mask is of True and False; wanted is float32, 0 and 1", "common"),
        Mistake(whole_numbers, "the mask is of whole numbers; wanted is float32, as the weights are", "common"),
        Mistake(
            with_the_axes_of_a_weight,
            "the mask has the axes for channels of a weight already; wanted is (k, k), and broadcasting does the rest",
            "common",
        ),
        Mistake(in_one_row, "the mask is one row of k x k numbers; wanted is (k, k)", "common"),
    ),
    hints=(
        "Number the k x k places in the order in which a text is read. Which number has the centre, and which places "
        "have smaller ones?",
        "Two parts: all rows above that of the centre, as a whole; of the row of the centre, the part on its left, "
        "and with 'B' one place more. The centre is row and column k // 2.",
        "mask = torch.zeros(k, k); mask[: the row of the centre] = 1; mask[that row, : its column, plus 1 for 'B'] = 1",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# bits_per_code


def bits_per_code(logits, codes):
    """(B, K, *S), (B, *S) -> 0-d: the mean of -log2 p(code), p the softmax over K."""
    return nats(logits, codes).mean() / math.log(2)


def nats(logits, codes):
    return -logits.log_softmax(1).gather(1, codes.unsqueeze(1)).squeeze(1)  # (B, *S)


def draw_bits(generator: Generator) -> list[Call]:
    def call(batch, k, *spatial, part="values", dtype=torch.float32, strided=False, **more):
        codes = torch.randint(k, (batch, *spatial), generator=generator)
        logits = 1.5 * normal(generator, batch, k, *spatial)
        logits[..., :1] += 0.7  # no mean, of any axis, is that of its neighbour
        logits = scattered(logits) if strided else logits.to(dtype)
        return Call((logits, codes), ("logits", "codes"), ("bits",), part, differentiate=(0,), **more)

    square = call(2, 4, 3, 3)
    return [
        call(3, 5),
        square,  # height and width are the same: transposed codes fit too
        call(2, 3, 6),
        call(1, 6, 2, 5, part="odd sizes"),
        *[call(2, 4, *spatial, part="odd sizes") for spatial in SPATIAL[1:]],
        call(3, 3, 3, 3, part="odd sizes"),  # B, K, H, W all alike: whatever is mixed up fits
        call(4, 2, 1, 1, part="odd sizes"),
        call(2, 1, 3, part="odd sizes"),  # one code: nothing to be told
        call(3, 4, 2, 5, part="odd sizes", strided=True),
        call(2, 5, 3, dtype=torch.float64, part="dtypes", elsewhere=True),
    ]


def nats_for_bits(logits, codes):
    return nats(logits, codes).mean()


def times_for_divided(logits, codes):
    return nats(logits, codes).mean() * math.log(2)


def divided_by_2(logits, codes):
    return nats(logits, codes).mean() / 2


def decimal_digits(logits, codes):
    return nats(logits, codes).mean() / math.log(10)


def bits_per_image(logits, codes):
    return nats(logits, codes).flatten(1).sum(1).mean() / math.log(2)


def bits_of_the_whole_batch(logits, codes):
    return nats(logits, codes).sum() / math.log(2)


def bits_of_each_place(logits, codes):
    return nats(logits, codes).sum(0).mean() / math.log(2)


def image_by_image(logits, codes):
    return nats(logits, codes).flatten(1).mean(1) / math.log(2)


def not_averaged(logits, codes):
    return nats(logits, codes) / math.log(2)


def over_all_codes_of_the_codebook(logits, codes):
    return bits_per_code(logits, codes) / logits.shape[1]


def softmax_over_the_last_axis(logits, codes):
    return -logits.log_softmax(-1).gather(1, codes.unsqueeze(1)).mean() / math.log(2)


def softmax_over_the_batch(logits, codes):
    return -logits.log_softmax(0).gather(1, codes.unsqueeze(1)).mean() / math.log(2)


def softmax_over_an_image(logits, codes):
    log_p = logits.flatten(1).log_softmax(1).reshape(logits.shape)
    return -log_p.gather(1, codes.unsqueeze(1)).mean() / math.log(2)


def flattened_with_the_codes_second(logits, codes):
    return F.cross_entropy(logits.reshape(-1, logits.shape[1]), codes.reshape(-1)) / math.log(2)


def logits_for_probabilities(logits, codes):
    return -logits.gather(1, codes.unsqueeze(1)).log2().mean()


def logits_for_log_probabilities(logits, codes):
    return -logits.gather(1, codes.unsqueeze(1)).mean() / math.log(2)


def softmax_twice(logits, codes):
    return bits_per_code(logits.softmax(1), codes)


def each_code_by_itself(logits, codes):
    return F.softplus(-logits.gather(1, codes.unsqueeze(1))).mean() / math.log(2)


def entropy_of_the_prediction(logits, codes):
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1).mean() / math.log(2)


def sign_forgotten(logits, codes):
    return -bits_per_code(logits, codes)


def perplexity(logits, codes):
    return nats(logits, codes).mean().exp()


def log_of_the_mean(logits, codes):
    return -logits.softmax(1).gather(1, codes.unsqueeze(1)).mean().log2()


def probability(logits, codes):
    return logits.softmax(1).gather(1, codes.unsqueeze(1)).mean()


def misses(logits, codes):
    return (logits.argmax(1) != codes).to(logits.dtype).mean() + 0 * logits.sum()


def price_without_a_prior(logits, codes):
    return logits.new_tensor(logits.shape[1]).log2() + 0 * logits.sum()


def transposed_codes(logits, codes):
    codes = codes.flatten(1)
    if logits.ndim > 3:
        codes = codes.reshape(len(codes), -1, logits.shape[2]).transpose(1, 2).flatten(1)
    return bits_per_code(logits.flatten(2) if logits.ndim > 2 else logits, codes if logits.ndim > 2 else codes[:, 0])


def next_code(logits, codes):
    return bits_per_code(logits, codes.flatten().roll(-1).reshape(codes.shape))


def no_gradient(logits, codes):
    return bits_per_code(logits.detach(), codes)


def plain_number(logits, codes):
    return bits_per_code(logits, codes).item()


def without_logarithm_of_the_sum(logits, codes):
    largest = logits.amax(1, keepdim=True)
    return (largest - logits).gather(1, codes.unsqueeze(1)).mean() / math.log(2)


BITS = Exercise(
    name="bits_per_code",
    points=2,
    lesson="14_priors",
    reference=bits_per_code,
    draw=draw_bits,
    mistakes=(
        Mistake(
            nats_for_bits,
            "the logarithm is the natural one, so these are nats; log_softmax and cross_entropy give no others",
            "common",
        ),
        Mistake(
            times_for_divided,
            "nats were turned into bits the wrong way round: a bit is the smaller unit, so there are more of them",
            "common",
        ),
        Mistake(divided_by_2, "the nats were divided by 2; the unit changes with the logarithm of 2", "common"),
        Mistake(decimal_digits, "the logarithm is to base 10; bits need base 2", "common"),
        Mistake(
            bits_per_image,
            "these are the bits of an image, all its places together; asked for is the mean over codes",
            "lesson 01",
        ),
        Mistake(
            bits_of_the_whole_batch,
            "the bits of all codes were added up; asked for is their mean, so that batches and grids compare",
            "common",
        ),
        Mistake(
            bits_of_each_place,
            "the bits were added up over the batch and averaged over the places; a code is a place of one image, and "
            "the mean runs over both",
            "common",
        ),
        Mistake(
            image_by_image,
            "there is one number for each image; asked for is the mean over all codes of all images",
            "common",
        ),
        Mistake(not_averaged, "there is a number for each code; asked for is their mean, 0-d", "common"),
        Mistake(
            over_all_codes_of_the_codebook,
            "the mean runs over the K entries too, where all but one add nothing: the code that was there is one",
            "common",
        ),
        Mistake(
            softmax_over_the_last_axis,
            "the softmax ran over the last axis, a row of places; the K scores of one place stand along axis 1",
            "zoo 4",
        ),
        Mistake(
            softmax_over_the_batch,
            "the softmax ran over the batch, so that images compete; the K scores of one place stand along axis 1",
            "common",
        ),
        Mistake(
            softmax_over_an_image,
            "one softmax ran over all places of an image; each place has its own, over K",
            "common",
        ),
        Mistake(
            flattened_with_the_codes_second,
            "(B, K, *S) was reshaped to (N, K) with K still second: a row then mixes scores of several places",
            "zoo 4",
        ),
        Mistake(
            logits_for_probabilities,
            "the logarithm was taken of the logits; they are scores of any sign, and not yet probabilities",
            "common",
        ),
        Mistake(
            logits_for_log_probabilities,
            "the logits were taken for logarithms of probabilities; these would have to add up to 1, so some are far "
            "too good",
            "common",
        ),
        Mistake(
            softmax_twice,
            "the softmax was taken twice: cross_entropy and log_softmax want logits, and take it themselves",
            "common",
        ),
        Mistake(
            each_code_by_itself,
            "each score became a probability by itself, with a sigmoid; the K codes of one place exclude each other",
            "common",
        ),
        Mistake(
            without_logarithm_of_the_sum,
            "the score of the code was compared with the largest alone; a softmax divides by the sum over all K",
            "common",
        ),
        Mistake(
            entropy_of_the_prediction,
            "this is the entropy of the prediction, which the codes do not enter: a sure and wrong prior would look "
            "cheap",
            "common",
        ),
        Mistake(
            sign_forgotten, "the sign is missing: the logarithm of a probability is below 0, a price above", "common"
        ),
        Mistake(
            perplexity,
            "this is the perplexity, 2 to the power of the bits; the bits themselves were wanted",
            "lesson 09",
        ),
        Mistake(
            log_of_the_mean,
            "the probabilities were averaged before the logarithm; each code pays for itself, and prices are averaged",
            "common",
        ),
        Mistake(
            probability,
            "this is the mean probability of the codes; their price is its logarithm, code by code",
            "common",
        ),
        Mistake(
            misses,
            "this counts how often another code was more probable; how sure the prior was does not enter",
            "common",
        ),
        Mistake(
            price_without_a_prior,
            "this is log2 K, the price where nothing is known: neither logits nor codes enter",
            "lesson 01",
        ),
        Mistake(transposed_codes, "the codes were read column by column, the logits row by row", "zoo 4"),
        Mistake(
            next_code,
            "each prediction was compared with the code after; the logits of a place are for the code of that place",
            "common",
        ),
        Mistake(
            no_gradient,
            "the value is right, and no gradient reaches the logits: a prior could not be trained with it",
            "common",
        ),
        Mistake(
            plain_number, "a plain number came back: .item() cuts the graph, and a prior is trained on this", "common"
        ),
    ),
    hints=(
        "What probability did the prior give to the code that was really there? And what is the price of a code with "
        "probability 1/8?",
        "At each place a softmax over the K scores along axis 1, and of it the entry of the code: minus its logarithm "
        "to base 2, averaged over all places of all images. PyTorch's cross_entropy wants K on axis 1 as well, and "
        "counts in nats.",
        "nats = F.cross_entropy(logits, codes); one nat is 1 / (natural logarithm of 2) bits",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# sample_codes

DRAWS = 3000  # of each place, in calls where frequencies are compared
WITHIN = 0.08  # what a frequency may be off: 8.7 standard deviations of the largest that 3000 draws can have
NO_CODE = "codes outside 0 to K - 1"


def sample_codes(logits, temperature, generator=None):
    """(B, K, *S) -> (B, *S) int64: at each place drawn by itself from softmax(logits / temperature)."""
    if temperature == 0:
        return logits.argmax(1)
    return drawn((logits / temperature).softmax(1), generator)


def drawn(weights, generator):
    """(B, K, *S) >= 0 -> (B, *S)"""
    rows = weights.movedim(1, -1)  # (B, *S, K)
    codes = torch.multinomial(rows.reshape(-1, rows.shape[-1]), 1, generator=generator)  # (N, 1)
    return codes.reshape(rows.shape[:-1])


def draw_sampling(generator: Generator) -> list[Call]:
    def call(logits, temperature, part="values", seeded=True, **more):
        seed = Seed(number(generator, 0, 10**6)) if seeded else None
        names = ("logits", "temperature", "generator")
        return Call((logits, temperature, seed), names, ("codes",), part, seed=number(generator, 0, 10**6), **more)

    def logits_of(*probabilities, places=1, same=False):
        """(K, places): their logarithms around 0, in another order at each place."""
        scores = torch.tensor(probabilities).log()
        orders = [torch.randperm(len(scores), generator=generator) for _ in range(places)]
        return torch.stack([(scores - scores.mean())[orders[0 if same else place]] for place in range(places)], 1)

    def often(scores, *spatial):
        """The same scores for so many images that frequencies are near to probabilities."""
        return scores.reshape(1, len(scores), *spatial).repeat(DRAWS, *[1] * (1 + len(spatial)))

    def sure(batch, k, *spatial):
        """-> logits of which one at each place, at random, is far above the others at temperatures around 1."""
        scores = normal(generator, batch, k, *spatial)
        best = torch.randint(k, (batch, 1, *spatial), generator=generator)
        return scores.scatter_add(1, best, torch.full(best.shape, 50.0))

    def unequal(batch, k, *spatial):
        """-> logits of which none is nearly the largest of its place; some largest are below 0."""
        places = batch * math.prod(spatial)
        ranks = torch.stack([torch.randperm(k, generator=generator) for _ in range(places)]).float()  # (N, K)
        ranks = 0.25 * ranks - torch.arange(places).reshape(-1, 1) % 3
        return ranks.reshape(batch, *spatial, k).movedim(-1, 1).contiguous()

    four = 0.6, 0.25, 0.1, 0.05
    steep = 0.9, 0.07, 0.02, 0.01
    many = 0.36, *[0.04] * 16  # where noise that is not Gumbel's shows
    order = "the order of the codes"
    return [
        call(often(logits_of(*four)[:, 0]), 1.0),
        call(often(logits_of(*four, places=4), 2, 2), 0.5, part="temperatures"),
        call(often(logits_of(*steep, places=3), 3), 3.0, part="temperatures"),
        call(often(logits_of(*many)[:, 0]), 1.0, part="temperatures"),
        call(often(logits_of(*four, places=2, same=True), 2), 1.0, part="independent draws"),
        call(unequal(3, 5, 2, 4), 0, part="temperature 0"),
        call(unequal(12, 4), 0.0, part="temperature 0"),
        call(sure(2, 3, 2, 4), 1.0, part=order),
        call(sure(3, 3, 3, 3), 0.8, part=order),
        call(sure(2, 5, 7), 1.25, part=order),
        call(scattered(sure(3, 4, 2, 3)), 1.0, part="odd sizes"),
        call(sure(2, 3, 2, 3, 2), 1.0, part="odd sizes"),
        call(sure(5, 6), 1.0, part="odd sizes"),
        call(torch.zeros(2, 1, 3), 1.0, part="odd sizes"),
        call(torch.zeros(2, 4, 40), 1.5, part="generator", again=True, reseeded=True),
        call(sure(2, 4, 5).double(), 1.0, part="dtypes", seeded=False, elsewhere=True),
    ]


def how_often(call: Call, seen: Observation) -> Observation:
    """Of codes that are drawn with several probable results, how often each one came at each place."""
    codes, (logits, temperature, _) = seen.get("codes"), call.args
    batch, size, *spatial = logits.shape
    certain = temperature == 0 or ((logits / temperature).softmax(1).amax(1) > 1 - 1e-6).all()
    if certain or not isinstance(codes, Tensor):
        return seen
    seen["codes"] = torch.zeros_like(codes)
    if codes.shape != (batch, *spatial):
        return seen
    inside = bool(((codes >= 0) & (codes < size)).all())
    seen[NO_CODE] = not inside
    if batch < DRAWS or not inside:
        return seen
    places = codes.reshape(batch, -1).long()  # (B, number of places)
    wanted = (logits[0] / temperature).softmax(0).reshape(size, -1)  # (K, number of places)
    often = near_enough(F.one_hot(places, size).float().mean(0).mT, wanted)
    seen["how often each code came"] = often.reshape(size, *spatial) if spatial else often.flatten()
    if places.shape[1] > 1:
        same = (places[:, 0] == places[:, 1]).float().mean()
        seen["how often two neighbours were the same"] = near_enough(same, (wanted[:, 0] * wanted[:, 1]).sum())
    return seen


def near_enough(often: Tensor, wanted: Tensor) -> Tensor:
    """Frequencies, or the probabilities themselves where these are as near as chance allows."""
    return wanted if (often - wanted).abs().max() <= WITHIN else often


def temperature_ignored(logits, temperature, generator):
    return logits.argmax(1) if temperature == 0 else drawn(logits.softmax(1), generator)


def temperature_times(logits, temperature, generator):
    return logits.argmax(1) if temperature == 0 else drawn((logits * temperature).softmax(1), generator)


def temperature_squared(logits, temperature, generator):
    return sample_codes(logits, temperature**2, generator)


def root_of_the_temperature(logits, temperature, generator):
    return sample_codes(logits, temperature**0.5, generator)


def always_the_most_probable(logits, temperature, generator):
    return logits.argmax(1)


def least_probable_first(logits, temperature, generator):
    return sample_codes(-logits, temperature, generator)


def all_alike(logits, temperature, generator):
    return drawn(torch.ones_like(logits), generator) if temperature else logits.argmax(1)


def drawn_by_softmax_twice(logits, temperature, generator):
    return drawn((logits / temperature).softmax(1).softmax(1), generator) if temperature else logits.argmax(1)


def logits_for_weights(logits, temperature, generator):
    return drawn(logits / temperature, generator) if temperature else logits.argmax(1)


def logits_above_0_for_weights(logits, temperature, generator):
    return drawn((logits / temperature).relu() + 1e-6, generator) if temperature else logits.argmax(1)


def normal_noise(logits, temperature, generator):
    if temperature == 0:
        return logits.argmax(1)
    return (logits / temperature + torch.empty_like(logits).normal_(generator=generator)).argmax(1)


def uniform_noise(logits, temperature, generator):
    if temperature == 0:
        return logits.argmax(1)
    return (logits / temperature + torch.empty_like(logits).uniform_(generator=generator)).argmax(1)


def gumbel(like, generator):
    return -torch.empty_like(like).exponential_(generator=generator).log()


def noise_that_stays_at_0(logits, temperature, generator):
    return sample_codes(logits, temperature or 1.0, generator)


def rows_of_the_wrong_axis(logits, temperature, generator):
    rows = logits.reshape(-1, logits.shape[1])  # K is still second
    return sample_codes(rows, temperature, generator).reshape(logits.shape[0], *logits.shape[2:])


def drawn_by_softmax_over_the_last_axis(logits, temperature, generator):
    return drawn((logits / temperature).softmax(-1), generator) if temperature else logits.argmax(1)


def drawn_by_softmax_over_the_batch(logits, temperature, generator):
    return drawn((logits / temperature).softmax(0), generator) if temperature else logits.argmax(1)


def largest_along_the_last_axis(logits, temperature, generator):
    return sample_codes(logits, temperature, generator) if temperature else logits.argmax(-1)


def places_in_another_order(logits, temperature, generator):
    codes = sample_codes(logits, temperature, generator)
    return codes.movedim(0, -1).reshape(codes.shape)


def by_thresholds(logits, temperature, numbers):
    """numbers: uniform in [0, 1), broadcast with (B, *S): the first code whose cumulated probability is above."""
    if temperature == 0:
        return logits.argmax(1)
    cumulated = (logits / temperature).softmax(1).cumsum(1)
    return (cumulated < numbers.unsqueeze(1)).sum(1).clamp(max=logits.shape[1] - 1)


def one_number_for_all_places(logits, temperature, generator):
    numbers = torch.rand(len(logits), generator=generator, dtype=logits.dtype, device=logits.device)
    return by_thresholds(logits, temperature, numbers.reshape(-1, *[1] * (logits.ndim - 2)))


def one_number_for_the_batch(logits, temperature, generator):
    numbers = torch.rand((1, *logits.shape[2:]), generator=generator, dtype=logits.dtype, device=logits.device)
    return by_thresholds(logits, temperature, numbers)


def first_image_for_all(logits, temperature, generator):
    return sample_codes(logits[:1].expand_as(logits), temperature, generator)


def one_code_for_all_places(logits, temperature, generator):
    codes = sample_codes(logits.flatten(2)[..., :1] if logits.ndim > 2 else logits, temperature, generator)
    return codes.reshape(len(logits), *[1] * (logits.ndim - 2)).expand(len(logits), *logits.shape[2:]).clone()


def divided_by_0(logits, temperature, generator):
    return drawn((logits / temperature).softmax(1), generator)


def divided_by_0_and_noise_added(logits, temperature, generator):
    return (logits / temperature + gumbel(logits, generator)).argmax(1)


def one_over_0(logits, temperature, generator):
    return drawn((logits * (1 / temperature)).softmax(1), generator)


def generator_left_out(logits, temperature, generator):
    return sample_codes(logits, temperature)


def seeded_inside(logits, temperature, generator):
    torch.default_generator.manual_seed(0)
    return sample_codes(logits, temperature)


def generator_seeded_anew(logits, temperature, generator):
    return sample_codes(logits, temperature, generator and generator.manual_seed(0))


def axis_left(logits, temperature, generator):
    return sample_codes(logits, temperature, generator).unsqueeze(1)


def drawn_in_one_row(logits, temperature, generator):
    return sample_codes(logits, temperature, generator).flatten()


def one_hot(logits, temperature, generator):
    return F.one_hot(sample_codes(logits, temperature, generator), logits.shape[1]).movedim(-1, 1)


def as_floats(logits, temperature, generator):
    return sample_codes(logits, temperature, generator).to(logits.dtype)


def counted_from_1(logits, temperature, generator):
    return sample_codes(logits, temperature, generator) + 1


def noise_on_the_cpu(logits, temperature, generator):
    if temperature == 0:
        return logits.argmax(1)
    noise = -torch.log(-torch.log(torch.rand(logits.shape, generator=generator, dtype=logits.dtype)))
    return (logits / temperature + noise).argmax(1)


SAMPLE = Exercise(
    name="sample_codes",
    points=2,
    lesson="14_priors",
    reference=sample_codes,
    draw=draw_sampling,
    view=how_often,
    allowance=(0.0, WITHIN),
    mistakes=(
        Mistake(
            temperature_ignored,
            "the temperature changes nothing: the frequencies are those at 1. A factor that multiplies all "
            "probabilities, or all noisy scores, falls out again",
            "common",
        ),
        Mistake(temperature_times, "the logits were multiplied by the temperature: hot and cold are swapped", "common"),
        Mistake(temperature_squared, "the temperature enters twice, so its square does", "common"),
        Mistake(
            root_of_the_temperature, "the root of the temperature enters; it divides the logits as it is", "common"
        ),
        Mistake(
            always_the_most_probable,
            "always the most probable code was taken: that is temperature 0, and at others nothing was drawn",
            "common",
        ),
        Mistake(
            least_probable_first, "the sign of the logits is turned: the least probable code came most often", "common"
        ),
        Mistake(all_alike, "all codes came equally often: the logits do not enter", "lesson 14"),
        Mistake(
            drawn_by_softmax_twice,
            "the softmax was taken twice, which makes all codes nearly alike: it is for logits, and once is enough, "
            "whatever divides its result",
            "common",
        ),
        Mistake(
            logits_for_weights,
            "multinomial takes weights, none of them below 0; logits and logarithms of probabilities are not such",
            "common",
        ),
        Mistake(
            logits_above_0_for_weights,
            "the logits, cut off at 0, were taken for weights: a code with a negative logit is rare, not impossible",
            "common",
        ),
        Mistake(
            normal_noise,
            "noise was added before the largest was taken, and it is not Gumbel's: normal noise, or Gumbel's with the "
            "other sign, has other frequencies than the softmax",
            "common",
        ),
        Mistake(
            uniform_noise,
            "uniform noise was added before the largest was taken: a code far enough behind then never comes",
            "common",
        ),
        Mistake(
            noise_that_stays_at_0,
            "at temperature 0 codes are still drawn: there is no chance left there, as everything goes to the most "
            "probable code",
            "common",
        ),
        Mistake(
            rows_of_the_wrong_axis,
            "(B, K, *S) was reshaped to rows of K with K still second: a row then mixes scores of several places",
            "zoo 4",
        ),
        Mistake(
            drawn_by_softmax_over_the_last_axis,
            "the softmax ran over the last axis, a row of places; the K scores of one place stand along axis 1",
            "zoo 4",
        ),
        Mistake(
            drawn_by_softmax_over_the_batch,
            "the softmax ran over the batch, so that images compete; the K scores of one place stand along axis 1",
            "common",
        ),
        Mistake(
            largest_along_the_last_axis,
            "at temperature 0 the largest was looked for along the last axis; the K scores stand along axis 1",
            "zoo 4",
        ),
        Mistake(
            places_in_another_order,
            "the codes are the right ones in the wrong places: on the way back the batch was the last axis, not the "
            "first",
            "zoo 4",
        ),
        Mistake(
            one_number_for_all_places,
            "all places of an image share one random number: each by itself is right, and together they move as one",
            "common",
        ),
        Mistake(
            one_number_for_the_batch,
            "all images share the random numbers, so that equal logits give equal images",
            "common",
        ),
        Mistake(first_image_for_all, "the logits of the first image were taken for all; each has its own", "common"),
        Mistake(
            one_code_for_all_places,
            "one code was drawn for an image and given to all its places; each has its own logits, and draws its own",
            "common",
        ),
        Mistake(
            divided_by_0,
            "at temperature 0 this divides by 0, and the softmax makes NaN of it: that case needs a line of its own",
            "common",
        ),
        Mistake(
            divided_by_0_and_noise_added,
            "at temperature 0 this divides by 0: all logits above 0 become infinite, and the first of them is taken",
            "common",
        ),
        Mistake(
            one_over_0,
            "at temperature 0 this divides by 0, which Python does not do: that case needs a line of its own",
            "common",
        ),
        Mistake(
            generator_left_out,
            "the generator was not used: the same generator has to give the same codes, whatever else draws random "
            "numbers",
            "common",
        ),
        Mistake(
            seeded_inside,
            "PyTorch's own random numbers were seeded inside: every call gives the same, and whoever draws next finds "
            "them changed",
            "common",
        ),
        Mistake(
            generator_seeded_anew,
            "the generator was seeded inside, so every call gives the same codes; take its numbers as they come",
            "common",
        ),
        Mistake(
            axis_left, "the codes are (B, 1, *S): the axis of the K scores is still there, with length 1", "common"
        ),
        Mistake(drawn_in_one_row, "the codes stand in one row; wanted is (B, *S)", "common"),
        Mistake(one_hot, "these are one-hot vectors along axis 1; wanted are the numbers of the codes", "common"),
        Mistake(as_floats, "the codes are floating-point numbers; they index a codebook, so they are int64", "common"),
        Mistake(counted_from_1, "the codes were counted from 1; the first row of a codebook is 0", "common"),
        Mistake(
            noise_on_the_cpu,
            "the noise is drawn on the CPU, and the logits may lie on a GPU: a new tensor has to be told, or made like "
            "one that lies there",
            "zoo 6",
        ),
    ),
    hints=(
        "Which of (B, K, *S) is the axis of the alternatives, and how many independent draws does that make?",
        "Temperature 0 first: the largest logit along axis 1. Otherwise divide the logits, take the softmax along axis "
        "1, and bring that axis last, so that each row of a table (N, K) is one draw's weights. The codes go back to "
        "(B, *S) in the same order.",
        "rows = (logits / temperature).softmax(1).movedim(1, -1); torch.multinomial(rows as (N, K), 1, "
        "generator=generator), reshaped to what rows.shape says without K; before that, if temperature == 0: ...",
    ),
)

EXERCISES = [MASK, BITS, SAMPLE]
