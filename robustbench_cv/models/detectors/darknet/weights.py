"""Darknet's .weights: a header, then every layer's float32 numbers in the cfg's order, with no names and nothing between.

Header, little-endian: int32 major, minor, revision; `seen`, 8 bytes where major * 10 + minor >= 2, else 4. Orders within a layer:
convolution: bias (or beta), then gamma, mean, variance where normalised, then the kernel; connected: bias (or beta), the matrix
(out, in), *then* gamma, mean, variance; local: bias, then each place's kernels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.files import open_regular
from robustbench_cv.models.detectors.darknet import layers
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.recorded_reads import record_read


@dataclass(frozen=True)
class Header:
    """What stands before the numbers. seen: images shown in training. The default is what version 3's files have."""

    major: int = 0
    minor: int = 2
    revision: int = 0
    seen: int = 0

    @property
    def wide(self) -> bool:
        """Whether `seen` takes 8 bytes: 20 in all (version 3's files), else 16."""
        return self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000

    @property
    def size(self) -> int:
        """Bytes."""
        return 20 if self.wide else 16

    @property
    def transposed(self) -> bool:
        """Whether matrices lie as (in, out): a mark of old files."""
        return self.major > 1000 or self.minor > 1000

    def to_bytes(self) -> bytes:
        """As in a file."""
        return struct.pack("<iiiq" if self.wide else "<iiii", self.major, self.minor, self.revision, self.seen)


class Place(NamedTuple):
    """Where a layer's numbers lie: its index in the cfg, its kind, the byte at which they begin, how many floats."""

    layer: int
    kind: str
    offset: int
    floats: int


def places(network: DarknetNetwork, header: Header) -> list[Place]:
    """Of every layer that has numbers, in order. Needs no memory: works on the meta device."""
    layer_places: list[Place] = []
    offset = header.size
    for index, (kind, module) in enumerate(zip(network.kinds, network.layers, strict=True)):
        floats = sum(tensor.numel() for tensor in _tensors(module))
        if floats:
            layer_places.append(Place(index, kind, offset, floats))
            offset += 4 * floats
    return layer_places


def size(network: DarknetNetwork, header: Header) -> int:
    """Bytes of the whole file."""
    return header.size + 4 * sum(place.floats for place in places(network, header))


def read_header(path: Path) -> Header:
    """UserError where the file is missing or too short to have one."""
    record_read(path)
    try:
        with open_regular(path) as file:
            start = file.read(20)
    except OSError as error:
        raise UserError(f"no Darknet file {path}: {error.strerror} (looked from {Path.cwd()})") from error
    if len(start) < 16:
        raise UserError(f"{path} is not a Darknet file: {len(start)} bytes, and the header alone has 16 or 20")
    major, minor, revision = struct.unpack("<iii", start[:12])
    header = Header(major, minor, revision)
    if len(start) < header.size:
        raise UserError(f"{path} is not a Darknet file: {len(start)} bytes, and its header alone has {header.size}")
    (seen,) = struct.unpack("<q" if header.wide else "<i", start[12 : header.size])
    return Header(major, minor, revision, seen)


def read(network: DarknetNetwork, path: str | Path, where: str) -> Header:
    """Fill the network from a file and return its header. UserError, and an untouched network, where the size is not the network's."""
    path = Path(path).expanduser()
    header = read_header(path)
    expected, actual = size(network, header), path.stat().st_size
    if actual != expected:
        raise UserError(_misfit(network, header, path, where, expected, actual))
    numbers = torch.from_numpy(numpy.fromfile(path, dtype="<f4", offset=header.size))
    with torch.no_grad():
        for target, source in zip(
            _tensors_in_order(network), torch.split(numbers, [t.numel() for t in _tensors_in_order(network)]), strict=True
        ):
            flat = source.reshape(target.shape[::-1]).T if header.transposed and target.ndim == 2 else source.reshape(target.shape)
            target.copy_(flat)
        network.seen.fill_(header.seen)
    return header


def write(network: DarknetNetwork, path: str | Path, header: Header) -> None:
    """The file that `read` takes, byte for byte the one it took with that header."""
    with Path(path).open("wb") as file:
        file.write(header.to_bytes())
        for tensor in _tensors_in_order(network):
            turned = tensor.T if header.transposed and tensor.ndim == 2 else tensor
            file.write(turned.detach().cpu().contiguous().numpy().astype("<f4").tobytes())


def _misfit(network: DarknetNetwork, header: Header, path: Path, where: str, expected: int, found: int) -> str:
    floats = (expected - header.size) // 4
    text = f"{path}: a Darknet file of the wrong size: {where} needs {expected} bytes ({header.size} + 4 x {floats}), found {found}"
    for place in places(network, header):
        if place.offset + 4 * place.floats == found:
            return f"{text}. It ends with layer {place.layer}: a file to start training from, not a whole network"
    return f"{text}. Is it of another cfg, another number of classes, or cut off?"


def _tensors_in_order(network: DarknetNetwork) -> Iterator[Tensor]:
    return (tensor for module in network.layers for tensor in _tensors(module))


def _tensors(module: nn.Module) -> list[Tensor]:
    """A layer's tensors in Darknet's order."""
    match module:
        case layers.Convolutional(conv=conv, norm=None) if conv.bias is not None:
            return [conv.bias, conv.weight]
        case layers.Convolutional(conv=conv, norm=nn.BatchNorm2d() as norm):
            return [norm.bias, *_statistics(norm), conv.weight]
        case layers.Connected(linear=linear, norm=None) if linear.bias is not None:
            return [linear.bias, linear.weight]
        case layers.Connected(linear=linear, norm=nn.BatchNorm1d() as norm):
            return [norm.bias, linear.weight, *_statistics(norm)]
        case layers.Local():
            return [module.bias, module.weight]
        case _:
            return []


def _statistics(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> list[Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return [norm.weight, norm.running_mean, norm.running_var]
