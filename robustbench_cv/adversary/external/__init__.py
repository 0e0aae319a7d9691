"""Attacks of other libraries, run under our protocol: counted, checked, re-judged."""
