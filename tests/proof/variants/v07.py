"""Right answers to exercise 07, each written its own way: the check must take them all."""

import torch
import torch.nn.functional as F
from torch import nn
from vector_quantize_pytorch import VectorQuantize


class AsOnTheSlides(nn.Module):
    def __init__(self, input_dim, vector_dim, num_embeddings, codebook_dim):
        super().__init__()
        self.vector_dim, self.num_embeddings = vector_dim, num_embeddings
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, 300),
            nn.LeakyReLU(),
            nn.Linear(300, 300),
            nn.LeakyReLU(),
            nn.Linear(300, vector_dim * num_embeddings),
        )
        self.vq = VectorQuantize(dim=vector_dim, codebook_size=codebook_dim, decay=0.8, commitment_weight=1.0)
        self.decoder = nn.Sequential(
            nn.Linear(vector_dim * num_embeddings, 300),
            nn.LeakyReLU(),
            nn.Linear(300, 300),
            nn.LeakyReLU(),
            nn.Linear(300, input_dim),
            nn.Sigmoid(),
        )

    def forward(self, x):
        latents = self.encoder(x).reshape(-1, self.num_embeddings, self.vector_dim)
        vq, codes, loss = self.vq(latents)
        return self.decoder(vq.reshape(-1, self.num_embeddings * self.vector_dim)), codes, loss


class RowsAndSingleLayers(nn.Module):
    """The layer gets (B * L, D); no Sequential; another width; parameters in the order of their use."""

    def __init__(self, n, d, slots, k):
        super().__init__()
        self.d, self.slots = d, slots
        self.a, self.b = nn.Linear(n, 200), nn.Linear(200, slots * d)
        self.quantise = VectorQuantize(d, k)
        self.c, self.e = nn.Linear(slots * d, 200), nn.Linear(200, n)

    def forward(self, x):
        z = self.b(F.leaky_relu(self.a(x))).view(-1, self.d)
        q, codes, loss = self.quantise(z)
        return torch.sigmoid(self.e(F.leaky_relu(self.c(q.view(len(x), -1))))), codes.view(len(x), self.slots), loss


class WithOptions(nn.Module):
    """k-means, no rotation trick, restarts; a loss of shape (1,); a list instead of a tuple; one argument more."""

    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size, width=256):
        super().__init__()
        layer = VectorQuantize(
            dim=vector_dim,
            codebook_size=codebook_size,
            kmeans_init=True,
            rotation_trick=False,
            threshold_ema_dead_code=1,
            commitment_weight=0.25,
        )
        self.latents_per_image, self.layer = latents_per_image, layer
        sizes = [input_dim, width, width, latents_per_image * vector_dim]
        self.encoder, self.decoder = self.stack(sizes), self.stack(sizes[::-1])

    @staticmethod
    def stack(sizes):
        layers = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def forward(self, x):
        quantized, codes, loss = self.layer(self.encoder(x).unflatten(1, (self.latents_per_image, -1)))
        return [self.decoder(quantized.flatten(1)).sigmoid(), codes, loss.reshape(1)]


class ChannelFirst(nn.Module):
    """(B, D, L) for a layer that was told so."""

    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__()
        self.shape = vector_dim, latents_per_image
        size = vector_dim * latents_per_image
        self.encoder = nn.Sequential(nn.Linear(input_dim, 300), nn.GELU(), nn.Linear(300, size))
        self.vq = VectorQuantize(vector_dim, codebook_size, channel_last=False)
        self.decoder = nn.Sequential(nn.Linear(size, 300), nn.GELU(), nn.Linear(300, input_dim), nn.Sigmoid())

    def forward(self, x):
        quantized, codes, loss = self.vq(x=self.encoder(x).reshape(len(x), *self.shape))
        return self.decoder(torch.flatten(quantized, 1)), codes, loss


class SlotsFirst(nn.Module):
    """(L, B, D) for the layer, its codes turned back; the layer's attribute is called codebook."""

    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__()
        self.L, self.D = latents_per_image, vector_dim
        self.encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(input_dim, 400),
            nn.BatchNorm1d(400),
            nn.LeakyReLU(),
            nn.Linear(400, self.L * self.D),
        )
        self.codebook = VectorQuantize(dim=vector_dim, codebook_size=codebook_size, decay=0.9)
        self.decoder = nn.Sequential(nn.Linear(self.L * self.D, 400), nn.LeakyReLU(), nn.Linear(400, input_dim))

    def forward(self, x):
        B = x.shape[0]
        z = self.encoder(x).view(B, self.L, self.D).permute(1, 0, 2)
        q, codes, loss = self.codebook(z)
        return 1 / (1 + torch.exp(-self.decoder(q.permute(1, 0, 2).reshape(B, -1)))), codes.T, loss.squeeze()


class LearntByGradient(AsOnTheSlides):
    """The library's layer with a codebook that is a parameter: it moves with the optimiser, not in forward."""

    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__(input_dim, vector_dim, latents_per_image, codebook_size)
        self.vq = VectorQuantize(vector_dim, codebook_size, learnable_codebook=True, ema_update=False)


class Quantiser(nn.Module):
    def __init__(self, dim, size, per_image):
        super().__init__()
        self.codebook, self.dim, self.per_image = VectorQuantize(dim=dim, codebook_size=size), dim, per_image

    def forward(self, row):
        quantized, codes, loss = self.codebook(row.reshape(-1, self.per_image, self.dim))
        return quantized.flatten(start_dim=1), codes, loss


class Wrapped(AsOnTheSlides):
    """The layer lies in a module of its own, two levels down."""

    def __init__(self, input_dim, vector_dim, latents_per_image, codebook_size):
        super().__init__(input_dim, vector_dim, latents_per_image, codebook_size)
        self.vq = Quantiser(vector_dim, codebook_size, latents_per_image)

    def forward(self, x):
        row, codes, loss = self.vq(self.encoder(x))
        return self.decoder(row), codes, loss


def batches_by_sorting(count, batch_size, generator):
    order = torch.rand(count, generator=generator).argsort()
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def batches_dealt_one_by_one(count, batch_size, generator):
    order, batches = torch.randperm(count, generator=generator).tolist(), []
    while order:
        batches.append(torch.tensor(order[:batch_size]))
        order = order[batch_size:]
    return batches


def batches_of_a_loader(count, batch_size, generator):
    sampler = torch.utils.data.RandomSampler(range(count), generator=generator)
    return [torch.tensor(rows) for rows in torch.utils.data.BatchSampler(sampler, batch_size, drop_last=False)]


def mixed_by_index(codes, rows):
    return codes[rows, torch.arange(codes.shape[1])]


def mixed_column_by_column(codes, rows):
    return torch.stack([codes[rows[:, j], j] for j in range(rows.shape[1])], dim=1)


def mixed_along_dim(train_codes, which):
    return torch.take_along_dim(train_codes, which, dim=0)


def mixed_by_loops(codes, rows):
    mixed = torch.empty_like(rows)
    for i in range(len(rows)):
        for j in range(rows.shape[1]):
            mixed[i, j] = codes[rows[i, j], j]
    return mixed


VARIANTS = {
    "my_batches": [batches_by_sorting, batches_dealt_one_by_one, batches_of_a_loader],
    "my_mixed_codes": [mixed_by_index, mixed_column_by_column, mixed_along_dim, mixed_by_loops],
    "LibraryVQVAE": [
        AsOnTheSlides,
        RowsAndSingleLayers,
        WithOptions,
        ChannelFirst,
        SlotsFirst,
        LearntByGradient,
        Wrapped,
    ],
}
