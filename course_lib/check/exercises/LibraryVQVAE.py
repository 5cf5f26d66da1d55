"""Exercise 07: an MLP VQ-VAE around the library's quantiser.

Two right answers share neither their first weights nor their layers' names, so their numbers differ. What is compared
is what all right answers have in common: `properties` says it in words that a learner can read.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib.check.author import Call, Observation, exercise, number
from course_lib.data import samples


def VectorQuantize(**options):
    """The library's layer, imported when one is made: that takes seconds, and most checks do without."""
    from vector_quantize_pytorch import VectorQuantize

    return VectorQuantize(**options)


class LibraryVQVAE(nn.Module):
    """An MLP VQ-VAE around one `VectorQuantize` of the library: codebook_size codes of vector_dim numbers, decay 0.8.

    (B, input_dim) float32 in [0, 1] -> reconstruction (B, input_dim) float32 in [0, 1],
    codes (B, latents_per_image) int64, loss: one number, what the layer returns, and nothing besides.
    """

    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__()
        ### BEGIN SOLUTION
        self.shape = latents_per_image, vector_dim
        size = latents_per_image * vector_dim
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, 300), nn.LeakyReLU(), nn.Linear(300, 300), nn.LeakyReLU(), nn.Linear(300, size)
        )
        self.vq = VectorQuantize(dim=vector_dim, codebook_size=codebook_size, decay=0.8, commitment_weight=1.0)
        self.decoder = nn.Sequential(
            nn.Linear(size, 300), nn.LeakyReLU(), nn.Linear(300, 300), nn.LeakyReLU(), nn.Linear(300, input_dim)
        )
        self.decoder.append(nn.Sigmoid())  # pixels lie in [0, 1]
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        latents = self.encoder(x).unflatten(1, self.shape)  # (B, L, D)
        quantized, codes, loss = self.vq(latents)  # (B, L, D), (B, L), ()
        return self.decoder(quantized.flatten(1)), codes, loss
        ### END SOLUTION


# ----------------------------------------------------------------------------------------------------------------------
# The calls

STEPS = 100  # of training in a check; most right answers are then at 0.2 to 0.6 of the mean image's error
NEAR = 1.2  # of that error: narrow layers, sigmoid units or a normalised latent take longer to get below it
ALIKE = "equal images give the layer equal vectors"


def draw(generator: Generator) -> list[Call]:
    def call(x, vector_dim, latents_per_image, codebook_size, part="values", **more):
        sizes = (x.shape[1], vector_dim, latents_per_image, codebook_size)
        settings = {"watch": "codebook", "fill": False, "training": False, "warm": 1} | more
        seed = number(generator, 0, 10**6)
        return Call((x,), ("x",), ("reconstruction", "codes", "loss"), part, build=sizes, seed=seed, **settings)

    def images(count, input_dim):
        return torch.rand(count, input_dim, generator=generator)

    twice = images(3, 12)[[0, 1, 0, 2]]  # two images are equal: whoever mixes the images gives them different codes
    return [
        call(twice, 3, 5, 6),
        call(images(5, 12), 3, 4, 6, training=True, differentiate=(0,), part="training mode"),
        call(images(4, 10), 3, 2, 1, part="one code"),
        call(images(3, 40), 3, 4, 6, fill=True, watch=None, warm=0, part="large weights"),
        call(images(6, 784)[[0, 1, 2, 0]], 2, 5, 7, part="odd sizes"),
        call(images(4, 9)[[0, 1, 1, 2]], 4, 4, 8, part="odd sizes"),  # D = L
        call(images(4, 9)[[0, 1, 1, 2]], 5, 3, 1, part="odd sizes"),
        call(images(5, 9), 3, 1, 4, part="odd sizes"),
        call(images(5, 9)[[0, 1, 0, 2, 3]], 1, 3, 4, part="odd sizes"),
        call(images(1, 9), 3, 4, 4, warm=0, watch=None, elsewhere=True, part="odd sizes"),
        call(digits(generator), 8, 4, 16, train=STEPS, training=True, differentiate=(0,), warm=0, part="learning"),
    ]


