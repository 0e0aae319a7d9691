"""The classifiers by name: worked shapes and sizes, parts against plain loops and against torchvision's, small versions, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.catalogue import MODELS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.classifiers import googlenet, inception_bn, network_in_network, plain
from robustbench_cv.models.classifiers.alexnet_original import AlexNet
from robustbench_cv.models.classifiers.building_blocks import brightness, output_size
from robustbench_cv.models.classifiers.googlenet import Branches, GoogLeNet, Inception, Scores
from robustbench_cv.models.classifiers.overfeat import OverFeat
from robustbench_cv.models.classifiers.shufflenet import MAPS, ShuffleNet, Unit, shuffle
from robustbench_cv.models.classifiers.vgg import LAYERS_11, Vgg
from robustbench_cv.models.classifiers.zfnet import ZFNet
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.training import scenes_classifiers
from robustbench_cv.training.scenes_classifiers import PLANS

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shapes(features: nn.Sequential, size: int) -> list[tuple[int, ...]]:
    """(maps, side) after each convolution and pool."""
    x, found = torch.zeros(1, 3, size, size), []
    for layer in features:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            found.append((x.shape[1], x.shape[2]))
    return found


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic drawn anew, so that no two that could be swapped are equal; in eval mode."""
    rng = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            wide = tensor.ndim > 1
            tensor.copy_(
                torch.randn(tensor.shape, generator=rng) / (tensor[0].numel() ** 0.5)
                if wide
                else torch.rand(tensor.shape, generator=rng) + 0.1
            )
    return module.eval()


# --- worked shapes and sizes -----------------------------------------------------------------------------------------------------


def test_alexnet_s_first_layer_is_the_worked_example() -> None:
    """227 px, 96 windows of 11x11 with stride 4: 55x55x96 numbers from (11*11*3 + 1) * 96 = 34,944 parameters."""
    net = AlexNet(5, units=2)
    assert parameters(net.features[0]) == 34_944
    assert shapes(net.features, 227) == [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)]


def test_zfnet_has_the_worked_sides() -> None:
    net = ZFNet(5, width=6)
    assert [side for _, side in shapes(net.features, 224)] == [110, 55, 26, 13, 13, 13, 13, 6]


def test_overfeat_has_the_papers_sides() -> None:
    net = OverFeat(5, width=6)
    assert [side for _, side in shapes(net.features, 231)] == [56, 28, 24, 12, 12, 12, 12, 6]


def test_network_in_network_ends_in_a_map_a_class() -> None:
    large, small = network_in_network.for_imagenet(7, 6), network_in_network.for_cifar(4, 12)
    assert [shapes(large.features, 224)[i] for i in (0, 3, 7, 11, 14)] == [(6, 54), (6, 27), (16, 13), (24, 6), (7, 6)]
    assert sorted({side for _, side in shapes(small.features, 32)}) == [8, 16, 32]
    net = network_in_network.for_cifar(4, 12).eval()
    x = seeded(2, 3, 32, 32)
    torch.testing.assert_close(net(x), F.adaptive_avg_pool2d(net.features(x), 1).flatten(1))


def test_a_side_that_vanishes_is_refused() -> None:
    assert output_size([nn.Conv2d(3, 3, 5), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)], (32, 20)) == (14, 8)
    with pytest.raises(UserError, match="10x12 px are too few"):
        output_size([nn.Conv2d(3, 3, 11, 4), nn.MaxPool2d(3, 2)], (12, 10))
    with pytest.raises(UserError, match="larger input_size"):
        build("zfnet(input_size=20, width=12)")


@pytest.mark.parametrize(("groups", "count"), [(1, 1_531_936), (2, 1_733_848), (3, 1_865_728), (4, 1_968_344), (8, 2_434_768)])
def test_shufflenet_has_the_same_cost_in_any_number_of_groups(groups: int, count: int) -> None:
    with torch.device("meta"):
        assert parameters(ShuffleNet(1000, groups)) == count


