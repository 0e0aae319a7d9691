"""transformers' detectors: decoding is its own post-processing; folders and the hub; what is missing is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

transformers = pytest.importorskip("transformers", reason="the extra 'huggingface' is not installed")

from robustbench_cv.errors import UserError  # noqa: E402
from robustbench_cv.models.build import build  # noqa: E402
from robustbench_cv.models.sources.hf_detection import ImageProcessor  # noqa: E402

DETR = "detr(num_classes=5, input_size=64, queries=12, width=32, layers=2, backbone='test_resnet', threshold=0.12)"
RT_DETR = "rt-detr(num_classes=5, input_size=64, queries=12, width=32, layers=2, stem=8, threshold=0.009)"


def photos(n: int = 2) -> Tensor:
    return torch.rand(n, 3, 50, 70, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spec", [DETR, RT_DETR])
def test_decoding_is_transformers_own_post_processing(spec: str) -> None:
    model: Any = build(spec)
    x = photos()
    with torch.no_grad():
        out = model.module(pixel_values=model.sight.images(x))
        found = model.decode(model.raw(x))
    kind = transformers.DetrImageProcessor if spec is DETR else transformers.RTDetrImageProcessor
    expected = kind().post_process_object_detection(out, threshold=model.threshold, target_sizes=[(50, 70)] * 2)
    kept = 0
    for ours, theirs in zip(found, expected, strict=True):
        order = theirs["scores"].argsort(descending=True, stable=True)
        torch.testing.assert_close(ours.scores, theirs["scores"][order])
        torch.testing.assert_close(ours.boxes, theirs["boxes"][order])
        assert torch.equal(ours.labels, theirs["labels"][order])
        kept += len(ours.scores)
    assert kept > 0


def test_images_are_prepared_as_transformers_does() -> None:
    x = torch.rand(1, 3, 120, 200, generator=torch.Generator().manual_seed(1))
    bytes_ = (torch.nn.functional.interpolate(x[:, :, :6, :10], (120, 200), mode="bilinear") * 255).round().to(torch.uint8)
    expected = transformers.DetrImageProcessor()([bytes_[0]], return_tensors="pt")["pixel_values"]
    found = ImageProcessor().images(bytes_ / 255)
    assert found.shape == expected.shape == (1, 3, 800, 1333)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)  # theirs rounds to bytes once more


def test_sizes_and_normalisation_follow_the_preprocessor_s_file() -> None:
    assert ImageProcessor.of({}, "rt_detr", 0) == ImageProcessor((640, 640), mean=None, std=None)
    assert ImageProcessor.of({"size": {"shortest_edge": 400, "longest_edge": 600}}, "detr", 0).scaled(100, 300) == (200, 600)
    assert ImageProcessor.of({"size": {"shortest_edge": 400, "longest_edge": 600}}, "detr", 200).longest == 300
    assert ImageProcessor.of({"size": 320, "max_size": 500, "do_normalize": False}, "yolos", 0) == ImageProcessor(
        None, 320, 500, None, None
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mine"
    model: Any = build(DETR.replace("num_classes=5", "classes='N/A,cat,dog'"))
    model.module.config.id2label = {0: "N/A", 1: "cat", 2: "dog"}
    model.module.save_pretrained(path)
    return path


def test_a_folder_serves_with_and_without_its_weights(folder: Path) -> None:
    """What save_pretrained() wrote; "N/A" is a number that COCO skipped, not a class."""
    saved: Any = build(f"hf:{folder}(pretrained=True, input_size=64)")
    assert saved.info.classes.names == ("cat", "dog")
    assert "random" not in saved.info.name
    original: Any = build(DETR.replace("num_classes=5", "classes='N/A,cat,dog'"))
    raw, expected = saved.raw(photos()), original.raw(photos())
    torch.testing.assert_close(raw.boxes, expected.boxes)
    torch.testing.assert_close(raw.log_score, expected.log_score)
    assert raw.log_score.shape[-1] == 2
    bare: Any = build(f"hf:{folder}(input_size=64)")
    assert bare.info.name.endswith("(random weights)")
    assert bare.info.weights_sha256 != saved.info.weights_sha256


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(UserError, match=r"the folder has no model\.safetensors"):
        build(f"hf:{tmp_path}(pretrained=True)")


def test_offline_the_error_says_what_to_get_and_where_to_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"its config\.json is not on this .*resolve/main/config\.json.*hf:FOLDER\(pretrained=True\)"):
        build("hf:someone/no-such-detector(pretrained=True)")
    with pytest.raises(UserError, match="neither a folder"):
        build("hf:/no/such/folder")


def test_without_the_library_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for spec in ("detr", "rt-detr", "hf:facebook/detr-resnet-50"):
        with pytest.raises(UserError, match=r"pip install 'robustbench-cv\[huggingface\]'"):
            build(spec)


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is a 'bert', not an object detector"):
        build(f"hf:{tmp_path}")
    with pytest.raises(UserError, match="not both"):
        build("hf:x/y(pretrained=True, checkpoint='a.pt')")
