"""Samples: rendered scenes, and readers of folders, COCO annotations, masks and arrays."""