@cache
def zeros_and_ones() -> Tensor:
    """(n, 100): the embedded sample's zeros and ones, without their margins, at 10 x 10 pixels."""
    images, labels, _, _ = samples.mnist()
    cropped = images[labels < 2, None, 4:24, 4:24].float() / 255  # (n, 1, 20, 20)
    return F.avg_pool2d(cropped, 2).flatten(1)


def digits(generator: Generator) -> Tensor:
    images = zeros_and_ones()
    return images[torch.randperm(len(images), generator=generator)[:192]]  # (192, 100)


# ----------------------------------------------------------------------------------------------------------------------
# What every right answer has in common


def properties(call: Call, observation: Observation) -> Observation:
    (x,), (*_, latents_per_image, codebook_size) = call.args, call.build
    facts = {"kind of result": observation["kind of result"]}
    # of the results themselves, shape and dtype count; a loss of shape (1,), which some versions give, is one number
    for name in call.gives:
        value = observation.get(name, "nothing")
        facts[name] = torch.zeros_like(value) if isinstance(value, Tensor) else type(value).__name__
    reconstruction, codes, loss = (observation.get(name) for name in call.gives)
    if isinstance(loss, Tensor) and loss.numel() == 1:
        facts["loss"] = facts["loss"].reshape(())
    right_reconstruction = is_of(reconstruction, x.shape)
    if right_reconstruction:
        facts["all of the reconstruction lies in [0, 1]"] = bool(((reconstruction >= 0) & (reconstruction <= 1)).all())
        facts["each reconstruction's pixels add up to 1"] = bool((reconstruction.sum(1) - 1).abs().max() < 1e-4)
    right_codes = is_of(codes, (len(x), latents_per_image)) and codes.dtype == torch.int64
    if right_codes:
        facts["all codes lie from 0 to codebook_size - 1"] = bool(((codes >= 0) & (codes < codebook_size)).all())
    if call.watch and not call.train:
        facts |= of_the_layer(call, observation, codes if right_codes else None, loss)
    if right_reconstruction and right_codes and not call.training:
        facts |= of_pairs(x, reconstruction, codes, codebook_size, facts.get(ALIKE, True))
    for name in ("reconstruction", "loss"):
        gradient = observation.get(f"gradient of {name} for x")
        if gradient is not None:
            facts[f"gradient of {name} for x is not 0 throughout"] = bool(gradient.any())
    if call.train and all(value is not False for key, value in facts.items() if key.startswith("gradient")):
        mean_image = (x - x.mean(0)).square().mean().item()
        limit = min(NEAR * mean_image, observation["error before training"])
        facts[f"error after {STEPS} steps as low as the mean image's"] = observation["error after training"] < limit
    if call.train and "layer codebook" in observation:
        before, after = observation["layer codebook"], observation["layer codebook afterwards"]
        facts["codebook moves in training"] = not torch.allclose(before, after, atol=1e-6)
    judged = ("parameters", "error ", "gradient of", "layer ", "attribute ")
    return facts | {key: value for key, value in observation.items() if key not in facts and not key.startswith(judged)}


def of_pairs(x: Tensor, reconstruction: Tensor, codes: Tensor, codebook_size: int, alike: bool) -> Observation:
    """What holds of any two images. Whether two of them get the same codes is chance, unless there is one code only.

    alike: equal images are equal to the layer; where they are not, equal results would be chance too.
    """

    def close(a, b):
        return bool((reconstruction[a] - reconstruction[b]).abs().max() < 1e-5)

    facts = {"reconstruction is x itself": torch.allclose(reconstruction, x)}
    if alike:
        equal = equal_pairs(x)
        facts["equal images get equal results"] = all(close(a, b) and torch.equal(codes[a], codes[b]) for a, b in equal)
    if codebook_size == 1:
        spread = reconstruction.amax(0) - reconstruction.amin(0)  # (input_dim,)
        facts["images with equal codes get equal reconstructions"] = bool(spread.max() < 1e-5)
    return facts


