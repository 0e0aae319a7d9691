"""Show an object on pictures of the user's own: cut out by its mask and pasted on an image of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch.nn.functional import interpolate

from robustbench_cv.arguments import NonNegativeInt
from robustbench_cv.catalogue import intervention
from robustbench_cv.data.images import read_image
from robustbench_cv.data.source import IMAGE_SUFFIXES, existing_folder, list_files
from robustbench_cv.errors import UserError
from robustbench_cv.interventions.backgrounds import Background
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, needed_regions, select
from robustbench_cv.interventions.paste import paste
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample


@intervention(paper="arXiv:2006.09994")
def swap_background(folder: str, what: str = "auto", draw: NonNegativeInt = 0) -> Intervention:
    """Paste the objects at their own place on an image of a folder, drawn for each sample and scaled to its size.

    folder: images that show no object of the data's classes, which nothing checks. draw: the same sample gets another one for each number.
    The control is the swap to a background of the same context, as of `swap_context`. UserError where the folder holds no image.
    """
    root = existing_folder(folder, "images to paste objects on")
    files = tuple(root / file for file in list_files(root, IMAGE_SUFFIXES).files)
    if not files:
        raise UserError(f"{root} holds no image ({' '.join(sorted(IMAGE_SUFFIXES))})")
    return FolderBackground(files, what, draw)


@dataclass(frozen=True)
class FolderBackground(Intervention):
    """files: what backgrounds are drawn from; a run's records depend on their bytes."""

    files: tuple[Path, ...]
    what: str
    draw: int

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def control(self) -> str | None:
        return str(Spec("swap-context", {"to": "same", "what": self.what}))

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(experiment="swap-context", choice=choice_of(self.what), method="own pictures", natural=True)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, "swap-background")
        pasted = select(sample, self.what, stream, erase=False)
        order = stream.fork("background").rng().permutation(len(self.files))
        image = read_image(self.files[int(order[self.draw % len(order)])])
        size = tuple(sample.image.shape[-2:])
        if tuple(image.shape[-2:]) != size:
            image = interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0].clamp(0, 1)
        return paste(sample, pasted, Background.of(image.to(sample.image.dtype)), "swap-background")
