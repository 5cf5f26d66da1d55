"""Exercise 07: an MLP VQ-VAE around the library's quantiser.

Two right answers share neither their first weights nor their layers' names, so their numbers differ. What is compared
is what all right answers have in common: `properties` says it in words that a learner can read.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib import data
from course_lib.check.exercises.drawing import number
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call
from course_lib.models import MLPVQVAE

STEPS = 100  # of training in a check; a right answer is then at 0.2 to 0.6 of the mean image's error
WELL_BELOW = 0.8
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
        call(_digits(generator), 8, 4, 16, train=STEPS, training=True, differentiate=(0,), warm=0, part="learning"),
    ]


@cache
def _zeros_and_ones() -> Tensor:
    """(n, 100): the embedded sample's zeros and ones, without their margins, at 10 x 10 pixels."""
    images, labels, _, _ = data._mnist_sample()
    kept = images[labels < 2, None, 4:24, 4:24].float() / 255  # (n, 1, 20, 20)
    return F.avg_pool2d(kept, 2).flatten(1)


def _digits(generator: Generator) -> Tensor:
    images = _zeros_and_ones()
    return images[torch.randperm(len(images), generator=generator)[:192]]  # (192, 100)


# ----------------------------------------------------------------------------------------------------------------------
# What every right answer has in common


def properties(call: Call, seen: Observation) -> Observation:
    (x,), (*_, latents_per_image, codebook_size) = call.args, call.build
    found = {"kind of result": seen["kind of result"]}
    # of the results themselves, shape and dtype count; a loss of shape (1,), which some versions give, is one number
    for name in call.gives:
        value = seen.get(name, "nothing")
        found[name] = torch.zeros_like(value) if isinstance(value, Tensor) else type(value).__name__
    if isinstance(seen.get("loss"), Tensor) and seen["loss"].numel() == 1:
        found["loss"] = found["loss"].reshape(())
    reconstruction, codes, loss = (seen.get(name) for name in call.gives)
    if _is(reconstruction, x.shape):
        found["all of the reconstruction lies in [0, 1]"] = bool(((reconstruction >= 0) & (reconstruction <= 1)).all())
        found["each reconstruction's pixels add up to 1"] = bool((reconstruction.sum(1) - 1).abs().max() < 1e-4)
    right_codes = _is(codes, (len(x), latents_per_image)) and codes.dtype == torch.int64
    if right_codes:
        found["all codes lie from 0 to codebook_size - 1"] = bool(((codes >= 0) & (codes < codebook_size)).all())
    if call.watch and not call.train:
        found |= _of_the_layer(call, seen, codes if right_codes else None, loss)
    if _is(reconstruction, x.shape) and right_codes and not call.training:
        found |= _of_pairs(x, reconstruction, codes, codebook_size, found.get(ALIKE, True))
    for name in ("reconstruction", "loss"):
        if f"gradient of {name} for x" in seen:
            found[f"gradient of {name} for x is not 0 throughout"] = bool(seen[f"gradient of {name} for x"].any())
    if call.train and all(value is not False for key, value in found.items() if key.startswith("gradient")):
        mean_image = (x - x.mean(0)).square().mean().item()
        limit = min(WELL_BELOW * mean_image, seen["error before training"])
        found[f"error after {STEPS} steps well below the mean image's"] = seen["error after training"] < limit
    if call.train and "layer codebook" in seen:
        held = torch.allclose(seen["layer codebook"], seen["layer codebook afterwards"], atol=1e-6)
        found["codebook moves in training"] = not held
    judged = ("parameters", "error ", "gradient of", "layer ", "attribute ")
    return found | {key: value for key, value in seen.items() if key not in found and not key.startswith(judged)}


