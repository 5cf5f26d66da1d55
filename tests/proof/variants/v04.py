"""Right answers to exercise 04 in other styles: its check must accept each of them."""

import torch


def zero_that_carries_the_gradient(latents, quantized):
    return quantized.detach() + (latents - latents.detach())


def way_back_subtracted(latents, quantized):
    return latents - (latents - quantized).detach()


def step_without_gradients(latents, quantized):
    with torch.no_grad():
        step = quantized - latents
    return latents + step


def each_term_detached(latents, quantized):
    return torch.add(latents, quantized.data - latents.data)


def interpolated_to_the_end(latents, quantized):
    step = torch.lerp(latents.detach(), quantized.detach(), 1.0) - latents.detach()
    return latents + step


def one_number_at_a_time(latents, quantized):
    pairs = zip(latents.reshape(-1), quantized.reshape(-1))
    return torch.stack([x + (q.item() - x.item()) for x, q in pairs]).reshape(latents.shape)


def value_written_into_a_copy(latents, quantized):
    copy = latents.clone()
    copy.data.copy_(quantized)
    return copy


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, latents, quantized):
        return quantized.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def own_function(latents, quantized):
    return _StraightThrough.apply(latents, quantized)


class _GivenBack(torch.autograd.Function):
    @staticmethod
    def forward(latents, quantized):
        return quantized

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient, torch.zeros_like(gradient)


def own_function_of_the_new_kind(latents, quantized):
    return _GivenBack.apply(latents, quantized)


def sum_with_one_constant(latents, quantized):
    return (quantized - latents).detach() + latents


def reach_squared(latents, quantized, reach):
    near = (quantized - latents).detach().square().sum(1, keepdim=True) <= reach**2  # (B, 1, *S)
    return quantized.detach() + near * (latents - latents.detach())


def far_ones_filled_in(latents, quantized, reach):
    far = torch.linalg.vector_norm((latents - quantized).detach(), dim=1, keepdim=True) > reach  # (B, 1, *S)
    heard = latents.masked_fill(far, 0.0)
    return heard + (quantized - heard).detach()


class _Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, latents, quantized, reach):
        ctx.save_for_backward(torch.linalg.norm(quantized - latents, dim=1, keepdim=True) <= reach)
        return quantized.clone()

    @staticmethod
    def backward(ctx, gradient):
        (near,) = ctx.saved_tensors
        return gradient * near, None, None


def clipped_by_own_function(latents, quantized, reach):
    return _Clipped.apply(latents, quantized, reach)


def zero_with_a_slope(x, q):
    return q.detach() + (x - x.detach())


def way_back_taken_off(x, q):
    return x - (x - q).detach()


def moved_without_gradients(x, q):
    with torch.no_grad():
        step = q - x
    return torch.add(step, x)


def derivative_by_hand(x, codebook, star):
    q = codebook[(x[:, None] - codebook).square().sum(2).argmin(1)]  # (N, D)
    return x + 0.2 * (star - q)


def backward_and_grad(x, codebook, star):
    x = x.clone().requires_grad_()
    q = codebook[torch.cdist(x.detach(), codebook).argmin(1)]  # (N, D)
    (x + (q - x).detach() - star).square().sum().backward()
    with torch.no_grad():
        return x - 0.1 * x.grad


def by_an_optimiser(x, codebook, star):
    latents = torch.nn.Parameter(x.clone())
    optimizer = torch.optim.SGD([latents], lr=0.1)
    q = codebook[torch.cdist(latents.detach(), codebook).argmin(1)]  # (N, D)
    (q.detach() + (latents - latents.detach()) - star).pow(2).sum().backward()
    optimizer.step()
    return latents.detach()


VARIANTS = {
    "my_vq": [zero_with_a_slope, way_back_taken_off, moved_without_gradients],
    "my_update": [derivative_by_hand, backward_and_grad, by_an_optimiser],
    "clipped_straight_through": [reach_squared, far_ones_filled_in, clipped_by_own_function],
    "straight_through": [
        sum_with_one_constant,
        zero_that_carries_the_gradient,
        way_back_subtracted,
        step_without_gradients,
        each_term_detached,
        interpolated_to_the_end,
        one_number_at_a_time,
        value_written_into_a_copy,
        own_function,
        own_function_of_the_new_kind,
    ],
}