def of_the_layer(call: Call, observation: Observation, codes: Tensor | None, loss) -> Observation:
    (x,), (_, vector_dim, latents_per_image, codebook_size) = call.args, call.build
    facts = {"a layer with a codebook was made in __init__": observation["layer found"]}
    if "layer input" not in observation:
        return facts | {"the layer was called": False}
    facts["the layer was called"] = True
    before, after = observation["layer codebook"], observation["layer codebook afterwards"]
    facts["the layer's codebook"] = torch.zeros_like(before)
    if isinstance(loss, Tensor) and loss.numel() == 1:
        difference = (loss.sum() - observation["layer loss"].sum()).abs()
        facts["loss is the layer's"] = bool(difference < 1e-6 + 1e-4 * loss.abs().sum())
    if not call.training:
        orders = orders_of(observation["layer input"], (len(x), latents_per_image, vector_dim))
        facts["the layer's input can be read as (B, L, D)"] = bool(orders)
        pairs = equal_pairs(x)
        orders = [latents for latents in orders if all(torch.allclose(*latents[[a, b]], atol=1e-5) for a, b in pairs)]
        facts[ALIKE] = bool(orders)
        if codes is not None and before.shape == (codebook_size, vector_dim):
            facts["codes are the nearest to the layer's input"] = any(nearest(one, before, codes) for one in orders)
        facts["codebook stays as it is in eval mode"] = torch.equal(before, after)
    return facts


def orders_of(latents: Tensor, shape: tuple[int, int, int]) -> list[Tensor]:
    """The layer's input as (B, L, D), in each order in which it may be meant; none where it cannot be."""
    if latents.numel() != torch.Size(shape).numel():
        return []
    orders = [latents.reshape(shape)] if latents.shape[-1] == shape[-1] else []
    if latents.ndim == 3:
        orders += [turned for turned in (latents.mT, latents.transpose(0, 1)) if turned.shape == shape]
    return orders


def equal_pairs(x: Tensor) -> list[tuple[int, int]]:
    return [(a, b) for a in range(len(x)) for b in range(a) if torch.equal(x[a], x[b])]


def nearest(latents: Tensor, codebook: Tensor, codes: Tensor) -> bool:
    """(B, L, D), (K, D), (B, L): whether no code is nearer than the one that was chosen, up to rounding."""
    distances = (latents.double().unsqueeze(2) - codebook.double()).square().sum(-1)  # (B, L, K)
    if not 0 <= codes.min() <= codes.max() < len(codebook):
        return False
    excess = distances.gather(2, codes.unsqueeze(2)).squeeze(2) - distances.amin(2)  # (B, L)
    return bool((excess < 1e-5).all())


def is_of(value, shape) -> bool:
    return isinstance(value, Tensor) and value.shape == torch.Size(shape)


# ----------------------------------------------------------------------------------------------------------------------
# What goes wrong; the first shows in the training alone, which takes longest, and is looked at first