def _of_pairs(x: Tensor, reconstruction: Tensor, codes: Tensor, codebook_size: int, alike: bool) -> Observation:
    """What holds of any two images. Whether two of them get the same codes is chance, unless there is one code only.

    alike: equal images are equal to the layer; where they are not, equal results would be chance too.
    """

    def close(a, b):
        return bool((reconstruction[a] - reconstruction[b]).abs().max() < 1e-5)

    pairs = [(a, b) for a in range(len(x)) for b in range(a)]
    equal = [(a, b) for a, b in pairs if torch.equal(x[a], x[b])]
    found = {"reconstruction is x itself": bool(torch.allclose(reconstruction, x))}
    if alike:
        found["equal images get equal results"] = all(close(a, b) and torch.equal(codes[a], codes[b]) for a, b in equal)
    if codebook_size == 1:
        found["images with equal codes get equal reconstructions"] = all(close(a, b) for a, b in pairs)
    return found


def _of_the_layer(call: Call, seen: Observation, codes: Tensor | None, loss) -> Observation:
    _, vector_dim, latents_per_image, _ = call.build
    found = {"a layer with a codebook was made in __init__": seen["layer found"]}
    if "layer input" not in seen:
        return found | {"the layer was called": False}
    before, after = seen["layer codebook"], seen["layer codebook afterwards"]
    found["the layer was called"] = True
    found["the layer's codebook"] = torch.zeros_like(before)
    if isinstance(loss, Tensor) and loss.numel() == 1:
        found["loss is the layer's"] = bool(
            (loss.sum() - seen["layer loss"].sum()).abs() < 1e-6 + 1e-4 * loss.abs().sum()
        )
    if not call.training:
        (x,) = call.args
        orders = _orders(seen["layer input"], len(x), latents_per_image, vector_dim)
        found["the layer's input can be read as (B, L, D)"] = bool(orders)
        orders = [latents for latents in orders if _equal_rows(x, latents)]
        found[ALIKE] = bool(orders)
        if codes is not None and before.shape == (call.build[-1], vector_dim):
            found["codes are the nearest to the layer's input"] = any(_nearest(one, before, codes) for one in orders)
        found["codebook stays as it is in eval mode"] = torch.equal(before, after)
    return found


def _orders(latents: Tensor, batch: int, latents_per_image: int, vector_dim: int) -> list[Tensor]:
    """The layer's input as (B, L, D), in each order in which it may be meant; none where it cannot be."""
    wanted = (batch, latents_per_image, vector_dim)
    if latents.numel() != batch * latents_per_image * vector_dim:
        return []
    found = [latents.reshape(wanted)] if latents.shape[-1] == vector_dim else []
    if latents.ndim == 3:
        found += [turned for turned in (latents.mT, latents.transpose(0, 1)) if turned.shape == wanted]
    return found


def _equal_rows(x: Tensor, latents: Tensor) -> bool:
    """Whether rows that are equal in x, (B, input_dim), are so in the latents, (B, L, D), too."""
    pairs = [(a, b) for a in range(len(x)) for b in range(a) if torch.equal(x[a], x[b])]
    return all(torch.allclose(latents[a], latents[b], atol=1e-5) for a, b in pairs)


def _nearest(latents: Tensor, codebook: Tensor, codes: Tensor) -> bool:
    """(B, L, D), (K, D), (B, L): whether no code is nearer than the one that was chosen, up to rounding."""
    distances = (latents.double().unsqueeze(2) - codebook.double()).square().sum(-1)  # (B, L, K)
    if not 0 <= codes.min() <= codes.max() < len(codebook):
        return False
    excess = distances.gather(2, codes.unsqueeze(2)).squeeze(2) - distances.amin(2)  # (B, L)
    return bool((excess < 1e-5).all())


def _is(value, shape) -> bool:
    return isinstance(value, Tensor) and value.shape == torch.Size(shape)


# ----------------------------------------------------------------------------------------------------------------------
# The reference, and wrong answers as changes to it


class LibraryVQVAE(MLPVQVAE):
    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        from vector_quantize_pytorch import VectorQuantize  # here: seconds to import, and most checks do without

        layer = VectorQuantize(dim=vector_dim, codebook_size=codebook_size, decay=0.8, commitment_weight=1.0)
        super().__init__(input_dim, vector_dim, latents_per_image, layer)


class WithoutSigmoid(LibraryVQVAE):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.decoder = self.decoder[:-1]


class SoftmaxAtTheEnd(LibraryVQVAE):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.decoder[-1] = nn.Softmax(1)


