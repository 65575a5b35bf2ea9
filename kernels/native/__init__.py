"""Compiled code: the Cython loops, once per instruction-set level, and the fast call path."""
