"""Starts and supervises everything on one machine, for ``hrsync up``."""
