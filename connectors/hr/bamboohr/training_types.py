"""The training types of a BambooHR account: an award's label is the name of its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciliation.errors import Misconfigured

from .api import Api, Rejected
from .settings import BamboohrSettings
from .trainings import frequency, usual


class TrainingTypes:
    """The types as a run has read them; those that an award needs are made."""

    def __init__(self, api: Api, settings: BamboohrSettings) -> None:
        self._api, self._settings = api, settings
        self._types: dict[str, dict[str, Any]] | None = None

    def by_name(self) -> dict[str, dict[str, Any]]:
        """Name in small letters -> type."""
        if self._types is None:
            self._types = {
                str(kind.get("name")).lower(): kind for kind in self._api.keyed("v1/training/type")
            }
        return self._types

    def by_number(self) -> dict[int, dict[str, Any]]:
        """BambooHR's number -> type."""
        return {int(kind["id"]): kind for kind in self.by_name().values()}

    def new(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The types that these awards need and that do not exist yet: name in small letters ->
        renewal period in months, that of most of the awards."""
        labels = {str(row["award_label"]).lower() for row in rows} - set(self.by_name())
        return {
            label: usual([row for row in rows if str(row["award_label"]).lower() == label])
            for label in labels
        }

    def months(self, label: str, new: Mapping[str, int]) -> int:
        """The renewal period of a type, which may be a ``new`` one."""
        kind = self.by_name().get(label.lower())
        return frequency(kind) if kind else new.get(label.lower(), 0)

    def needed(self, name: str, new: Mapping[str, int]) -> dict[str, Any]:
        """The type of this name, created if it does not exist.

        Raises:
            Misconfigured: BambooHR does not let us make it.
        """
        there = self.by_name().get(name.lower())
        if there is not None:
            return there
        months = new.get(name.lower(), 0)
        renewal = {"renewable": True, "frequency": months} if months else {"renewable": False}
        body = {"name": name, "category": {"id": self._category()}, **renewal}
        try:
            made = self._api.call("POST", "v1/training/type", body)
        except Rejected:
            raise Misconfigured(
                "BambooHR does not let us make a training type",
                "Give the API key's user the right, or make the types.",
            ) from None
        self.by_name()[name.lower()] = made
        return dict(made)

    def _category(self) -> int:
        """The number of the category that new types belong to, created if it does not exist."""
        name = self._settings.category
        categories = self._api.keyed("v1/training/category")
        there = next((c for c in categories if str(c.get("name")).lower() == name.lower()), None)
        return int((there or self._api.call("POST", "v1/training/category", {"name": name}))["id"])
