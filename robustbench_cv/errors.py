"""The exceptions this package raises on purpose.

::

    RobustBenchError
    ├── UserError          something the user can fix; the message says how
    │   └── BadSample      one sample's file or annotation is unusable; --skip-bad records it and goes on
    └── NotApplicable      this sample, model or metric cannot serve here; recorded with its reason, never scored
"""


class RobustBenchError(Exception):
    """Base of every exception that this package raises on purpose."""


class UserError(RobustBenchError):
    """Something the user can fix: the message names the value, the rule and the way out."""


class BadSample(UserError):
    """One sample cannot be read: the message names the file and the entry."""


class NotApplicable(RobustBenchError):
    """A sample (or model, or metric) that an operation cannot serve, with the reason. Never a score."""