def test_inception_bn_agrees_with_the_published_variant() -> None:
    """The converted Caffe network: 128 maps after the pools of 4c and 4d, and a bias in each convolution: 11,295,240 parameters."""
    wider = [m._replace(pool=128) if i in (5, 6) else m for i, m in enumerate(inception_bn.MODULES)]
    with torch.device("meta"):
        net = inception_bn.InceptionBN(1000, 64, wider)
    biases = sum(m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d))
    assert parameters(net) + biases == 11_295_240
    maps, inside = [], 192
    for module in inception_bn.MODULES:
        inside = module.out(inside)
        maps.append(inside)
    assert maps == [256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024]


def test_inception_s_bottlenecks_save_most_of_the_products() -> None:
    """28x28x256 in, 128 + 192 + 96 + 256 out: 854 million products without 1x1 convolutions before the large ones; about a third with."""
    plainly = 28 * 28 * (128 * 256 + 192 * 9 * 256 + 96 * 25 * 256)
    assert round(plainly / 1e6) == 854
    module = Inception(256, Branches(128, 64, 192, 64, 96, 64))
    products = sum(m.weight.numel() * 28 * 28 for m in module.modules() if isinstance(m, nn.Conv2d))
    assert products == 28 * 28 * (128 * 256 + 64 * 256 + 192 * 9 * 64 + 64 * 256 + 96 * 25 * 64 + 64 * 256)
    assert products < plainly / 3


# --- parts -----------------------------------------------------------------------------------------------------------------------


def test_response_normalisation_is_the_papers_formula() -> None:
    """b_i = a_i / (2 + 1e-4 * sum of a_j^2, j from i - 2 to i + 2)^0.75."""
    x = seeded(1, 7, 2, 2) * 300
    expected = torch.empty_like(x)
    for i in range(7):
        near = x[:, max(0, i - 2) : i + 3].square().sum(dim=1)
        expected[:, i] = x[:, i] / (2 + 1e-4 * near) ** 0.75
    torch.testing.assert_close(brightness()(x), expected)


def test_a_grouped_convolution_is_as_many_small_ones_and_costs_a_gth() -> None:
    """AlexNet's two towers: the first half of the maps never sees the second half of its inputs."""
    grouped, whole = AlexNet(5, (64, 64), 12, 2, 8).features[4], nn.Conv2d(12, 32, 5, padding=2)
    assert isinstance(grouped, nn.Conv2d)
    assert whole.weight.numel() == 2 * grouped.weight.numel()
    x = seeded(2, 12, 6, 6)
    towers = [F.conv2d(x[:, 6 * g : 6 * g + 6], grouped.weight[16 * g : 16 * g + 16], padding=2) for g in range(2)]
    torch.testing.assert_close(grouped(x), torch.cat(towers, dim=1) + grouped.bias[:, None, None])


@pytest.mark.parametrize("groups", [2, 3, 4, 8])
def test_units_have_a_gth_of_the_pointwise_weights(groups: int) -> None:
    maps = MAPS[groups]
    unit, whole = Unit(maps, maps, groups, groups), Unit(maps, maps, 1, 1)
    for part in ("reduce", "expand"):
        assert parameters(getattr(whole, part)[0]) == groups * parameters(getattr(unit, part)[0])


def test_the_shuffle_deals_the_groups_like_cards() -> None:
    x = seeded(2, 12, 3, 2)
    found = shuffle(x, 3)
    for group in range(3):
        for place in range(4):
            assert torch.equal(found[:, place * 3 + group], x[:, group * 4 + place])
    assert torch.equal(shuffle(found, 4), x)


