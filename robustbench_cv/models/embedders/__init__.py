"""Networks that say whether two pictures show the same: an image becomes a vector, and near vectors mean the same face or sign.

They have no classes, so their task is none of the three: `verification` judges pairs of vectors, and `embedder.gallery` makes a classifier.
"""