class DecoderFedWithLatents(LibraryVQVAE):
    def forward(self, x):
        latents = self.encoder(x)
        _, codes, loss = self.quantizer(latents)
        return self.decoder(latents), codes, loss


class ImagesMixed(LibraryVQVAE):
    def forward(self, x):
        shape = self.latents_per_image, len(x), self.vector_dim
        latents = self.encoder(x).reshape(shape).transpose(0, 1)  # cut in the wrong order, then turned to (B, L, D)
        quantized, codes, loss = self.quantizer(latents)
        return self.decoder(quantized), codes, loss


class AxesSwapped(LibraryVQVAE):
    def forward(self, x):
        quantized, codes, loss = self.quantizer(
            self.encoder(x).reshape(len(x), self.vector_dim, self.latents_per_image)
        )
        return self.decoder(quantized), codes, loss


class OneCodeForEachImage(LibraryVQVAE):
    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__(input_dim, vector_dim * latents_per_image, 1, codebook_size)

    def forward(self, x):
        quantized, codes, loss = self.quantizer(self.encoder(x).flatten(1))  # (B, L * D), (B,)
        return self.decoder(quantized), codes, loss


class CodesFlat(LibraryVQVAE):
    def forward(self, x):
        reconstruction, codes, loss = super().forward(x)
        return reconstruction, codes.flatten(), loss


class LossForgotten(LibraryVQVAE):
    def forward(self, x):
        return super().forward(x)[:2]


class LossZero(LibraryVQVAE):
    def forward(self, x):
        reconstruction, codes, _ = super().forward(x)
        return reconstruction, codes, torch.zeros((), device=x.device)


class LossWithoutGradient(LibraryVQVAE):
    def forward(self, x):
        reconstruction, codes, loss = super().forward(x)
        return reconstruction, codes, loss.detach()


class LossWithTheError(LibraryVQVAE):
    def forward(self, x):
        reconstruction, codes, loss = super().forward(x)
        return reconstruction, codes, loss + F.mse_loss(reconstruction, x)


class InputReturned(LibraryVQVAE):
    def forward(self, x):
        _, codes, loss = super().forward(x)
        return x, codes, loss


class EncoderDetached(LibraryVQVAE):
    def forward(self, x):
        quantized, codes, loss = self.quantizer(self.encoder(x).detach())
        return self.decoder(quantized), codes, loss


class CodesLookedUpAgain(LibraryVQVAE):
    def forward(self, x):
        codebook = self.quantizer.codebook.clone()
        _, codes, loss = self.quantizer(self.encoder(x))
        return self.decoder(codebook[codes]), codes, loss


class NewLayerEachTime(LibraryVQVAE):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.codebook_size = sizes[-1]
        del self.quantizer

    def forward(self, x):
        from vector_quantize_pytorch import VectorQuantize

        layer = VectorQuantize(dim=self.vector_dim, codebook_size=self.codebook_size).to(x.device)
        quantized, codes, loss = layer.train(self.training)(self.encoder(x))
        return self.decoder(quantized), codes, loss


class LossBeforeCodes(LibraryVQVAE):
    def forward(self, x):
        reconstruction, codes, loss = super().forward(x)
        return reconstruction, loss, codes


class CodesFirst(LibraryVQVAE):
    def forward(self, x):
        reconstruction, codes, loss = super().forward(x)
        return codes, reconstruction, loss


class QuantizedReturned(LibraryVQVAE):
    def forward(self, x):
        return self.quantizer(self.encoder(x))


class SizesOfMnist(LibraryVQVAE):
    def __init__(self, _, vector_dim, latents_per_image, codebook_size):
        super().__init__(784, vector_dim, latents_per_image, codebook_size)


class CodebookFrozen(LibraryVQVAE):
    def forward(self, x):
        quantized, codes, loss = self.quantizer(self.encoder(x), freeze_codebook=True)
        return self.decoder(quantized), codes, loss


class AlwaysTraining(LibraryVQVAE):
    def forward(self, x):
        self.train()
        return super().forward(x)


