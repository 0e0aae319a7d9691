"""Networks that say whether two pictures show the same: an image becomes a vector, and near vectors mean the same face or sign.

They have no classes, so they are plain modules rather than models of the three tasks. `verification` judges pairs of vectors.
"""
