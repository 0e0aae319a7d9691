"""Randomness is a function of seed, purpose and sample id, and of nothing else."""

import torch

from robustbench_cv.noise import Noise


def test_a_sample_draws_the_same_alone_and_in_any_batch() -> None:
    batch, alone = Noise(3, ("a", "b", "c"), "pgd"), Noise(3, ("b",), "pgd")
    assert torch.equal(batch.uniform((2, 5))[1], alone.uniform((2, 5))[0])
    assert torch.equal(batch.normal((4,))[1], alone.normal((4,))[0])
    assert torch.equal(batch.select([2, 1]).uniform((3,))[1], alone.uniform((3,))[0])
    assert batch.rng(1).integers(1000) == alone.rng().integers(1000)


def test_seed_purpose_and_id_each_change_the_stream() -> None:
    drawn = [
        Noise(0, ("a",)),
        Noise(1, ("a",)),
        Noise(0, ("b",)),
        Noise(0, ("a",)).fork("start"),
        Noise(0, ("a",)).fork("start").fork("again"),
    ]
    assert len({n.key() for n in drawn}) == len(drawn)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    Noise(0, ("a", "b")).uniform((10,))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_uniform_is_uniform_and_normal_is_normal() -> None:
    noise = Noise(0, tuple(map(str, range(50))))
    uniform, normal = noise.uniform((400,)), noise.normal((400,))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.03
