"""Colours that objects share, so that a colour names no class."""

from __future__ import annotations

from robustbench_cv.data.scenes.noise_fields import RGB


def _rgb(code: int) -> RGB:
    return ((code >> 16 & 255) / 255, (code >> 8 & 255) / 255, (code & 255) / 255)


PAINTS: tuple[RGB, ...] = tuple(
    _rgb(c)
    for c in (
        0xD8433B, 0xE8743B, 0xF2B134, 0x6FAE52, 0x2E8B78, 0x3AA6B9, 0x2F6DB5, 0x35477D, 0x7B4FA0,
        0xC2578C, 0xF0EDE5, 0xB9BEC5, 0x4A4E57, 0x8C5A3C, 0xE39C8E, 0x9CC7DE,
    )
)  # fmt: skip
"""Paint, cloth and plastic."""

COATS: tuple[RGB, ...] = tuple(_rgb(c) for c in (0x8A5A38, 0xB98652, 0xD9B382, 0xF1E9DC, 0x3C3430, 0x6E6259, 0xA0522D, 0xC9BBA8))
"""Fur and hide."""

SKINS: tuple[RGB, ...] = tuple(_rgb(c) for c in (0xF3CDAF, 0xE3B08A, 0xC98E65, 0x9C6642, 0x6F442C))
HAIRS: tuple[RGB, ...] = tuple(_rgb(c) for c in (0x2A211C, 0x5A3A22, 0x8F5D2E, 0xC99A52, 0x9A9A9A))

GLASS: RGB = _rgb(0xBFE0EA)
DARK: RGB = _rgb(0x2B2D33)
STEEL: RGB = _rgb(0xC9CED4)
WHITE: RGB = _rgb(0xF8F6F1)
