"""Reads and creates the training types of a BambooHR account. An award's label is the name of its
type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciliation.errors import Misconfigured

from .api import Api, Rejected
from .settings import BamboohrSettings
from .trainings import frequency, usual


class TrainingTypes:
    """The training types, read once per run."""

    def __init__(self, api: Api, settings: BamboohrSettings) -> None:
        self._api, self._settings = api, settings
        self._types: dict[str, dict[str, Any]] | None = None

    def by_name(self) -> dict[str, dict[str, Any]]:
        """Maps names in lower case to types."""
        if self._types is None:
            self._types = {
                str(kind.get("name")).lower(): kind for kind in self._api.keyed("v1/training/type")
            }
        return self._types

    def by_number(self) -> dict[int, dict[str, Any]]:
        """Maps BambooHR's numbers to types."""
        return {int(kind["id"]): kind for kind in self.by_name().values()}

    def new(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Returns the missing types that these awards need: name in lower case -> renewal period in
        months. It is the period that most of the type's awards have."""
        labels = {str(row["award_label"]).lower() for row in rows} - set(self.by_name())
        return {
            label: usual([row for row in rows if str(row["award_label"]).lower() == label])
            for label in labels
        }

    def months(self, label: str, new: Mapping[str, int]) -> int:
        """Returns the renewal period in months of a type, which may be one of the ``new`` ones."""
        kind = self.by_name().get(label.lower())
        return frequency(kind) if kind else new.get(label.lower(), 0)

    def needed(self, name: str, new: Mapping[str, int]) -> dict[str, Any]:
        """Returns the type of this name, and creates it if it does not exist.

        Raises:
            Misconfigured: BambooHR does not let us create it.
        """
        existing = self.by_name().get(name.lower())
        if existing is not None:
            return existing
        months = new.get(name.lower(), 0)
        renewal = {"renewable": True, "frequency": months} if months else {"renewable": False}
        body = {"name": name, "category": {"id": self._category()}, **renewal}
        try:
            created = self._api.call("POST", "v1/training/type", body)
        except Rejected:
            raise Misconfigured(
                "BambooHR does not let us create a training type",
                "Give the API key's user the permission, or create the types in BambooHR.",
            ) from None
        self.by_name()[name.lower()] = created
        return dict(created)

    def _category(self) -> int:
        """Returns the number of the category of new types, and creates it if it does not exist."""
        name = self._settings.category
        categories = self._api.keyed("v1/training/category")
        category = next((c for c in categories if str(c.get("name")).lower() == name.lower()), None)
        if category is None:
            category = self._api.call("POST", "v1/training/category", {"name": name})
        return int(category["id"])
