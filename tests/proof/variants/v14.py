"""Right answers to exercise 14 in other styles: its checks must accept each of them."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def two_assignments(kernel_size, kind):
    mask, centre = torch.zeros(kernel_size, kernel_size), kernel_size // 2
    mask[:centre, :] = 1
    mask[centre, : centre + int(kind == "B")] = 1
    return mask


def ones_taken_away(kernel_size, kind):
    mask = torch.ones((kernel_size, kernel_size))
    mask[kernel_size // 2, kernel_size // 2 + (1 if kind == "B" else 0) :] = 0
    mask[kernel_size // 2 + 1 :] = 0
    return mask


def place_by_place(kernel_size, kind):
    centre = (kernel_size // 2, kernel_size // 2)
    mask = torch.zeros(kernel_size, kernel_size)
    for row in range(kernel_size):
        for column in range(kernel_size):
            if (row, column) < centre or (kind == "B" and (row, column) == centre):
                mask[row, column] = 1.0
    return mask


def by_comparison(kernel_size, kind):
    row = torch.arange(kernel_size)[:, None] - kernel_size // 2
    column = torch.arange(kernel_size)[None, :] - kernel_size // 2
    number = row * kernel_size + column  # 0 at the centre, below 0 before it
    return (number <= 0).float() if kind == "B" else (number < 0).float()


def ones_and_zeros_joined(kernel_size, kind):
    before = (kernel_size * kernel_size - 1) // 2 + {"A": 0, "B": 1}[kind]
    return torch.cat([torch.ones(before), torch.zeros(kernel_size**2 - before)]).view(kernel_size, kernel_size)


def row_of_the_attention_mask(kernel_size, kind):
    """The mask of the centre, among those of all places of the kernel."""
    places = kernel_size**2
    return torch.ones(places, places).tril(-1 if kind == "A" else 0)[places // 2].reshape(kernel_size, -1)


def with_numpy_indices(kernel_size, kind):
    row, column = np.indices((kernel_size, kernel_size))
    c = kernel_size // 2
    mask = (row < c) | ((row == c) & (column < c))
    if kind == "B":
        mask[c, c] = True
    return torch.from_numpy(mask.astype(np.float32))


# ----------------------------------------------------------------------------------------------------------------------


def cross_entropy(logits, codes):
    return F.cross_entropy(logits, codes) / math.log(2)


def flattened(logits, codes):
    rows = logits.movedim(1, -1).flatten(0, -2)  # (N, K)
    return F.cross_entropy(rows, codes.flatten(), reduction="none").mean() * math.log2(math.e)


def picked_by_one_hot(logits, codes):
    chosen = F.one_hot(codes, logits.shape[1]).movedim(-1, 1).to(logits.dtype)  # (B, K, *S)
    return -(chosen * logits.log_softmax(dim=1)).sum() / codes.numel() / math.log(2)


def by_logsumexp(logits, codes):
    score = logits.gather(1, codes[:, None])[:, 0]
    return (torch.logsumexp(logits, dim=1) - score).mean() / torch.tensor(2.0, device=logits.device).log()


def categorical(logits, codes):
    prior = torch.distributions.Categorical(logits=torch.movedim(logits, 1, -1))
    return -prior.log_prob(codes).mean() / np.log(2)


def to_base_2_from_the_start(logits, codes):
    scores = logits / math.log(2)  # so that 2 ** scores is e ** logits
    scores = scores - scores.amax(1, keepdim=True).detach()
    bits = ((2**scores).sum(1, keepdim=True).log2() - scores).transpose(0, 1).flatten(1)  # (K, N)
    return bits[codes.flatten(), torch.arange(codes.numel(), device=bits.device)].mean()


def image_after_image(logits, codes):
    total = 0
    for scores, image in zip(logits, codes):
        log_p = F.log_softmax(scores, dim=0).reshape(len(scores), -1)
        for place, code in enumerate(image.reshape(-1).tolist()):
            total = total - log_p[code, place]
    return total / codes.numel() / math.log(2)


# ----------------------------------------------------------------------------------------------------------------------


def gumbel_noise(logits, temperature, generator):
    if temperature == 0:
        return torch.argmax(logits, dim=1)
    u = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=logits.dtype)
    return torch.argmax(logits / temperature - torch.log(-torch.log(u.clamp(min=1e-30))), dim=1)


def noise_that_is_scaled(logits, temperature, generator):
    """The temperature on the noise in place of the logits: at 0 nothing is left of it, and no case is needed."""
    noise = -torch.empty_like(logits).exponential_(generator=generator).log()
    return (logits + temperature * noise).argmax(1)


def race_of_exponentials(logits, temperature, generator):
    rates = (logits / max(temperature, 1e-6)).softmax(1)
    times = torch.empty_like(rates).exponential_(generator=generator) / rates
    return times.min(dim=1).indices


def thresholds(logits, temperature, generator):
    B, K, *S = logits.shape
    if not temperature:
        return logits.max(1)[1]
    rows = torch.softmax(logits.movedim(1, -1) / temperature, dim=-1).cumsum(-1)  # (B, *S, K)
    u = torch.rand((B, *S, 1), generator=generator, dtype=logits.dtype, device=logits.device)
    return (u > rows).sum(-1).clamp(max=K - 1)


def searched_in_sums(logits, temperature, generator):
    if temperature == 0:
        return logits.argmax(1)
    rows = logits.movedim(1, -1).flatten(0, -2) / temperature  # (N, K)
    rows = (rows - rows.amax(1, keepdim=True)).exp()  # at most 1
    sums = rows.cumsum(1)
    numbers = sums[:, -1:] * torch.rand(len(rows), 1, generator=generator, dtype=rows.dtype, device=rows.device)
    codes = torch.searchsorted(sums, numbers, right=True).clamp(max=rows.shape[1] - 1)
    return codes.reshape(len(logits), *logits.shape[2:])


def one_place_after_another(logits, temperature, generator):
    flat = logits.reshape(logits.shape[0], logits.shape[1], -1)  # (B, K, number of places)
    places = []
    for scores in flat.unbind(dim=2):
        if temperature == 0:
            places.append(scores.argmax(dim=1))
        else:
            weights = F.softmax(scores / temperature, dim=1)
            places.append(torch.multinomial(weights, num_samples=1, generator=generator).squeeze(1))
    return torch.stack(places, dim=1).reshape(logits.shape[0], *logits.shape[2:])


def probabilities_to_a_power(logits, temperature, generator):
    if temperature < 1e-8:
        return logits.argmax(1)
    weights = logits.double().softmax(1) ** (1 / temperature)
    last = weights.permute(0, *range(2, weights.ndim), 1)
    codes = last.reshape(-1, last.shape[-1]).multinomial(1, generator=generator)
    return codes.view(last.shape[:-1])


def numbers_drawn_by_numpy(logits, temperature, generator):
    rng = np.random.default_rng(torch.randint(2**31, (1,), generator=generator).item())
    scores = logits.detach().cpu().double().numpy()
    noise = rng.gumbel(size=scores.shape) if temperature > 0 else 0.0
    return torch.from_numpy((scores / (temperature or 1) + noise).argmax(axis=1)).to(logits.device)


VARIANTS = {
    "causal_mask": [
        two_assignments,
        ones_taken_away,
        place_by_place,
        by_comparison,
        ones_and_zeros_joined,
        row_of_the_attention_mask,
        with_numpy_indices,
    ],
    "bits_per_code": [
        cross_entropy,
        flattened,
        picked_by_one_hot,
        by_logsumexp,
        categorical,
        to_base_2_from_the_start,
        image_after_image,
    ],
    "sample_codes": [
        gumbel_noise,
        noise_that_is_scaled,
        race_of_exponentials,
        thresholds,
        searched_in_sums,
        one_place_after_another,
        probabilities_to_a_power,
        numbers_drawn_by_numpy,
    ],
}
