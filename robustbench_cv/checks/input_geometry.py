"""What may have happened to the geometry of images before a model sees them: the symmetries of the square, other sizes and crops.

A segmenter's or detector's answer lies in a frame as well. Either the images alone are turned (then so is the answer, and turning the
images back mends both), or a model turns its images and turns its answer back, or the annotations are in another frame than the images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.checks.transform_families import Back, Member
from robustbench_cv.tasks import Task
from robustbench_cv.types import BoxPrediction, MaskPrediction, Prediction


@dataclass(frozen=True)
class Symmetry:
    """Of the square: transposed or not, then mirrored left to right or not, then turned upside down or not."""

    transposed: bool
    mirrored: bool
    overturned: bool

    def __call__(self, x: Tensor) -> Tensor:
        """x: (..., H, W)."""
        x = x.transpose(-1, -2) if self.transposed else x
        return x.flip([d for d, does in ((-1, self.mirrored), (-2, self.overturned)) if does])

    @property
    def code(self) -> str:
        """A line of Python that does it to `images`.

        >>> SYMMETRIES["turned by 90 degrees"].code
        'images = images.transpose(-1, -2).flip(-1)'
        """
        flipped = [str(d) for d, does in ((-1, self.mirrored), (-2, self.overturned)) if does]
        turned = ".transpose(-1, -2)" if self.transposed else ""
        return f"images = images{turned}" + (f".flip({', '.join(flipped)})" if flipped else "")

    @property
    def inverse(self) -> Symmetry:
        """What undoes it."""
        return Symmetry(True, self.overturned, self.mirrored) if self.transposed else self

    def boxes(self, b: Tensor, height: int, width: int) -> Tensor:
        """Boxes (N, 4), xyxy in an image of this height and width, in the image after it."""
        if self.transposed:
            b, height, width = b[:, [1, 0, 3, 2]], width, height
        b = b.new_tensor([width, 0, width, 0]) + b[:, [2, 1, 0, 3]] * b.new_tensor([-1, 1, -1, 1]) if self.mirrored else b
        return b.new_tensor([0, height, 0, height]) + b[:, [0, 3, 2, 1]] * b.new_tensor([1, -1, 1, -1]) if self.overturned else b

    def prediction(self, said: Prediction, height: int, width: int) -> Prediction:
        """A prediction for an image of this height and width, in the frame of the image after it."""
        if isinstance(said, MaskPrediction):
            return MaskPrediction(self(said.labels))
        if isinstance(said, BoxPrediction):
            return replace(said, boxes=self.boxes(said.boxes, height, width), masks=None)
        return said


SYMMETRIES = {
    "mirrored left to right": Symmetry(False, True, False),
    "upside down": Symmetry(False, False, True),
    "turned by 180 degrees": Symmetry(False, True, True),
    "transposed (height and width swapped)": Symmetry(True, False, False),
    "turned by 90 degrees": Symmetry(True, True, False),
    "turned by 270 degrees": Symmetry(True, False, True),
    "transposed along the other diagonal": Symmetry(True, True, True),
}
"""All but the identity, by name."""


def symmetries(task: Task) -> list[Member]:
    """Images turned, mirrored or transposed; with their predictions, or without."""
    return [member for name, symmetry in SYMMETRIES.items() for member in _turned(name, symmetry, task)]


def _turned(name: str, turn: Symmetry, task: Task) -> list[Member]:
    undo, remedy = turn.inverse, "undo that before the network, or read the axes as (3, height, width)"
    alone = Member(f"images {name}", undo, f"images reach the network {name}: {remedy}", same_scale=True, code=undo.code)
    if task == "classification":
        return [alone]

    def back(said: Prediction, height: int, width: int) -> Prediction:
        return turn.prediction(said, *((width, height) if turn.transposed else (height, width)))

    inside = f"images {name} inside the model, and its answer turned back"
    members = [Member(inside, undo, f"the network sees images {name}: {remedy}", back=back)]
    annotated = f"annotations lie in another frame: they fit images {name}"
    told = "read images and annotations in one frame (EXIF orientation, an augmentation of the image alone?), or turn the model's answer"
    if not turn.transposed:
        return [alone, *members, Member(annotated, as_it_is, told, back=turn.prediction)]
    return [alone._replace(change=lambda x: _square_only(x, undo)), *members, Member(annotated, as_it_is, told, back=_if_square(turn))]


def as_it_is(x: Tensor) -> Tensor:
    """No change of the image: the prediction alone is turned."""
    return x


def _square_only(x: Tensor, turn: Symmetry) -> Tensor:
    """Other images would get answers in a frame that their annotations do not have."""
    return turn(x) if x.shape[-1] == x.shape[-2] else x


def _if_square(turn: Symmetry) -> Back:
    return lambda said, height, width: turn.prediction(said, height, width) if height == width else said


_LEAST = 0.05
"""What another size must gain: sound networks often do a little better at a larger one (project choice)."""


def sizes() -> list[Member]:
    """Images of another size, or cropped or padded otherwise, than the model was trained on."""
    return [*(_resized(r) for r in (0.5, 0.75, 1.33, 2.0)), *(_zoomed(z) for z in (0.6, 0.75, 1.33, 1.67))]


def _resized(ratio: float) -> Member:
    def back(said: Prediction, height: int, width: int) -> Prediction:
        if isinstance(said, MaskPrediction):
            return MaskPrediction(_nearest(said.labels, height, width))
        if isinstance(said, BoxPrediction):
            new_height, new_width = resized_sides(height, width, ratio)
            return replace(said, boxes=said.boxes * said.boxes.new_tensor([width / new_width, height / new_height] * 2), masks=None)
        return said

    name = f"images {1 / ratio:.3g} times as large as in training"
    remedy = f"resize images to about {ratio:.3g} times their sides before the network: use the input size that it was trained on"
    return Member(name, lambda x: resize(x, ratio), remedy, back=back, least=_LEAST, resized=ratio)


def _zoomed(ratio: float) -> Member:
    def back(said: Prediction, height: int, width: int) -> Prediction:
        if isinstance(said, MaskPrediction):
            return MaskPrediction(zoom(said.labels[None, None].float(), 1 / ratio, smooth=False)[0, 0].long())
        if isinstance(said, BoxPrediction):
            centre = said.boxes.new_tensor([width, height] * 2) / 2
            return replace(said, boxes=(said.boxes - centre) / ratio + centre, masks=None)
        return said

    name = f"objects {1 / ratio:.3g} times as large as in training, in images of the same size"
    how = "pad the images, or crop less" if ratio < 1 else "crop the images, or pad less"
    return Member(
        name, lambda x: zoom(x, ratio), f"{how}: the network is better at about {ratio:.3g} times this scale", back=back, least=_LEAST
    )


def resized_sides(height: int, width: int, ratio: float) -> tuple[int, int]:
    """Height and width in pixels of an image of `ratio` times the sides."""
    return max(8, round(height * ratio)), max(8, round(width * ratio))


def resize(x: Tensor, ratio: float, *, smooth: bool = True) -> Tensor:
    """Images (N, 3, H, W) of `ratio` times the sides; smooth: bilinear, and low-passed where they shrink, else the nearest pixel."""
    sides = resized_sides(x.shape[-2], x.shape[-1], ratio)
    return F.interpolate(x, sides, mode="bilinear", align_corners=False, antialias=True) if smooth else F.interpolate(x, sides)


def zoom(x: Tensor, ratio: float, *, smooth: bool = True) -> Tensor:
    """The same canvas, its content scaled about the centre: cropped where ratio > 1, its edge repeated where ratio < 1."""
    height, width = x.shape[-2:]
    scaled = resize(x, ratio, smooth=smooth)
    down, across = height - scaled.shape[-2], width - scaled.shape[-1]
    if ratio >= 1:
        top, left = -down // 2, -across // 2
        return scaled[..., top : top + height, left : left + width]
    return F.pad(scaled, (across // 2, across - across // 2, down // 2, down - down // 2), mode="replicate")


def _nearest(labels: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(labels[None, None].float(), (height, width))[0, 0].long()