def test_a_unit_is_its_figure() -> None:
    """Figure 2, (b) with a sum and (c) with a mean beside, written out."""
    for stride, inside in ((1, 24), (2, 8)):
        unit = drawn(Unit(inside, 24, 2, 2, stride=stride))
        assert isinstance(unit, Unit)
        x = seeded(2, inside, 6, 6)
        y = F.relu(unit.reduce[1](F.conv2d(x, unit.reduce[0].weight, groups=2)))
        dealt = torch.empty_like(y)
        for i in range(6):
            dealt[:, i] = y[:, (i % 2) * 3 + i // 2]
        y = unit.depthwise[1](F.conv2d(dealt, unit.depthwise[0].weight, stride=stride, padding=1, groups=6))
        y = unit.expand[1](F.conv2d(y, unit.expand[0].weight, groups=2))
        expected = F.relu(x + y) if stride == 1 else F.relu(torch.cat([F.avg_pool2d(x, 3, 2, 1), y], dim=1))
        torch.testing.assert_close(unit(x), expected)


def test_an_mlpconv_is_a_perceptron_at_every_pixel() -> None:
    layers = nn.Sequential(*network_in_network.mlpconv(3, (4, 5, 2), 3, pad=1))
    x = seeded(1, 3, 4, 4)
    weights = [layer.weight.flatten(1) for layer in layers if isinstance(layer, nn.Conv2d)]
    biases = [layer.bias for layer in layers if isinstance(layer, nn.Conv2d)]
    window = F.pad(x, (1, 1, 1, 1))
    for row in range(4):
        for column in range(4):
            a = window[0, :, row : row + 3, column : column + 3].flatten()
            for weight, bias in zip(weights, biases, strict=True):
                a = (weight @ a + bias).clamp(min=0)
            torch.testing.assert_close(layers(x)[0, :, row, column], a)


def test_an_inception_module_is_four_branches_side_by_side() -> None:
    maps = Branches(4, 3, 5, 2, 6, 7)
    module = Inception(8, maps)
    drawn(module)
    x = seeded(2, 8, 5, 7)
    w = dict(module.named_parameters())

    def conv(x: Tensor, name: str, pad: int = 0) -> Tensor:
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=pad))

    parts = [
        conv(x, "one.0"),
        conv(conv(x, "three.0"), "three.2", 1),
        conv(conv(x, "five.0"), "five.2", 2),
        conv(F.max_pool2d(x, 3, 1, 1), "pool.1"),
    ]
    torch.testing.assert_close(module(x), torch.cat(parts, dim=1))
    assert module(x).shape[1] == maps.out == 22


# --- GoogLeNet's auxiliary heads -------------------------------------------------------------------------------------------------


def test_auxiliary_heads_speak_in_training_and_are_silent_after() -> None:
    net = GoogLeNet(5, width=8, auxiliary=1)
    asked = []
    for head in (net.early, net.late):
        assert head is not None
        head.register_forward_hook(lambda *_: asked.append(1))
    x = seeded(2, 3, 64, 64)
    output = net.train()(x)
    assert isinstance(output, Scores)
    assert [part.shape for part in output] == [(2, 5)] * 3
    assert len(asked) == 2
    sum(part.sum() for part in output).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert isinstance(net.eval()(x), Tensor)
    assert len(asked) == 2


def test_without_auxiliary_heads_training_gives_plain_scores() -> None:
    assert GoogLeNet(5, width=8).train()(seeded(2, 3, 64, 64)).shape == (2, 5)


def test_auxiliary_heads_have_the_papers_size() -> None:
    """Section 5: on 14x14 maps a 5x5 mean with stride 3, 128 maps, 1024 units, 1000 classes."""
    with torch.device("meta"):
        net = GoogLeNet(1000, auxiliary=1)
        assert net.early is not None
        assert net.late is not None
        assert parameters(net.early) == 512 * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000
        assert parameters(net) - parameters(net.early) - parameters(net.late) == 6_998_552
        first = net.fourth[0](torch.empty(1, 480, 14, 14))
        assert first.shape == (1, 512, 14, 14)
    head = googlenet.Auxiliary(6, 3, 1 / 64).eval()
    x = seeded(2, 6, 14, 14)
    expected = head.classify(
        head.reduce(
            torch.stack([x[:, :, 3 * i : 3 * i + 5, 3 * j : 3 * j + 5].mean((2, 3)) for i in range(4) for j in range(4)], -1).view(
                2, 6, 4, 4
            )
        ).flatten(1)
    )
    torch.testing.assert_close(head(x), expected)