MISTAKES = (
    # this one shows in the training alone, which takes longest: it is looked at first
    Mistake(CodebookFrozen, "the codebook is as it was before the training: something holds it fast", "mutation"),
    Mistake(
        DecoderFedWithLatents,
        "the decoder gets the encoder's output and can go around the codebook: with one single code for everything, "
        "its images still differ",
        "common",
    ),
    Mistake(WithoutSigmoid, "pixels leave [0, 1]: what should the decoder's last step be?", "common"),
    Mistake(
        SoftmaxAtTheEnd,
        "softmax makes the pixels of an image add up to 1: each pixel by itself is to lie between 0 and 1",
        "mutation",
    ),
    Mistake(
        ImagesMixed,
        "numbers of different images are mixed: the encoder gives one row for each image, so the batch axis is the "
        "first one of what each row is cut into",
        "zoo 4",
    ),
    Mistake(
        AxesSwapped,
        "the latents were cut into (B, D, L); the layer takes (B, L, D), the vectors' axis last, and lets the other "
        "order pass only where L = D",
        "common",
    ),
    Mistake(
        OneCodeForEachImage,
        "the whole image became one vector with one code: cut the encoder's row into latents_per_image vectors first",
        "common",
    ),
    Mistake(CodesFlat, "codes have one row for each image, (B, L); these are flat", "common"),
    Mistake(LossForgotten, "two results came: the layer's loss is missing", "common"),
    Mistake(LossZero, "the loss does not come from the layer: nobody holds the encoder to its codes", "common"),
    Mistake(LossWithoutGradient, "no gradient comes from the loss: its graph was cut, or its weight is 0", "common"),
    Mistake(
        LossWithTheError,
        "the loss holds more than the layer's: the reconstruction error is added by the training step, not by the "
        "model",
        "common",
    ),
    Mistake(InputReturned, "this is x, not a reconstruction: which variable does the return line name?", "common"),
    Mistake(
        EncoderDetached,
        "no gradient reaches the encoder, from the error or from the loss: its output was detached on the way to the "
        "layer",
        "zoo 25",
    ),
    Mistake(
        CodesLookedUpAgain,
        "the loss reaches the encoder, the error does not: vectors looked up by their codes have no gradient to pass "
        "on; the layer's own output has",
        "zoo 25",
    ),
    Mistake(
        NewLayerEachTime, "the model keeps no codebook: a layer made in forward starts anew with each batch", "common"
    ),
    Mistake(LossBeforeCodes, "codes and loss have changed places: reconstruction, codes, loss is the order", "common"),
    Mistake(
        CodesFirst, "codes and reconstruction have changed places: reconstruction, codes, loss is the order", "common"
    ),
    Mistake(QuantizedReturned, "these are the quantised vectors: they have not been through the decoder yet", "common"),
    Mistake(SizesOfMnist, "784 is written into a layer: take input_dim, and other images will do", "common"),
    Mistake(
        AlwaysTraining,
        "the codebook moves in eval mode too: the model is put into training mode inside forward",
        "zoo 22",
    ),
)


# ----------------------------------------------------------------------------------------------------------------------
# Inputs over reconstructions, after a short training


def picture(axes, answer) -> None:
    """Trains on the embedded sample for some seconds; above, eight of its test digits, below, what came back."""
    images, _, tests, _ = data._mnist_sample()
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


EXERCISES = [
    Exercise(
        name="LibraryVQVAE",
        points=4,
        lesson="07_mnist_library",
        reference=LibraryVQVAE,
        draw=draw,
        view=properties,
        picture=picture,
        mistakes=MISTAKES,
        hints=(
            "Write down the shape after each of the five stations: images, encoder, cut into vectors, layer, decoder. "
            "Where does the number of axes change, and where does it change back?",
            "Encoder and decoder are plain stacks of Linear layers on (B, numbers). Between them, the encoder's row of"
            " L * D numbers is cut into L vectors of D for the layer, and what the layer gives is joined to a row "
            "again. The layer returns three things: one goes on to the decoder, two are handed out as they are.",
            "encoder: input_dim -> 300 -> 300 -> L * D; cut: .reshape(B, L, D); the layer's three results; join the "
            "first: .flatten(1); decoder: L * D -> 300 -> 300 -> input_dim, then a sigmoid",
        ),
    )
]
