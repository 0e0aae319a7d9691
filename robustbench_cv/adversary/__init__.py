"""The adversary: an objective maximised by an optimizer inside a constraint, in one loop, for all three tasks."""
