"""The segmenters' own networks: published sizes, the crops of FCN, unpooling against a loop, one dense pass against every window."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet
from torchvision.models.vgg import make_layers

from robustbench_cv.catalogue import RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.segmenters import deeplabv3plus, pspnet, vgg
from robustbench_cv.models.segmenters.fcn import FCN, OFFSETS, bilinear
from robustbench_cv.models.segmenters.segnet import SegNet
from robustbench_cv.models.segmenters.sliding_window_segmenter import PatchClassifier, SlidingWindow, mirror_border
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.types import Labels


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def macs(spec: str, height: int, width: int) -> float:
    """Billions of multiply-additions of convolutions."""
    model: Any = build(spec, device="meta")
    with FlopCounterMode(display=False) as counter:
        model.module.net(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops() / 2e9


# --- sizes -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        ("pspnet(depth=101, num_classes=21)", 65_708_501),
        ("fcn32s(num_classes=21)", 136_152_917),
        ("unet(num_classes=21)", 31_033_045 + 5_888),  # see test_architectures: two numbers a map normalise instead of a bias
    ],
)
def test_other_published_sizes(spec: str, parameters: int) -> None:
    assert build(spec, device="meta").info.parameters == parameters


@pytest.mark.parametrize(
    ("spec", "size", "published", "tolerance"),
    [
        ("fcn32s", (500, 500), 181.37, 1e-4),
        ("fcn16s", (500, 500), 181.45, 1e-4),
        ("fcn8s", (500, 500), 181.53, 1e-4),
        ("fcn8s", (384, 384), 125.00, 1e-4),
        ("segnet", (360, 480), 106.71, 1e-4),
        ("deconvnet", (224, 224), 32.75, 2e-4),
        ("unet(num_classes=21)", (512, 512), 193.01, 1e-4),
        ("pspnet", (473, 473), 161.53, 1e-4),
        ("pspnet(depth=101, num_classes=21)", (473, 473), 229.82, 1e-4),
        ("deeplabv3plus", (513, 513), 54.17, 0.003),  # the paper's table 5; it does not say what it counts
    ],
)
def test_work_at_the_papers_size(spec: str, size: tuple[int, int], published: float, tolerance: float) -> None:
    assert macs(spec, *size) == pytest.approx(published, rel=tolerance)


def test_segnet_is_convolutions_and_normalisation() -> None:
    with torch.device("meta"):
        net = SegNet(11)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert (len(convolutions), len(norms)) == (26, 25)
    assert sum(p.numel() for m in convolutions for p in m.parameters()) == 29_433_483
    assert sum(p.numel() for m in norms for p in m.parameters()) == 15_872


# --- VGG-16 and unpooling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normed", [False, True])
def test_the_encoder_is_torchvisions_vgg16(normed: bool) -> None:
    width = 3
    layout: list[str | int] = [
        cell for stage in ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8)) for cell in (*(width * t for t in stage), "M")
    ]
    theirs = make_layers(layout, batch_norm=normed).eval()
    mine = vgg.stages(width, normed=normed).eval()
    values = list(theirs.state_dict().values())
    mine.load_state_dict(dict(zip(mine.state_dict(), values, strict=True)))
    x = seeded(2, 3, 64, 96)
    expected = theirs(x)
    for stage in mine:
        x = vgg.pool(stage(x)).values
    torch.testing.assert_close(x, expected)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 3)])
def test_unpooling_equals_the_obvious_loop(size: tuple[int, int]) -> None:
    x = seeded(2, 3, *size)
    pooled = vgg.pool(x)
    height, width = size
    expected = torch.zeros_like(x)
    values = seeded(*pooled.values.shape, seed=1)
    for n in range(2):
        for c in range(3):
            for top in range(0, height, 2):
                for left in range(0, width, 2):
                    window = [(i, j) for i in range(top, min(top + 2, height)) for j in range(left, min(left + 2, width))]
                    i, j = max(window, key=lambda at: x[n, c, at[0], at[1]].item())
                    assert pooled.values[n, c, top // 2, left // 2] == x[n, c, i, j]
                    expected[n, c, i, j] = values[n, c, top // 2, left // 2]
    assert torch.equal(vgg.unpool(values, pooled), expected)
    assert torch.equal(vgg.unpool(values, pooled), F.max_unpool2d(values, pooled.switches, 2, output_size=size))


def test_unpooling_serves_half_precision_and_channels_last() -> None:
    x = seeded(2, 8, 6, 10)
    pooled = vgg.pool(x)
    last = vgg.pool(x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(vgg.unpool(last.values, last), vgg.unpool(pooled.values, pooled))
    half = vgg.pool(x.bfloat16())
    assert vgg.unpool(half.values, half).dtype == torch.bfloat16


@pytest.mark.parametrize("spec", ["segnet(width=2)", "segnet-basic(width=2)"])
@pytest.mark.parametrize("size", [(45, 60), (33, 71), (64, 64)])
def test_segnet_unpools_in_reverse_order_to_the_sizes_it_had(spec: str, size: tuple[int, int]) -> None:
    net: Any = build(spec).module.net  # type: ignore[union-attr]
    x = y = seeded(2, 3, *size)
    memory = []
    for stage in net.down:
        before = stage(y)
        y, switches = F.max_pool2d(before, 2, ceil_mode=True, return_indices=True)
        memory.append((switches, before.shape[-2:]))
    for stage in net.up:
        switches, shape = memory.pop()
        y = stage(F.max_unpool2d(y, switches, 2, output_size=list(shape)))
    torch.testing.assert_close(net(x), net.score(y))
    assert y.shape[-2:] == size


def test_deconvnet_needs_sides_that_its_stride_divides() -> None:
    with pytest.raises(UserError, match="multiple of 32 px, not 100x64"):
        build("deconvnet(input_size='100x64', width=2, hidden=4)")
    model = build("deconvnet(input_size='96x64', width=2, hidden=4)")
    assert model.raw(seeded(1, 3, 50, 70)).values.shape == (1, 21, 50, 70)  # type: ignore[union-attr]


# --- FCN -------------------------------------------------------------------------------------------------------------------------


def place(window: int, stride: int) -> tuple[float, float]:
    """(factor, shift): image pixel = factor * index + shift, of the centre that each score at `stride` sees; walked layer by layer."""
    factor, shift = 1.0, 0.0
    padding = 16 * (window - 1) + 4

    def through(kernel: int, step: int, pad: int) -> None:
        nonlocal factor, shift
        shift += factor * ((kernel - 1) / 2 - pad)
        factor *= step

    for level, convs in enumerate((2, 2, 3, 3, 3)):
        for k in range(convs):
            through(3, 1, padding if level == k == 0 else 1)
        through(2, 2, 0)
        if factor == stride and stride < 32:
            return factor, shift
    through(window, 1, 0)
    return factor, shift


def up(at: tuple[float, float], factor: int) -> tuple[float, float]:
    """The same, after a transposed convolution of kernel 2 x factor: index o of the output lies over (o - (2 factor - 1) / 2) / factor."""
    return at[0] / factor, at[1] - at[0] / factor * (2 * factor - 1) / 2


@pytest.mark.parametrize("window", [3, 5, 7])
def test_crops_follow_from_the_fields_of_view(window: int) -> None:
    net = FCN(2, 8, 1, 1, window)
    assert (net.padding if window == 7 else 100) == 100
    coarse = place(window, 32)
    for stride, pool, crop in ((16, 16, window - 2), (8, 8, 2 * window - 5)):
        assert OFFSETS[2 * stride] == -up(coarse, 2 * stride)[1]  # where output index 0 is, in image pixels
        risen, fine = up(coarse, 2), place(window, pool)
        assert risen[0] == fine[0] == stride
        assert (risen[1] - fine[1]) / stride == crop
        coarse = risen
    assert OFFSETS[8] == -up(coarse, 8)[1]


def test_the_papers_window_gives_the_releases_crops() -> None:
    """voc-fcn8s: 5 and 9 at the sums, 31 at the end; 27 and 19 in voc-fcn16s and voc-fcn32s."""
    assert (7 - 2, 2 * 7 - 5, OFFSETS) == (5, 9, {32: 19, 16: 27, 8: 31})


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("window", [3, 4, 7])
def test_fcn_keeps_any_size(stride: int, window: int) -> None:
    net = FCN(2, stride, 1, 2, window).eval()
    for height, width in ((1, 1), (31, 64), (65, 40)):
        assert net(seeded(1, 3, height, width)).shape == (1, 2, height, width)


@pytest.mark.parametrize("factor", [2, 8, 16])
def test_transposed_convolutions_begin_as_bilinear_interpolation(factor: int) -> None:
    x = seeded(1, 1, 5, 6)
    mine = F.conv_transpose2d(x, bilinear(factor)[None, None], stride=factor)
    inside = factor // 2  # the kernel reaches half a stride over the border that interpolation clamps at
    theirs = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    cut = mine[..., inside : inside + 5 * factor, inside : inside + 6 * factor]
    torch.testing.assert_close(cut[..., factor:-factor, factor:-factor], theirs[..., factor:-factor, factor:-factor])


def test_upsampling_begins_without_mixing_classes() -> None:
    weight = FCN(3, 8, 1, 2, 3).up.weight
    for i in range(3):
        for j in range(3):
            assert torch.equal(weight[i, j], bilinear(8) * (i == j))


def test_an_fcn_is_blind_to_where_it_stands() -> None:
    """Moved by its whole stride, an image gives moved scores: sums and crops line up. Only padding at the far border can tell."""
    net = FCN(2, 8, 2, 4, 3).eval()
    image = torch.zeros(1, 3, 512, 40)
    image[..., 200:216, 10:30] = seeded(1, 3, 16, 20)
    still, moved = net(image), net(image.roll(32, dims=2))
    torch.testing.assert_close(moved[..., 200:350, :], still[..., 168:318, :])
    assert still[..., 168:318, :].std() > 0


def test_a_window_that_is_too_small_is_refused() -> None:
    with pytest.raises(UserError, match="at least 3"):
        build("fcn8s(width=1, hidden=1, window=2)")


# --- PSPNet and DeepLabv3+ -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_bottleneck_is_torchvisions(dilation: int) -> None:
    shortcut = nn.Sequential(nn.Conv2d(6, 16, 1, bias=False), nn.BatchNorm2d(16))
    theirs = resnet.Bottleneck(6, 4, downsample=shortcut, dilation=dilation).eval()
    mine = pspnet.Bottleneck(6, 4, 1, dilation).eval()
    mine.load_state_dict(dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True)))
    x = seeded(2, 6, 12, 10)
    torch.testing.assert_close(mine(x), theirs(x))


def test_the_pyramid_sees_the_whole_image_and_the_features_an_eighth() -> None:
    net = pspnet.PSPNet(3, 4, 14).eval()
    shapes: list[tuple[int, ...]] = []
    for part in net.pyramid:
        part.register_forward_hook(lambda module, args, out: shapes.extend([tuple(args[0].shape[-2:]), tuple(out.shape[-2:])]))
    assert net(seeded(1, 3, 73, 49)).shape == (1, 3, 73, 49)
    assert shapes == [(10, 7), (1, 1), (10, 7), (2, 2), (10, 7), (3, 3), (10, 7), (6, 6)]


def test_a_depth_that_no_residual_network_has_is_refused() -> None:
    with pytest.raises(UserError, match="not 18"):
        build("pspnet(depth=18)")


def test_xception_keeps_a_quarter_and_a_sixteenth() -> None:
    net = deeplabv3plus.Xception(4, 1).eval()
    fine, deep = net(seeded(1, 3, 65, 49))
    assert fine.shape == (1, 32, 17, 13)
    assert deep.shape == (1, 256, 5, 4)


def test_a_separable_convolution_equals_the_obvious_one() -> None:
    layer = deeplabv3plus.Separable(3, 5, dilation=2).eval()
    x = seeded(1, 3, 9, 8)
    alone, norm, across, last = layer[0], layer[1], layer[3], layer[4]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean = seeded(3, seed=3)
    depth = torch.cat([F.conv2d(x[:, c : c + 1], alone.weight[c : c + 1], padding=2, dilation=2) for c in range(3)], dim=1)  # type: ignore[index]
    expected = torch.einsum("oi,nihw->nohw", across.weight[:, :, 0, 0], F.relu(norm(depth)))  # type: ignore[index]
    torch.testing.assert_close(layer(x), F.relu(last(expected)))  # type: ignore[operator]


# --- windows ---------------------------------------------------------------------------------------------------------------------


def test_one_dense_pass_agrees_with_every_window() -> None:
    dense, windows = SlidingWindow(3, 2, 4).eval(), SlidingWindow(3, 2, 4, windows=True).eval()
    windows.load_state_dict(dense.state_dict())
    x = seeded(2, 3, 12, 9)
    scores = windows(x)
    assert scores.shape == (2, 3, 12, 9)
    assert scores.std(dim=(2, 3)).min() > 0
    torch.testing.assert_close(dense(x), scores)


def test_the_dense_pass_is_the_classifier_at_each_place() -> None:
    net = PatchClassifier(2, 3, 4).eval()
    x = seeded(1, 3, 100, 98)
    scores = net.dense(x)
    assert scores.shape == (1, 2, 6, 4)
    for i, j in ((0, 0), (5, 3), (2, 1)):
        torch.testing.assert_close(scores[..., i : i + 1, j : j + 1], net(x[..., i : i + 95, j : j + 95]))


def test_a_score_depends_on_its_window_and_on_nothing_else() -> None:
    net = PatchClassifier(1, 4, 4).eval()
    nn.init.constant_(net.score.weight, 1.0)
    reach = torch.zeros(120, 120, dtype=torch.bool)
    for seed in range(30):  # a max-pool's gradient reaches one pixel of four, so many images together show the whole field
        x = seeded(1, 3, 120, 120, seed=seed).requires_grad_()
        (gradient,) = torch.autograd.grad(net.dense(x)[0, 0, 10, 7], x)
        reach |= (gradient[0] != 0).any(dim=0)
    rows, columns = reach.any(dim=1).nonzero(), reach.any(dim=0).nonzero()
    assert net.window == 95
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 104, 7, 101)


@pytest.mark.parametrize(("length", "margin"), [(10, 3), (4, 9), (1, 2)])
def test_mirroring_goes_on_as_often_as_it_takes(length: int, margin: int) -> None:
    x = torch.arange(length)
    place, step, expected = 0, 1, []
    for _ in range(margin + 1):
        expected.append(place)
        if length > 1:
            step = -step if not 0 <= place + step < length else step
            place += step
    found = mirror_border(x, margin, 0)
    assert found[: margin + 1].flip(0).tolist() == expected
    assert found.tolist() == [length - 1 - v for v in found.flip(0).tolist()]


# --- recipes ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fcn8s", "deconvnet", "segnet", "pspnet", "deeplabv3plus"])
def test_a_recipe_trains_the_network_that_its_arguments_build(name: str) -> None:
    recipe: Recipe = RECIPES.build(f"scenes-{name}")
    pool: Any = SimpleNamespace(labels=Labels.numbered(7))
    network = recipe.network(pool)
    arguments = ", ".join(f"{k}={v}" for k, v in recipe.arguments.items())
    built: Any = build(f"{recipe.architecture}(num_classes=7, input_size={recipe.size[0]}, {arguments})")
    shapes = {key: tensor.shape for key, tensor in built.module.net.state_dict().items()}
    assert {key: tensor.shape for key, tensor in network.state_dict().items()} == shapes
    assert 2 * built.info.parameters < 700_000
    with torch.no_grad():
        network.eval()
        assert network(seeded(2, 3, *recipe.size)).shape == (2, 7, *recipe.size)
