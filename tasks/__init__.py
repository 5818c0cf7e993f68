"""The steps of the path as Prefect tasks: named, seen, retried. Each is a thin skin; the work is
further down.

Frames travel between tasks in memory: nothing of what a task takes or returns is kept by Prefect.
"""
