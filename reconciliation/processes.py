"""The names of the processes: the single list that settings, catalogue, forms and commands use."""

from __future__ import annotations

from typing import Literal, get_args

CheckedProcess = Literal[
    "users_to_hr",
    "users_from_hr",
    "job_roles_to_hr",
    "assignments_to_hr",
    "assignments_from_hr",
    "awards_to_hr",
    "award_targets_to_hr",
    "award_targets_from_hr",
    "delegates_to_hr",
    "course_requests_to_hr",
    "course_decisions_from_hr",
]
"""A process whose history can be checked, because its rows have a record on the other side."""
ProcessName = Literal[CheckedProcess, "role_compliance"]
NAMES: tuple[ProcessName, ...] = get_args(ProcessName)
"""The order for a first load: people before their awards, roles before assignments."""