def test_the_loss_counts_each_auxiliary_head_three_tenths() -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Scores:
            return Scores(*(seeded(4, 3, seed=seed) for seed in range(3)))

    truths = torch.tensor([0, 2, -1, 1])
    parts = [F.cross_entropy(seeded(4, 3, seed=s)[[0, 1, 3]], truths[[0, 1, 3]], label_smoothing=0.05) for s in range(3)]
    found = scenes_classifiers.classification(Fixed(), seeded(4, 3, 8, 8), truths)
    torch.testing.assert_close(found, parts[0] + 0.3 * parts[1] + 0.3 * parts[2])


# --- against torchvision ---------------------------------------------------------------------------------------------------------


def test_vgg_s_features_are_torchvisions() -> None:
    from torchvision.models.vgg import make_layers

    theirs = drawn(make_layers([6, "M", 12, "M", 24, 24, "M", 48, 48, "M", 48, 48, "M"], batch_norm=True))
    ours = Vgg(5, LAYERS_11, (32, 32), 6, 8).eval()
    for mine, other in zip(ours.features, theirs, strict=True):
        assert type(mine) is type(other)
        if isinstance(other, nn.Conv2d):
            nn.init.zeros_(other.bias)  # normalisation follows, so ours has none
        mine.load_state_dict({k: v for k, v in other.state_dict().items() if k in mine.state_dict()})
    x = seeded(2, 3, 32, 32)
    torch.testing.assert_close(ours.features(x), theirs(x))


def test_a_plain_network_is_a_residual_one_without_its_shortcuts() -> None:
    from torchvision.models.resnet import BasicBlock, ResNet

    theirs: Any = drawn(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5))
    ours = plain.for_imagenet(5, (1, 1, 1, 1)).eval()
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    sources = [m for name, m in theirs.named_modules() if isinstance(m, kinds) and "downsample" not in name]
    for mine, other in zip((m for m in ours.modules() if isinstance(m, kinds)), sources, strict=True):
        mine.load_state_dict(other.state_dict())
    x = seeded(2, 3, 64, 64)
    y = theirs.maxpool(F.relu(theirs.bn1(theirs.conv1(x))))
    for block in (*theirs.layer1, *theirs.layer2, *theirs.layer3, *theirs.layer4):
        y = F.relu(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(y))))))
    torch.testing.assert_close(ours(x), theirs.fc(theirs.avgpool(y).flatten(1)))
    gone = sum(p.numel() for name, p in theirs.named_parameters() if "downsample" in name)
    assert parameters(theirs) - parameters(ours) == gone > 0


def test_the_plain_cifar_network_is_the_residual_one_without_its_shortcuts() -> None:
    from robustbench_cv.models.classifiers.cifar_resnet import CifarResNet

    residual = CifarResNet(3, 10)
    drawn(residual)
    ours = plain.for_cifar(10, 3).eval()
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    pairs = zip((m for m in ours.modules() if isinstance(m, kinds)), (m for m in residual.modules() if isinstance(m, kinds)), strict=True)
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())
    x = seeded(1, 3, 32, 32)
    y: Any = F.relu(residual.bn1(residual.conv1(x)))
    for block in (*residual.layer1, *residual.layer2, *residual.layer3):
        y = F.relu(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(y))))))
    torch.testing.assert_close(ours(x), residual.linear(y.mean((2, 3))))


# --- networks of other libraries, under our names --------------------------------------------------------------------------------