WRONG = r"""
self.vq(latents) -> self.vq(latents, freeze_codebook=True)  # mutation
    the codebook is as it was before the training: something holds it fast
return self.decoder(quantized.flatten(1)) -> return (1e-6 * self.decoder[:-1](quantized.flatten(1))).sigmoid()
    the model learns too slowly, or not at all: a hundred steps did not bring its error down to that of the mean image
    for all. What makes its steps so small: units that are flat where they start, a factor, layers that are cut off?
quantized.flatten(1) -> latents.flatten(1)
    the decoder gets the encoder's output and can go around the codebook: with one single code for everything, its
    images still differ
self.decoder.append(nn.Sigmoid()) ->
    pixels leave [0, 1]: what should the decoder's last step be?
nn.Sigmoid() -> nn.Softmax(1)  # mutation
    softmax makes the pixels of an image add up to 1: each pixel by itself is to lie between 0 and 1
.unflatten(1, self.shape) -> .reshape(self.shape[0], len(x), self.shape[1]).transpose(0, 1)  # zoo 4
    numbers of different images are mixed: the encoder gives one row for each image, so the batch axis is the first one
    of what each row is cut into
self.shape = latents_per_image, vector_dim -> self.shape = vector_dim, latents_per_image
    the latents were cut into (B, D, L); the layer takes (B, L, D), the vectors' axis last, and lets the other order
    pass only where L = D
dim=vector_dim -> dim=size
.unflatten(1, self.shape) ->
    the whole image became one vector with one code: cut the encoder's row into latents_per_image vectors first
return self.decoder(quantized.flatten(1)), codes.flatten(), loss
    codes have one row for each image, (B, L); these are flat
return self.decoder(quantized.flatten(1)), codes
    two results came: the layer's loss is missing
return self.decoder(quantized.flatten(1)), codes, x.new_zeros(())
    the loss does not come from the layer: nobody holds the encoder to its codes
return self.decoder(quantized.flatten(1)), codes, loss.detach()
    no gradient comes from the loss: its graph was cut, or its weight is 0
return self.decoder(quantized.flatten(1)) -> y = self.decoder(quantized.flatten(1))\nreturn y
return y, codes, loss + F.mse_loss(y, x)
    the loss holds more than the layer's: the reconstruction error is added by the training step, not by the model
return x, codes, loss
    this is x, not a reconstruction: which variable does the return line name?
self.vq(latents) -> self.vq(latents.detach())  # zoo 25
    no gradient reaches the encoder, from the error or from the loss: its output was detached on the way to the layer
quantized.flatten(1) -> self.vq.codebook[codes].flatten(1)  # zoo 25
    the loss reaches the encoder, the error does not: vectors looked up by their codes have no gradient to pass on; the
    layer's own output has
self.vq = VectorQuantize( -> self.options = dict(
self.vq(latents) -> VectorQuantize(**self.options).to(x.device).train(self.training)(latents)
    the model keeps no codebook: a layer made in forward starts anew with each batch
return self.decoder(quantized.flatten(1)), loss, codes
    codes and loss have changed places: reconstruction, codes, loss is the order
return codes, self.decoder(quantized.flatten(1)), loss
    codes and reconstruction have changed places: reconstruction, codes, loss is the order
return quantized, codes, loss
    these are the quantised vectors: they have not been through the decoder yet
nn.Linear(input_dim, 300) -> nn.Linear(784, 300)
nn.Linear(300, input_dim) -> nn.Linear(300, 784)
    784 is written into a layer: take input_dim, and other images will do
latents = self.encoder -> self.train()\nlatents = self.encoder  # zoo 22
    the codebook moves in eval mode too: the model is put into training mode inside forward
latents = self.encoder -> self.vq.eval()\nlatents = self.encoder
    the layer is in eval mode, whatever the model is in: then its codebook stands still, it gives no loss, and no
    gradient comes back through it
"""


def picture(axes, answer) -> None:
    """Trains on the embedded sample for some seconds; above, eight of its test digits, below, what came back."""
    images, _, tests, _ = samples.mnist()
    images, tests = images.flatten(1).float() / 255, tests.flatten(1).float() / 255
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = answer(784, 8, 16, 64).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(300):
            batch = images[torch.randint(len(images), (64,))]
            reconstruction, _, loss = model(batch)
            optimizer.zero_grad()
            (10 * F.mse_loss(reconstruction, batch) + loss.sum()).backward()
            optimizer.step()
        with torch.no_grad():
            rebuilt = model.eval()(tests[:8])[0]
    pairs = torch.stack([tests[:8].reshape(2, 4, 28, 28), rebuilt.reshape(2, 4, 28, 28)], dim=1)  # (2, 2, 4, 28, 28)
    axes.imshow(pairs.movedim(3, 2).reshape(112, 112), cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([14, 42, 70, 98], 2 * ["input", "reconstruction"])


EXERCISE = exercise(
    LibraryVQVAE,
    lesson="07_mnist_library",
    points=4,
    draw=draw,
    wrong=WRONG,
    view=properties,
    picture=picture,
    hints=(
        "Write down the shape after each of the five stations: images, encoder, cut into vectors, layer, decoder. "
        "Where does the number of axes change, and where does it change back?",
        "Encoder and decoder are plain stacks of Linear layers on (B, numbers). Between them, the encoder's row of "
        "L * D numbers is cut into L vectors of D for the layer, and what the layer gives is joined to a row again. "
        "The layer returns three things: one goes on to the decoder, two are handed out as they are.",
        "encoder: input_dim -> 300 -> 300 -> L * D; cut: .reshape(B, L, D); the layer's three results; join the "
        "first: .flatten(1); decoder: L * D -> 300 -> 300 -> input_dim, then a sigmoid",
    ),
)
