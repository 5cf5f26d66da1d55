"""Exercise 15: right mends in other styles than the reference's. Each must pass for every seed."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_lib import quantize

# ----------------------------------------------------------------------------------------------------------------------
# bug_01


def by_cdist(flat, codebook):
    distances = torch.cdist(flat, codebook)
    return distances.argmin(dim=1), distances.min(dim=1).values.square().mean()


def by_the_largest_similarity(flat, codebook):
    distances = (flat.unsqueeze(1) - codebook).pow(2).sum(-1)
    codes = torch.argmax(-distances, dim=-1)
    return codes, ((flat - codebook[codes]) ** 2).sum() / len(flat)


def row_by_row(flat, codebook):
    codes, total = [], 0.0
    for row in flat:
        distances = [((row - code) ** 2).sum().item() for code in codebook]
        codes.append(distances.index(min(distances)))
        total += min(distances)
    return torch.tensor(codes, device=flat.device), torch.tensor(
        total / len(flat), dtype=flat.dtype, device=flat.device
    )


def by_topk(flat, codebook):
    values, places = torch.cdist(flat, codebook, compute_mode="donot_use_mm_for_euclid_dist").topk(
        1, dim=1, largest=False
    )
    return places[:, 0], values[:, 0].square().mean()


def by_the_library(flat, codebook):
    codes = quantize.nearest_codes(flat, codebook)
    return codes, flat.shape[1] * F.mse_loss(flat, quantize.look_up(codes, codebook))


# ----------------------------------------------------------------------------------------------------------------------
# bug_02


def by_movedim(latents, codebook):
    last = latents.movedim(1, -1)  # (B, H, W, D)
    codes = torch.cdist(last.flatten(0, 2), codebook).argmin(1).view(last.shape[:-1])
    return codebook[codes].movedim(-1, 1), codes


def by_transposing(latents, codebook):
    batch, dim, height, width = latents.shape
    flat = latents.flatten(2).transpose(1, 2).reshape(-1, dim)
    codes = ((flat[:, None] - codebook[None]) ** 2).sum(2).argmin(1)
    return codebook[codes].view(batch, height * width, dim).mT.view(latents.shape), codes.view(batch, height, width)


def by_the_functions(latents, codebook):
    codes = quantize.nearest_codes(quantize.flatten_latents(latents), codebook)
    quantized = quantize.unflatten_latents(codebook[codes], latents.shape)
    return quantized.contiguous(), codes.view(len(latents), *latents.shape[2:])


def position_by_position(latents, codebook):
    quantized, codes = torch.empty_like(latents), torch.empty_like(latents[:, 0], dtype=torch.int64)
    for b in range(latents.shape[0]):
        for h in range(latents.shape[2]):
            for w in range(latents.shape[3]):
                k = int((latents[b, :, h, w] - codebook).square().sum(dim=1).argmin())
                quantized[b, :, h, w], codes[b, h, w] = codebook[k], k
    return quantized, codes


def by_one_hot(latents, codebook):
    distances = (latents.unsqueeze(1) - codebook[None, :, :, None, None]).square().sum(2)  # (B, K, H, W)
    codes = distances.argmin(1)
    one_hot = F.one_hot(codes, len(codebook)).to(latents.dtype)
    return torch.einsum("bhwk,kd->bdhw", one_hot, codebook), codes


# ----------------------------------------------------------------------------------------------------------------------
# bug_03


def loop_over_the_loader(latents, codebook, batch_size, epochs, generator):
    loader = DataLoader(
        TensorDataset(torch.arange(len(latents)), latents), batch_size, shuffle=True, generator=generator
    )
    counts, order = [], []
    for _ in range(epochs):
        numbers, batches = zip(*loader)
        codes = torch.cat([torch.cdist(batch, codebook).argmin(1) for batch in batches])
        counts.append(torch.bincount(codes, minlength=len(codebook)))
        order.append(torch.cat(numbers))
    return torch.stack(counts), torch.stack(order)


def one_iterator_an_epoch(latents, codebook, batch_size, epochs, generator):
    rows = TensorDataset(torch.arange(len(latents)), latents)
    loader = DataLoader(rows, batch_size, shuffle=True, generator=generator)
    counts, order = torch.zeros(epochs, len(codebook), dtype=torch.int64), []
    for epoch in range(epochs):
        came, iterator = [], iter(loader)
        for _ in range(len(loader)):
            numbers, batch = next(iterator)
            counts[epoch] += torch.bincount(torch.cdist(batch, codebook).argmin(1), minlength=len(codebook))
            came.append(numbers)
        order.append(torch.cat(came))
    return counts, torch.stack(order)


def by_permutations(latents, codebook, batch_size, epochs, generator):
    counts, order = torch.zeros(epochs, len(codebook), dtype=torch.int64), []
    for epoch in range(epochs):
        order.append(torch.randperm(len(latents), generator=generator))
        for numbers in order[-1].split(batch_size):
            codes = torch.cdist(latents[numbers], codebook).argmin(1)
            counts[epoch].index_add_(0, codes, torch.ones_like(codes))
    return counts, torch.stack(order)


def a_new_loader_each_epoch(latents, codebook, batch_size, epochs, generator):
    counts, order = [], []
    for _ in range(epochs):
        came, total = [], 0
        for (numbers,) in DataLoader(TensorDataset(torch.arange(len(latents))), batch_size, True, generator=generator):
            came += numbers.tolist()
            total = total + F.one_hot(torch.cdist(latents[numbers], codebook).argmin(1), len(codebook)).sum(0)
        counts.append(total), order.append(came)
    return torch.stack(counts), torch.tensor(order)


# ----------------------------------------------------------------------------------------------------------------------
# bug_04


def scaled_at_the_end(batches, codebook_size, decay):
    usage = torch.zeros(codebook_size, device=batches.device)
    for codes in batches:
        usage = decay * usage + torch.bincount(codes, minlength=codebook_size)
    return (1 - decay) * usage


def by_lerp(batches, codebook_size, decay):
    usage = batches.new_zeros(codebook_size, dtype=torch.float32)
    for codes in batches:
        usage.lerp_(torch.bincount(codes, minlength=codebook_size).float(), 1 - decay)
    return usage


def in_place(batches, codebook_size, decay):
    usage = torch.zeros(codebook_size, device=batches.device)
    for codes in batches:
        usage.mul_(decay).add_(F.one_hot(codes, codebook_size).sum(0), alpha=1 - decay)
    return usage


def as_one_product(batches, codebook_size, decay):
    counts = F.one_hot(batches, codebook_size).sum(1).float()  # (T, K)
    ages = torch.arange(len(batches) - 1, -1, -1, device=batches.device)
    return (1 - decay) * (torch.tensor(decay, device=batches.device) ** ages).float() @ counts


def a_step_towards(batches, codebook_size, decay):
    usage = torch.zeros(codebook_size, device=batches.device)
    for codes in batches:
        usage += (1 - decay) * (torch.bincount(codes, minlength=codebook_size) - usage)
    return usage


# ----------------------------------------------------------------------------------------------------------------------
# bug_05


def layer_of(channels, hidden):
    first = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
    return nn.Sequential(nn.ReLU(), first, nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False))


class Copies(nn.Module):
    def __init__(self, channels, hidden, layers):
        super().__init__()
        layer = layer_of(channels, hidden)
        self.layers = nn.ModuleList([copy.deepcopy(layer) for _ in range(layers)])

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return torch.relu(x)


class Block(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.wide = nn.Conv2d(channels, hidden, kernel_size=3, padding=1, bias=False)
        self.narrow = nn.Conv2d(hidden, channels, kernel_size=1, bias=False)

    def forward(self, x):
        return x + self.narrow(F.relu(self.wide(F.relu(x))))


class Blocks(nn.Sequential):
    def __init__(self, channels, hidden, layers):
        super().__init__(*(Block(channels, hidden) for _ in range(layers)), nn.ReLU())


class NamedLayers(nn.Module):
    def __init__(self, channels, hidden, layers):
        super().__init__()
        self.count = layers
        for index in range(layers):
            self.add_module(f"layer_{index}", layer_of(channels, hidden))

    def forward(self, x):
        for index in range(self.count):
            x = getattr(self, f"layer_{index}")(x) + x
        return x.clamp(min=0)


class TwoLists(nn.Module):
    def __init__(self, channels, hidden, layers):
        super().__init__()
        self.wide = nn.ModuleList(nn.Conv2d(channels, hidden, 3, padding="same", bias=False) for _ in range(layers))
        self.narrow = nn.ModuleList(nn.Conv2d(hidden, channels, 1, bias=False) for _ in range(layers))

    def forward(self, x):
        for wide, narrow in zip(self.wide, self.narrow):
            x = x + narrow(F.relu(wide(F.relu(x))))
        return F.relu(x)


# ----------------------------------------------------------------------------------------------------------------------
# bug_06


def moved_to_the_latents(latents, positions):
    batch, _, height, width = latents.shape
    masks = torch.ones(batch, height * width)
    masks = masks.to(latents.device)
    masks[torch.arange(batch), positions] = 0
    return latents * masks.reshape(batch, 1, height, width)


def ones_of_the_latents(latents, positions):
    masks = latents.new_ones(len(latents), latents.shape[2] * latents.shape[3])
    masks[torch.arange(len(latents), device=latents.device), positions] = 0
    return latents * masks.view(len(latents), 1, *latents.shape[2:])


def by_comparing(latents, positions):
    places = torch.arange(latents.shape[2] * latents.shape[3], device=latents.device)
    hidden = (places == positions[:, None]).view(len(latents), 1, *latents.shape[2:])
    return latents.masked_fill(hidden, 0.0)


def by_one_hot_masks(latents, positions):
    hidden = F.one_hot(positions, latents.shape[2] * latents.shape[3]).unflatten(1, latents.shape[2:])
    return latents * (1 - hidden).unsqueeze(1)


def image_by_image(latents, positions):
    masked = latents.clone()
    for image, position in zip(masked, positions.tolist()):
        image[:, position // latents.shape[3], position % latents.shape[3]] = 0
    return masked


def by_scatter(latents, positions):
    masks = torch.ones_like(latents[:, 0]).flatten(1).scatter(1, positions[:, None], 0.0)
    return torch.einsum("bdhw,bhw->bdhw", latents, masks.view_as(latents[:, 0]))


# ----------------------------------------------------------------------------------------------------------------------
# bug_07


def all_codes_kept(latents, codebook, batch_size):
    codes = torch.cat([torch.cdist(batch, codebook).argmin(1) for batch in latents.split(batch_size)])
    return quantize.codebook_usage(codes, len(codebook)), quantize.perplexity(codes, len(codebook))


def by_the_log(latents, codebook, batch_size):
    counts = torch.zeros(len(codebook), device=latents.device)
    for start in range(0, len(latents), batch_size):
        codes = torch.cdist(latents[start : start + batch_size], codebook).argmin(1)
        counts.index_add_(0, codes, torch.ones_like(codes, dtype=torch.float32))
    p = counts / counts.sum()
    return (counts > 0).float().mean(), torch.exp(-(p * torch.log(p + 1e-10)).sum())


def shares_weighted(latents, codebook, batch_size):
    share = torch.zeros(len(codebook), device=latents.device)
    for batch in latents.split(batch_size):
        codes = torch.cdist(batch, codebook).argmin(1)
        share += torch.bincount(codes, minlength=len(codebook)) / len(batch) * (len(batch) / len(latents))
    return (share > 0).float().mean(), torch.special.entr(share).sum().exp()


def by_unique(latents, codebook, batch_size):
    codes = torch.cat([torch.cdist(batch, codebook).argmin(1) for batch in torch.split(latents, batch_size)])
    used, counts = codes.unique(return_counts=True)
    p = counts / counts.sum()
    usage = torch.tensor(len(used) / len(codebook), device=latents.device)
    return usage, 1 / torch.prod(p**p)


# ----------------------------------------------------------------------------------------------------------------------
# bug_08


def by_counting(codebook, batches, decay):
    cluster_size, embed_sum = codebook.new_ones(len(codebook)), codebook
    for flat in batches:
        codes = (flat[:, None] - codebook).square().sum(2).argmin(1)
        counts = torch.bincount(codes, minlength=len(codebook))
        sums = torch.zeros_like(codebook).index_add_(0, codes, flat)
        cluster_size = decay * cluster_size + (1 - decay) * counts
        embed_sum = decay * embed_sum + (1 - decay) * sums
        codebook = embed_sum / cluster_size[:, None]
    return codebook


def in_place_from_copies(codebook, batches, decay):
    codebook, embed_sum = codebook.clone(), codebook.clone()
    cluster_size = torch.ones(len(codebook), device=codebook.device, dtype=codebook.dtype)
    for flat in batches:
        chosen = F.one_hot(torch.cdist(flat, codebook).argmin(1), len(codebook)).to(flat)
        cluster_size.mul_(decay).add_(chosen.sum(0), alpha=1 - decay)
        embed_sum.mul_(decay).add_(chosen.T @ flat, alpha=1 - decay)
        codebook.copy_(embed_sum / cluster_size.clamp(min=1e-5)[:, None])
    return codebook


def by_the_update_function(codebook, batches, decay):
    state = torch.ones(len(codebook), dtype=codebook.dtype, device=codebook.device), codebook
    for flat in batches:
        *state, codebook = quantize.ema_update(*state, flat, quantize.nearest_codes(flat, codebook), decay, eps=1e-10)
    return codebook


def code_by_code(codebook, batches, decay):
    counts, sums, codebook = [1.0] * len(codebook), list(codebook), codebook.clone()
    for flat in batches:
        codes = torch.cdist(flat, codebook).argmin(1)
        for k in range(len(codebook)):
            mine = flat[codes == k]
            counts[k] = decay * counts[k] + (1 - decay) * len(mine)
            sums[k] = decay * sums[k] + (1 - decay) * mine.sum(0)
            codebook[k] = sums[k] / counts[k]
    return codebook


# ----------------------------------------------------------------------------------------------------------------------
# bug_09


class Layer(nn.Module):
    def __init__(self, dim, codebook_size, decay):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed_sum", self.codebook.clone())

    def forward(self, latents):
        codes = torch.cdist(latents, self.codebook).argmin(dim=1)
        vq = latents + (self.codebook[codes] - latents).detach()
        self.learn(latents, codes)
        return vq, codes, self.codebook.clone(), self.cluster_size.clone(), self.embed_sum.clone()


class LeftEarly(Layer):
    @torch.no_grad()
    def learn(self, latents, codes):
        if not self.training:
            return
        chosen = F.one_hot(codes, len(self.codebook)).to(latents.dtype)
        self.cluster_size = self.decay * self.cluster_size + (1 - self.decay) * chosen.sum(0)
        self.embed_sum = self.decay * self.embed_sum + (1 - self.decay) * chosen.T @ latents
        self.codebook = self.embed_sum / self.cluster_size.unsqueeze(1)


class Weighted(Layer):
    def learn(self, latents, codes):
        decay = self.decay if self.training else 1.0  # all of the old stays
        chosen = F.one_hot(codes, len(self.codebook)).to(latents.dtype)
        self.cluster_size.mul_(decay).add_(chosen.sum(0), alpha=1 - decay)
        self.embed_sum.mul_(decay).add_(chosen.T @ latents.detach(), alpha=1 - decay)
        self.codebook.copy_(self.embed_sum / self.cluster_size.clamp_min(1e-5)[:, None])


class ByScatter(Layer):
    def learn(self, latents, codes):
        if self.training is True:
            with torch.no_grad():
                self.cluster_size *= self.decay
                self.embed_sum *= self.decay
                self.cluster_size += (1 - self.decay) * torch.bincount(codes, minlength=len(self.codebook))
                self.embed_sum.index_add_(0, codes, latents, alpha=1 - self.decay)
                self.codebook[:] = self.embed_sum / self.cluster_size[:, None]


class BySwitch(Layer):
    """A layer that keeps its own switch, set by train() and eval()."""

    def train(self, mode=True):
        self.moving = mode
        return super().train(mode)

    def learn(self, latents, codes):
        if self.moving:
            state = quantize.ema_update(self.cluster_size, self.embed_sum, latents.detach(), codes, self.decay, 1e-10)
            self.cluster_size, self.embed_sum, self.codebook = state


# ----------------------------------------------------------------------------------------------------------------------
# bug_10


def by_assigning(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = quantize.kmeans_init(first, len(cluster_size), iterations=2, generator=generator)
    cluster_size, embed_sum = counts, counts[:, None] * codebook
    codes = torch.cdist(flat, codebook).argmin(dim=1)
    chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)
    cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)
    embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat
    return cluster_size, embed_sum, embed_sum / cluster_size[:, None]


def copied_into_the_state(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = quantize.kmeans_init(first, len(cluster_size), 2, generator)
    cluster_size, embed_sum = cluster_size.clone(), embed_sum.clone()
    cluster_size.copy_(counts)
    embed_sum.copy_(torch.einsum("kd,k->kd", codebook, counts))
    codes = quantize.nearest_codes(flat, codebook)
    cluster_size.mul_(decay).add_(torch.bincount(codes, minlength=len(counts)), alpha=1 - decay)
    embed_sum.mul_(decay).index_add_(0, codes, flat, alpha=1 - decay)
    return cluster_size, embed_sum, embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)


def with_the_update_function(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, counts = quantize.kmeans_init(first, len(cluster_size), iterations=2, generator=generator)
    codes = torch.cdist(flat, codebook).argmin(dim=1)
    return quantize.ema_update(counts, counts.diag() @ codebook, flat, codes, decay, eps=1e-10)


# ----------------------------------------------------------------------------------------------------------------------
# bug_11


def divided_in_one_line(cluster_size, embed_sum, codebook, batches, decay, eps):
    for flat in batches:
        chosen = F.one_hot(torch.cdist(flat, codebook).argmin(1), len(codebook)).to(flat.dtype)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(0)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat
        n, k = cluster_size.sum(), len(cluster_size)
        codebook = embed_sum * (n + k * eps) / n / (cluster_size + eps)[:, None]
    return cluster_size, embed_sum, codebook


def with_ema_update(cluster_size, embed_sum, codebook, batches, decay, eps):
    for flat in batches:
        codes = quantize.nearest_codes(flat, codebook)
        cluster_size, embed_sum, codebook = quantize.ema_update(cluster_size, embed_sum, flat, codes, decay, eps)
    return cluster_size, embed_sum, codebook


def counts_kept_aside(cluster_size, embed_sum, codebook, batches, decay, eps):
    counts = cluster_size
    for flat in batches:
        codes = (flat[:, None] - codebook).square().sum(2).argmin(1)
        counts = decay * counts + (1 - decay) * torch.bincount(codes, minlength=len(codebook))
        sums = torch.zeros_like(codebook).index_add_(0, codes, flat)
        embed_sum = decay * embed_sum + (1 - decay) * sums
        cluster_size = (counts + eps) / (counts + eps).sum() * counts.sum()
        codebook = embed_sum / cluster_size.unsqueeze(1)
    return counts, embed_sum, codebook


def smoothing_taken_back(cluster_size, embed_sum, codebook, batches, decay, eps):
    for flat in batches:
        chosen = F.one_hot(torch.cdist(flat, codebook).argmin(1), len(codebook)).to(flat.dtype)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(0)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat
        before = cluster_size.clone()
        total = cluster_size.sum()
        cluster_size = (cluster_size + eps) / (total + len(codebook) * eps) * total
        codebook = embed_sum / cluster_size.unsqueeze(1)
        cluster_size = before
    return cluster_size, embed_sum, codebook


# ----------------------------------------------------------------------------------------------------------------------
# bug_12


class GradientLayer(nn.Module):
    def __init__(self, dim, codebook_size):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim))


class NamedApart(GradientLayer):
    def forward(self, latents):
        codes = torch.cdist(latents, self.codebook).argmin(dim=1)
        quantized = self.codebook[codes]
        vq = latents + (quantized - latents).detach()
        return vq, codes, F.mse_loss(quantized, latents.detach()) + 0.25 * F.mse_loss(latents, vq.detach())


class LookedUpAgain(GradientLayer):
    def forward(self, latents):
        codes = torch.cdist(latents, self.codebook).argmin(dim=1)
        quantized = latents + (self.codebook[codes] - latents).detach()
        codebook_loss = F.mse_loss(self.codebook[codes], latents.detach())
        commitment_loss = F.mse_loss(latents, quantized.detach())
        return quantized, codes, codebook_loss + 0.25 * commitment_loss


class ByProduct(GradientLayer):
    def forward(self, latents):
        distances = (latents.unsqueeze(1) - self.codebook).square().sum(2)
        codes = distances.argmin(1)
        quantized = F.one_hot(codes, len(self.codebook)).to(latents.dtype) @ self.codebook
        x, q = latents.detach(), quantized.detach()
        loss = (quantized - x).square().mean() + (latents - q).square().mean() / 4
        return q + (latents - x), codes, loss


class Passed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, latents, quantized):
        return quantized.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class ByEmbedding(nn.Module):
    def __init__(self, dim, codebook_size):
        super().__init__()
        self.codebook = nn.Embedding(codebook_size, dim)

    def forward(self, latents):
        codes = quantize.nearest_codes(latents, self.codebook.weight)
        quantized = self.codebook(codes)
        loss = quantize.codebook_loss(latents, quantized) + 0.25 * quantize.commitment_loss(latents, quantized)
        return Passed.apply(latents, quantized), codes, loss


# ----------------------------------------------------------------------------------------------------------------------
# bug_13


class Encoder(nn.Module):
    def __init__(self, channels, hidden, narrow, in_place=(True, True)):
        super().__init__()
        self.enter = nn.Conv2d(channels, hidden, kernel_size=3, padding=1)
        self.branch = nn.Sequential(
            nn.ReLU(inplace=in_place[0]),
            nn.Conv2d(hidden, narrow, kernel_size=3, padding=1, bias=False),
            nn.ReLU(inplace=in_place[1]),
            nn.Conv2d(narrow, hidden, kernel_size=1, bias=False),
        )

    def forward(self, x):
        y = self.enter(x)
        return y + self.branch(y)


class NothingInPlace(Encoder):
    def __init__(self, channels, hidden, narrow):
        super().__init__(channels, hidden, narrow, in_place=(False, False))


class CopyForTheBranch(Encoder):
    def forward(self, x):
        y = self.enter(x)
        return y + self.branch(y.clone())


class CopyForTheSkip(Encoder):
    def forward(self, x):
        y = self.enter(x)
        kept = y.clone()
        return self.branch(y) + kept


class ByFunctions(nn.Module):
    def __init__(self, channels, hidden, narrow):
        super().__init__()
        self.enter = nn.Conv2d(channels, hidden, 3, 1, 1)
        self.wide = nn.Conv2d(hidden, narrow, 3, 1, 1, bias=False)
        self.back = nn.Conv2d(narrow, hidden, 1, bias=False)

    def forward(self, x):
        y = self.enter(x)
        return self.back(torch.relu(self.wide(y.clamp(min=0)))) + y


class EnteredTwice(Encoder):
    def forward(self, x):
        return self.enter(x) + self.branch(self.enter(x))


# ----------------------------------------------------------------------------------------------------------------------
# bug_14


def losses_by_name(images, reconstruction, latents, quantized, beta):
    codebook_loss = F.mse_loss(latents.detach(), quantized)
    commitment_loss = F.mse_loss(latents, quantized.detach())
    return F.mse_loss(reconstruction, images) + codebook_loss + beta * commitment_loss


def stops_swapped_only(images, reconstruction, latents, quantized, beta):
    distance = F.mse_loss(quantized, latents.detach()) + beta * F.mse_loss(quantized.detach(), latents)
    return F.mse_loss(reconstruction, images) + distance


def by_squares(images, reconstruction, latents, quantized, beta):
    loss = (images - reconstruction).pow(2).mean() + beta * ((quantized.detach() - latents) ** 2).mean()
    return loss + torch.mean((quantized - latents.detach()) ** 2)


def by_the_losses(images, reconstruction, latents, quantized, beta):
    pull = quantize.codebook_loss(latents, quantized) + beta * quantize.commitment_loss(latents, quantized)
    return torch.nn.MSELoss()(reconstruction, images) + pull


def by_a_mixture(images, reconstruction, latents, quantized, beta):
    with torch.no_grad():
        x, q = latents.clone(), quantized.clone()
    n = latents.numel()
    return F.mse_loss(reconstruction, images) + (beta * (latents - q).norm() ** 2 + (quantized - x).norm() ** 2) / n


# ----------------------------------------------------------------------------------------------------------------------
# bug_15


def code_detached_at_once(flat, codebooks):
    rest, total, codes, loss = flat, 0, [], 0
    for codebook in codebooks:
        chosen = (rest[:, None] - codebook).square().sum(2).argmin(1)
        code = codebook[chosen]
        constant = code.detach()
        loss += F.mse_loss(code, rest.detach()) + 0.25 * F.mse_loss(rest, constant)
        rest, total = rest - constant, total + constant
        codes.append(chosen)
    return total + flat - flat.detach(), torch.stack(codes, 1), loss


def from_the_sum(flat, codebooks):
    quantized, codes, loss = torch.zeros_like(flat), [], 0.0
    for codebook in codebooks:
        residual = flat - quantized.detach()
        codes.append(quantize.nearest_codes(residual, codebook))
        code = codebook[codes[-1]]
        loss = loss + quantize.codebook_loss(residual, code) + 0.25 * quantize.commitment_loss(residual, code)
        quantized = quantized + code
    return quantize.straight_through(flat, quantized), torch.stack(codes, dim=1), loss


def under_no_grad(flat, codebooks):
    residual, codes, losses = flat, [], []
    for codebook in codebooks:
        codes.append(torch.cdist(residual, codebook).argmin(dim=1))
        code = codebook[codes[-1]]
        losses.append(F.mse_loss(code, residual.detach()) + 0.25 * F.mse_loss(residual, code.detach()))
        with torch.no_grad():
            taken = codebook[codes[-1]]
        residual = residual - taken
    vq = flat - residual.detach() + (flat - flat.detach())
    return vq.detach() + flat - flat.detach(), torch.stack(codes, dim=1), torch.stack(losses).sum()


def two_residuals(flat, codebooks):
    seen, codes, loss = flat.detach(), [], 0.0
    for codebook in codebooks:
        chosen = torch.cdist(seen, codebook).argmin(dim=1)
        code = codebook[chosen]
        heard = seen + flat - flat.detach()  # the same value, with the gradient of flat
        loss = loss + F.mse_loss(code, seen) + 0.25 * F.mse_loss(heard, code.detach())
        seen = seen - code.detach()
        codes.append(chosen)
    return flat + (flat - seen - flat).detach(), torch.stack(codes, dim=1), loss


VARIANTS = {
    "bug_01": [by_cdist, by_the_largest_similarity, row_by_row, by_topk, by_the_library],
    "bug_02": [by_movedim, by_transposing, by_the_functions, position_by_position, by_one_hot],
    "bug_03": [loop_over_the_loader, one_iterator_an_epoch, by_permutations, a_new_loader_each_epoch],
    "bug_04": [scaled_at_the_end, by_lerp, in_place, as_one_product, a_step_towards],
    "bug_05": [Copies, Blocks, NamedLayers, TwoLists],
    "bug_06": [moved_to_the_latents, ones_of_the_latents, by_comparing, by_one_hot_masks, image_by_image, by_scatter],
    "bug_07": [all_codes_kept, by_the_log, shares_weighted, by_unique],
    "bug_08": [by_counting, in_place_from_copies, by_the_update_function, code_by_code],
    "bug_09": [LeftEarly, Weighted, ByScatter, BySwitch],
    "bug_10": [by_assigning, copied_into_the_state, with_the_update_function],
    "bug_11": [divided_in_one_line, with_ema_update, counts_kept_aside, smoothing_taken_back],
    "bug_12": [NamedApart, LookedUpAgain, ByProduct, ByEmbedding],
    "bug_13": [NothingInPlace, CopyForTheBranch, CopyForTheSkip, ByFunctions, EnteredTwice],
    "bug_14": [losses_by_name, stops_swapped_only, by_squares, by_the_losses, by_a_mixture],
    "bug_15": [code_detached_at_once, from_the_sum, under_no_grad, two_residuals],
}