def test_a_checkpoint_of_the_library_is_the_librarys_network(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    theirs = drawn(squeezenet1_1(num_classes=4))
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    model: Any = build(f"squeezenet1-1(checkpoint={str(tmp_path / 'mine.pth')!r}, classes='a,b,c,d', input_size=64)")
    assert model.info.name == "squeezenet1-1"
    assert model.info.classes.names == ("a", "b", "c", "d")
    x = seeded(2, 3, 73, 73)
    torch.testing.assert_close(model.raw(x).values, theirs(model.module.prepare(x)))


def test_a_name_without_weights_says_so() -> None:
    assert build("mobilenet-v1", device="meta").info.name == "mobilenet-v1 (random weights)"
    assert build("shufflenet_v2", device="meta").info.name == "shufflenet-v2 (random weights)"


@pytest.mark.parametrize("spec", ["resnet50.DEFAULT", "resnet50.IMAGENET1K_V1", "seresnet50.DEFAULT", "inception-v4(weights='tf_in1k')"])
def test_published_weights_that_are_not_here_say_what_to_put_where(spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be downloaded \(no network\). Where there is a network, get https://"):
        build(spec)


def test_unknown_weights_name_those_there_are() -> None:
    with pytest.raises(UserError, match="has no weights 'scenes'; it has IMAGENET1K_V1"):
        build("vgg16.scenes")
    with pytest.raises(UserError, match="not with those weights"):
        build("senet154(weights='moon')")


# --- the small versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_recipes_network_is_what_its_weights_file_builds(name: str, tmp_path: Path) -> None:
    recipe = RECIPES.build(name)
    plan = PLANS[name]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = plan.network(3, recipe.size, plan.arguments).eval()
    path = tmp_path / "mine.safetensors"
    write(
        path,
        network,
        Description(architecture=recipe.architecture, classes=("a", "b", "c"), input_size=recipe.size, arguments=recipe.arguments),
        bits=32,
    )
    assert path.stat().st_size / 2 < 800_000
    model = MODELS.build(f"{recipe.architecture}(checkpoint={str(path)!r})")
    x = seeded(2, 3, *recipe.size)
    torch.testing.assert_close(model.raw(x).values, network(x))
    assert RECIPES.entry(name).facts["model"] == f"{recipe.architecture}.scenes"


def test_sizes_and_groups_that_do_not_fit_are_named() -> None:
    with pytest.raises(UserError, match="multiples of 8, not 60x64"):
        build("vit-mini(input_size='60x64')")
    with pytest.raises(UserError, match=r"groups \[1, 2, 3, 4, 8\]"):
        build("shufflenet-v1(groups=5)")
    with pytest.raises(UserError, match=r"multiples of 4 \* groups; not 3 and 100"):
        build("shufflenet-v1(width=100)")


def test_the_pools_of_inception_bn_keep_up_with_convolutions_at_odd_sizes() -> None:
    """At 112 px a map of 7x7 is halved: the convolutions give 4x4. Even sizes are pooled as ever."""
    module = inception_bn.Inception(4, inception_bn.Branches(0, 2, 3, 2, 3, 0, False)).eval()
    assert [module(torch.rand(1, 4, side, side)).shape for side in (7, 8)] == [(1, 10, 4, 4)] * 2
    x = torch.rand(1, 2, 8, 6)
    assert torch.equal(inception_bn.HalvingPool(3, 2, ceil_mode=True)(x), F.max_pool2d(x, 3, 2, ceil_mode=True))


def test_the_introductory_network_sees_brightness_alone() -> None:
    model: Any = build("shallow-cnn(num_classes=3, input_size=12)")
    network = model.module.net
    x = seeded(2, 3, 12, 12)
    bright = (0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])[:, None]
    maps = F.max_pool2d(F.conv2d(bright, network.features[0].weight, network.features[0].bias).relu(), 2)
    torch.testing.assert_close(model.raw(x).values, maps.flatten(1) @ network.output.weight.T + network.output.bias)
    grey = bright.expand(-1, 3, -1, -1)
    torch.testing.assert_close(model.raw(grey).values, model.raw(x).values)
    with pytest.raises(UserError, match="too few for these layers"):
        build("shallow-cnn(input_size=5)")
