import pytest
import torch
import torch.nn.functional as F
from vector_quantize_pytorch import VectorQuantize

from course_lib.models import MLPVQVAE, ConvVQVAE, ResidualBlock, ResNetVQVAE
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
    assert reconstruction.shape == (4, 20) and reconstruction.min() >= 0 and reconstruction.max() <= 1
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
    [
        ((2, 8, 8), r"\(2, 8, 8\)"),
        ((1, 3, 8, 8), r"wanted \(B, 2, H, W\)"),
        ((1, 2, 9, 8), "divisible by 4"),
        ((1, 8, 8, 2), r"\(B, 2"),
    ],
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


# ----------------------------------------------------------------------------------------------------------------------
# The same for sound, images and video

SIZES = {1: (64,), 2: (16, 32), 3: (4, 16, 32)}
STRIDES = {1: (8, 2), 2: (4, 2), 3: ((1, 4, 4), (2, 2, 4))}
CODES = {1: (4,), 2: (2, 4), 3: (2, 2, 2)}  # by hand: each size over the product of its strides
LIBRARY = {1: {"channel_last": False}, 2: {"accept_image_fmap": True}, 3: {"accept_3d_fmap": True}}


def conv_model(axes, kind="ema"):
    torch.manual_seed(0)
    quantizer = {
        "gradient": lambda: VectorQuantizer(6, 7),
        "ema": lambda: VectorQuantizerEMA(6, 7),
        "library": lambda: VectorQuantize(dim=6, codebook_size=7, **LIBRARY[axes]),
    }[kind]()
    return ConvVQVAE(quantizer, axes, in_channels=2, hidden_channels=8, strides=STRIDES[axes], residual_channels=4)


@pytest.fixture(params=[(axes, kind) for axes in (1, 2, 3) for kind in ("gradient", "ema", "library")], ids=str)
def conv(request):
    return conv_model(*request.param)


def signal(model):
    return torch.rand(3, 2, *SIZES[model.axes]) - 0.5


def test_conv_shapes(conv):
    x = signal(conv)
    reconstruction, codes, loss = conv(x)
    assert reconstruction.shape == x.shape and loss.shape == ()
    assert codes.shape == (3, *CODES[conv.axes]) and codes.dtype == torch.int64


def test_conv_encode_then_decode_is_forward_and_updates_nothing(conv):
    x = signal(conv)
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    codes = conv.train().encode(x)
    assert not codes.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in conv.state_dict().items())
    reconstruction, chosen, _ = conv.eval()(x)
    assert torch.equal(codes, chosen)
    torch.testing.assert_close(conv.decode(codes), reconstruction)


def test_the_conv_encoder_hears_the_reconstruction_through_the_quantiser(conv):
    x = signal(conv)
    F.mse_loss(conv(x)[0], x).backward()
    assert all(p.grad is not None and p.grad.any() for p in [*conv.encoder.parameters(), *conv.decoder.parameters()])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_layers_are_of_the_kind_that_the_axes_ask_for(axes):
    model = conv_model(axes)
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    found = [type(m) for m in model.encoder.modules() if isinstance(m, kinds)]
    assert set(found) == {kinds[axes - 1]} and len(found) == 2 + 1 + 2 * 2 + 1
    assert isinstance(model.decoder[-1], (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d))


def test_conv_sound_by_functional_calls():
    """The whole model, written out with the functions of torch and the published geometry: kernel 2s, padding s / 2."""
    model = conv_model(1).eval()
    x = signal(model)
    w = [p.detach() for p in model.encoder.parameters()]

    def block(x, wide, narrow):
        return x + F.conv1d(F.conv1d(x.relu(), wide, padding=1).relu(), narrow)

    y = F.conv1d(x, w[0], w[1], stride=8, padding=4).relu()
    y = F.conv1d(y, w[2], w[3], stride=2, padding=1).relu()
    y = F.conv1d(y, w[4], w[5], padding=1)
    y = F.conv1d(block(block(y, w[6], w[7]), w[8], w[9]).relu(), w[10], w[11])
    assert w[0].shape == (4, 2, 16) and w[2].shape == (8, 4, 4) and y.shape == (3, 6, 4)
    torch.testing.assert_close(model.encoder(x), y)
    codes = torch.cdist(y.movedim(1, -1), model.quantizer.codebook).argmin(-1)
    assert torch.equal(model.encode(x), codes)
    w = [p.detach() for p in model.decoder.parameters()]
    y = F.conv1d(model.quantizer.codebook[codes].movedim(-1, 1), w[0], w[1], padding=1)
    y = block(block(y, w[2], w[3]), w[4], w[5]).relu()
    y = F.conv_transpose1d(y, w[6], w[7], stride=2, padding=1).relu()
    y = F.conv_transpose1d(y, w[8], w[9], stride=8, padding=4)
    torch.testing.assert_close(model.decode(codes), y)


@pytest.mark.parametrize("stride", [2, 4, 6, 16])
def test_a_stride_divides_the_length_exactly(stride):
    model = ConvVQVAE(VectorQuantizerEMA(6, 7), 1, hidden_channels=8, strides=(stride,))
    reconstruction, codes, _ = model(torch.rand(2, 1, 5 * stride))
    assert codes.shape == (2, 5) and reconstruction.shape == (2, 1, 5 * stride)


