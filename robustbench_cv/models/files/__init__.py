"""Models that a file names: Darknet's, fine-tuned ones, galleries of pictures."""
