"""What is freed stays with the process; no batch is larger than the machine's memory holds."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.runner import attack_search, memory
from tests.test_runner import run, small_suite, write_data, write_model

SCRIPT = """
import resource, sys
from robustbench_cv.runner.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        b"x" * (2**26 + len(sys.argv))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
assert keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
def test_blocks_that_are_freed_are_not_asked_for_again() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    given_back, kept = map(int, found.stdout.split())
    assert given_back > 1000
    assert kept < given_back / 10


class Exponential:
    """Keeps its output, of the input's size, for the backward pass; and nothing else."""

    def raw(self, images: Tensor, /) -> Any:
        return images.exp()


def test_what_a_forward_pass_keeps_is_counted_once() -> None:
    assert memory.kept_for_backward(Exponential(), torch.rand(3, 8, 10)) == 4 * 3 * 8 * 10  # type: ignore[arg-type]


def test_half_the_memory_holds_the_largest_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(3, 8, 10)
    for images in (1, 5, 1000):
        monkeypatch.setattr(memory, "memory_of_machine", lambda n=images: 2 * n * 2 * 4 * image.numel())
        assert memory.largest_batch(Exponential(), image) == images  # type: ignore[arg-type]
    monkeypatch.setattr(memory, "memory_of_machine", lambda: 1)
    assert memory.largest_batch(Exponential(), image) == 1  # type: ignore[arg-type]


def test_attacks_take_no_more_images_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    whole = attack_search.run_attack

    def watched(attack: Any, model: Any, images: Tensor, *more: Any) -> Any:
        taken.append(len(images))
        return whole(attack, model, images, *more)

    monkeypatch.setattr(attack_search, "run_attack", watched)
    monkeypatch.setattr(attack_search, "largest_batch", lambda model, image: 7)
    run(small_suite(write_model(tmp_path), write_data(tmp_path)), tmp_path / "out", limit=20, strength=0)
    assert taken == [7, 7, 6]


def test_the_machines_memory_is_more_than_this_process_has_taken() -> None:
    import resource

    assert memory.memory_of_machine() > 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
