import pytest
import torch
import torch.nn.functional as F
from vector_quantize_pytorch import VectorQuantize

from course_lib.models import MLPVQVAE, ResidualBlock, ResNetVQVAE
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


# ----------------------------------------------------------------------------------------------------------------------
# The ResNet VQ-VAE

IMAGE_QUANTIZERS = {
    "gradient": lambda: VectorQuantizer(6, 7),
    "ema": lambda: VectorQuantizerEMA(6, 7),
    "library": lambda: VectorQuantize(dim=6, codebook_size=7, accept_image_fmap=True),
}


@pytest.fixture(params=IMAGE_QUANTIZERS)
def resnet(request):
    torch.manual_seed(0)
    return ResNetVQVAE(IMAGE_QUANTIZERS[request.param](), in_channels=2, hidden_channels=8, residual_channels=4)


def test_residual_block_by_functional_calls():
    torch.manual_seed(0)
    block, x = ResidualBlock(5, 3), torch.randn(2, 5, 6, 7)
    wide, narrow = (p.detach() for p in block.parameters())
    assert wide.shape == (3, 5, 3, 3) and narrow.shape == (5, 3, 1, 1)
    branch = F.conv2d(F.conv2d(x.clamp(min=0), wide, padding=1).clamp(min=0), narrow)
    kept = x.clone()
    torch.testing.assert_close(block(x), x + branch)
    assert torch.equal(x, kept)  # no in-place ReLU


def test_the_skip_path_carries_what_is_negative():
    block = ResidualBlock(4, 2)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.full((1, 4, 3, 3), -2.0)
    assert torch.equal(block(x), x)


def test_resnet_has_the_parameters_of_the_published_model():
    model = ResNetVQVAE(VectorQuantizer(64, 512))
    block = 128 * 32 * 9 + 32 * 128
    encoder = (3 * 64 * 16 + 64) + (64 * 128 * 16 + 128) + (128 * 128 * 9 + 128) + 2 * block + (128 * 64 + 64)
    decoder = (64 * 128 * 9 + 128) + 2 * block + (128 * 64 * 16 + 64) + (64 * 3 * 16 + 3)
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.decoder.parameters()) == decoder
    assert len({id(m) for m in model.modules() if isinstance(m, ResidualBlock)}) == 4  # four, not one used four times


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (4, 4)])
def test_resnet_shapes(resnet, size):
    x = torch.rand(3, 2, *size) - 0.5
    reconstruction, codes, loss = resnet(x)
    assert reconstruction.shape == x.shape and loss.shape == ()
    assert codes.shape == (3, size[0] // 4, size[1] // 4) and codes.dtype == torch.int64


def test_resnet_encode_then_decode_is_forward(resnet):
    resnet.eval()
    x = torch.rand(3, 2, 8, 12) - 0.5
    reconstruction, codes, _ = resnet(x)
    assert torch.equal(resnet.encode(x), codes)
    torch.testing.assert_close(resnet.decode(codes), reconstruction)


def test_resnet_encode_never_updates_the_codebook(resnet):
    before = {name: value.clone() for name, value in resnet.state_dict().items()}
    codes = resnet.train().encode(torch.rand(3, 2, 8, 8) - 0.5)
    assert not codes.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in resnet.state_dict().items())


def test_resnet_keeps_places_apart():
    """A change in one corner of the image reaches the codes of the other corner neither way round."""
    torch.manual_seed(0)
    model = ResNetVQVAE(VectorQuantizer(6, 40), in_channels=1, hidden_channels=8, residual_layers=1)
    torch.nn.init.normal_(model.quantizer.codebook, std=0.3)
    x = torch.rand(1, 1, 64, 32) - 0.5
    changed = x.clone()
    changed[:, :, :4] += 20
    different = (model.encode(x) != model.encode(changed))[0].any(dim=1)
    assert different[0] and not different[8:].any()


def test_the_resnet_encoder_hears_the_reconstruction_through_the_quantiser(resnet):
    x = torch.rand(3, 2, 8, 8) - 0.5
    F.mse_loss(resnet(x)[0], x).backward()
    assert all(p.grad is not None and p.grad.any() for p in resnet.encoder.parameters())


def test_resnet_under_autocast_quantises_in_float32():
    torch.manual_seed(0)
    model = ResNetVQVAE(VectorQuantizerEMA(6, 7, kmeans_init=True), hidden_channels=8)
    x = torch.rand(3, 3, 8, 8) - 0.5
    with torch.autocast("cpu", torch.bfloat16):
        reconstruction, _, loss = model(x)
    assert loss.dtype == torch.float32 and model.quantizer.codebook.dtype == torch.float32
    F.mse_loss(reconstruction.float(), x).add(loss).backward()


@pytest.mark.parametrize(
    "shape, words",
    [((2, 8, 8), r"\(2, 8, 8\)"), ((1, 3, 8, 8), r"wanted \(B, 2, H, W\)"), ((1, 2, 9, 8), "divisible by 4"), ((1, 8, 8, 2), r"\(B, 2")],
)
def test_resnet_refuses_wrong_images(resnet, shape, words):
    with pytest.raises(ValueError, match=words):
        resnet(torch.rand(shape))


def test_resnet_refuses_wrong_codes_and_quantisers(resnet):
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(B, H/4, W/4\)"):
        resnet.decode(torch.zeros(4, 6, dtype=torch.int64))
    with pytest.raises(ValueError, match="channel_last=False"):
        ResNetVQVAE(VectorQuantizer(6, 7, channel_last=True))
    with pytest.raises(ValueError, match="accept_image_fmap"):
        ResNetVQVAE(VectorQuantize(dim=6, codebook_size=7))