def test_a_stride_of_1_leaves_its_axis():
    model = ConvVQVAE(VectorQuantizerEMA(6, 7), 3, hidden_channels=8, strides=((1, 2, 4),))
    reconstruction, codes, _ = model(torch.rand(2, 1, 5, 6, 8))
    assert codes.shape == (2, 5, 3, 2) and reconstruction.shape == (2, 1, 5, 6, 8)


def test_two_axes_and_strides_of_2_are_the_resnet():
    torch.manual_seed(0)
    resnet = ResNetVQVAE(VectorQuantizerEMA(6, 7), hidden_channels=8)
    conv = ConvVQVAE(VectorQuantizerEMA(6, 7), 2, in_channels=3, hidden_channels=8, strides=(2, 2))
    conv.load_state_dict(resnet.state_dict())  # strict: the same names and shapes
    x = torch.rand(2, 3, 8, 12) - 0.5
    for mine, theirs in zip(conv.eval()(x), resnet.eval()(x)):
        torch.testing.assert_close(mine, theirs)


def test_the_resnet_keeps_the_names_of_its_weights():
    """Checkpoints hold them: of the layers, and of the codebook."""
    names = {
        name for name, _ in ResNetVQVAE(VectorQuantizer(6, 7), hidden_channels=8, residual_layers=1).named_parameters()
    }
    wanted = {f"{part}.{layer}.{kind}" for part, layers in (("encoder", (0, 2, 4, 6)), ("decoder", (0, 2, 4)))
              for layer in layers for kind in ("weight", "bias")}  # fmt: skip
    wanted |= {f"{part}.0.branch.{i}.weight" for part in ("encoder.5", "decoder.1") for i in (1, 3)}
    assert names == wanted | {"quantizer.codebook"}


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_residual_blocks_of_any_axes(axes):
    torch.manual_seed(0)
    block, x = ResidualBlock(5, 3, axes), torch.randn(2, 5, *(4, 6, 7)[:axes])
    wide, narrow = (p.detach() for p in block.parameters())
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    torch.testing.assert_close(block(x), x + convolve(convolve(x.clamp(min=0), wide, padding=1).clamp(min=0), narrow))


@pytest.mark.parametrize(
    "axes, shape, words",
    [
        (1, (3, 64), r"\(3, 64\); wanted \(B, 2, T\) with T divisible by 16"),
        (1, (3, 2, 65), r"\(3, 2, 65\).*T divisible by 16"),
        (1, (3, 64, 2), r"wanted \(B, 2, T\)"),
        (2, (3, 2, 16, 12), "H divisible by 8, W divisible by 8"),
        (3, (3, 2, 3, 16, 32), r"wanted \(B, 2, T, H, W\) with T divisible by 2, H divisible by 8, W divisible by 16"),
    ],
)
def test_conv_refuses_wrong_signals(axes, shape, words):
    model = conv_model(axes)
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=words):
            call(torch.rand(shape))


def test_conv_refuses_wrong_codes():
    with pytest.raises(ValueError, match=r"\(4, 6, 2\); wanted \(B, T/16\)"):
        conv_model(1).decode(torch.zeros(4, 6, 2, dtype=torch.int64))
    model = ConvVQVAE(VectorQuantizerEMA(6, 7), 3, hidden_channels=8, strides=((1, 4, 4),))
    with pytest.raises(ValueError, match=r"wanted \(B, T, H/4, W/4\)"):
        model.decode(torch.zeros(4, 6, dtype=torch.int64))


@pytest.mark.parametrize(
    "quantizer, axes, words",
    [
        (lambda: VectorQuantizerEMA(6, 7, channel_last=True), 1, r"\(B, D, T\).*channel_last=False$"),
        (lambda: VectorQuantize(dim=6, codebook_size=7), 1, "channel_last=False$"),
        (lambda: VectorQuantize(dim=6, codebook_size=7, accept_image_fmap=True), 1, "channel_last=False$"),
        (lambda: VectorQuantize(dim=6, codebook_size=7), 2, "accept_image_fmap=True"),
        (lambda: VectorQuantize(dim=6, codebook_size=7, accept_image_fmap=True), 3, "accept_3d_fmap=True"),
    ],
)
def test_conv_refuses_quantisers_of_another_shape(quantizer, axes, words):
    with pytest.raises(ValueError, match=words):
        ConvVQVAE(quantizer(), axes)


@pytest.mark.parametrize("strides", [(), (3,), (2, 1.5), (0,), (-2,), ((2, 2),), "4"])
def test_conv_refuses_strides_that_divide_nothing(strides):
    with pytest.raises(ValueError, match="wanted at least one"):
        ConvVQVAE(VectorQuantizerEMA(6, 7), 1, strides=strides)


@pytest.mark.parametrize("axes", [0, 4])
def test_conv_refuses_other_numbers_of_axes(axes):
    with pytest.raises(ValueError, match=f"axes is {axes}; wanted 1, 2 or 3"):
        ConvVQVAE(VectorQuantizerEMA(6, 7), axes)
