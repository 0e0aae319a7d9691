"""The parts of a YOLOv3-style detector: network, decoding, loss, anchors. Redmon and Farhadi 2018, https://arxiv.org/abs/1804.02767"""
