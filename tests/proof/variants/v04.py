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


VARIANTS = {
    "straight_through": [
        zero_that_carries_the_gradient,
        way_back_subtracted,
        step_without_gradients,
        each_term_detached,
        interpolated_to_the_end,
        one_number_at_a_time,
        value_written_into_a_copy,
        own_function,
        own_function_of_the_new_kind,
    ]
}
