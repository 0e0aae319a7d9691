"""The readout that all cells share, and the connected layers that it is written out as, say the same."""

from __future__ import annotations

import torch

from robustbench_cv.models.detectors.darknet import published_cfgs
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.training.yolov1_initialisation import SharedReadout


def test_connected_layers_begin_as_the_shared_readout() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DarknetNetwork(
            published_cfgs.narrow(published_cfgs.version1(64, 3, hidden=60, stride=32, norm=True, dropout=0.0), 4, 8)
        ).eval()
        shared = SharedReadout(network).eval()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (before,), wanted = network(x), shared(x)
        assert float((before - wanted).abs().max()) > 0.05
        shared.write_out()
        torch.testing.assert_close(network(x)[0], wanted, atol=1e-3, rtol=1e-3)
        # A cell's numbers come from its own features: the readout by hand.
        features = shared.trunk(x)
        classes, confidence, places = shared.head.parts(wanted)
        by_hand = shared.readout.weight @ features[1, :, 1, 0] + shared.readout.bias
        torch.testing.assert_close(torch.cat([classes[1, 1, 0], confidence[1, 1, 0], places[1, 1, 0].flatten()]), by_hand)
