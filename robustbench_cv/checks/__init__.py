"""Automatic validity tests of a model, a data set or a result: one function each, each with a verdict, its evidence and the way out."""
