import pytest
import torch
import torch.nn.functional as F
from vector_quantize_pytorch import VectorQuantize

from course_lib.models import MLPVQVAE
from course_lib.quantize import VectorQuantizer, VectorQuantizerEMA

QUANTIZERS = {
    "gradient": lambda: VectorQuantizer(3, 7, channel_last=True),
    "ema": lambda: VectorQuantizerEMA(3, 7, channel_last=True),
    "library": lambda: VectorQuantize(dim=3, codebook_size=7),
}


@pytest.fixture(params=QUANTIZERS)
def model(request):
    torch.manual_seed(0)
    return MLPVQVAE(20, 3, 5, QUANTIZERS[request.param](), hidden_dim=11)


def test_shapes_dtypes_and_range(model):
    reconstruction, codes, loss = model(torch.rand(4, 20))
    assert reconstruction.shape == (4, 20) and 0 <= reconstruction.min() and reconstruction.max() <= 1
    assert codes.shape == (4, 5) and codes.dtype == torch.int64
    assert loss.shape == ()


def test_layers_are_those_of_the_slides(model):
    # 20 -> 300 -> 300 -> L * D and back, with a hidden width of 11 here: weights and biases counted by hand
    wanted = (20 * 11 + 11) + (11 * 11 + 11) + (11 * 15 + 15)
    wanted += (15 * 11 + 11) + (11 * 11 + 11) + (11 * 20 + 20)
    counted = sum(p.numel() for part in (model.encoder, model.decoder) for p in part.parameters())
    assert counted == wanted


def test_encode_then_decode_is_forward(model):
    model.eval()
    images = torch.rand(4, 20)
    reconstruction, codes, _ = model(images)
    assert torch.equal(model.encode(images), codes)
    torch.testing.assert_close(model.decode(codes), reconstruction)


def test_encode_never_updates_the_codebook(model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    codes = model.encode(torch.rand(4, 20))
    assert not codes.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_encode_agrees_with_a_loop_over_codes():
    torch.manual_seed(0)
    model = MLPVQVAE(20, 3, 5, VectorQuantizer(3, 7, channel_last=True))
    torch.nn.init.normal_(model.quantizer.codebook)
    images = torch.rand(6, 20)
    latents = model.encoder(images).detach()
    codes = model.encode(images)
    for b in range(6):
        for place in range(5):
            distances = [float(((latents[b, place] - code) ** 2).sum()) for code in model.quantizer.codebook.detach()]
            assert distances[int(codes[b, place])] == pytest.approx(min(distances))


def test_the_encoder_hears_the_reconstruction_through_the_quantiser(model):
    images = torch.rand(4, 20)
    F.mse_loss(model(images)[0], images).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.encoder.parameters())


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: MLPVQVAE(20, 3, 5, VectorQuantizer(3, 7)), "channel_last=True"),
        (lambda: MLPVQVAE(20, 4, 5, VectorQuantizer(3, 7, channel_last=True)), "vector_dim is 4.*dimension 3"),
    ],
)
def test_an_unfit_quantiser_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_wrong_shapes_are_refused(model):
    with pytest.raises(ValueError, match=r"\(4, 28, 28\).*flatten"):
        model(torch.rand(4, 28, 28))
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(B, 5\)"):
        model.decode(torch.zeros(4, 6, dtype=torch.int64))
