"""Base classes of the flows' forms: how a form refuses mistakes, and the options of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from reconciliation.errors import WrongInput
from reconciliation.validation import fault_of

from ._run import Mode, Order


class Form(BaseModel):
    """A group of a flow's form. Unknown names are refused, and no error repeats a value: it may be
    personal data."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    entry: ClassVar[str] = "filter"
    """The word for one of its fields in errors."""

    @classmethod
    def meaning(cls, name: str) -> str:
        """Returns the description of a field."""
        return str(cls.model_fields[name].description)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Returns the form filled with these values.

        Raises:
            WrongInput: a name is unknown, a value does not fit, or values contradict each other.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
        if not first["loc"]:
            raise WrongInput(fault_of(first), "Choose one of them.")
        name = first["loc"][0]
        if first["type"] == "extra_forbidden":
            names = ", ".join(cls.model_fields)
            raise WrongInput(f"There is no {cls.entry} '{name}'", f"Use one of {names}.")
        raise WrongInput(f"The value of '{name}' {fault_of(first)}", "Correct it.")

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Self:
        """Returns the form filled with ``NAME=VALUE`` texts.

        The items of a list are separated by commas, or given in several texts. ``NAME=`` is an
        empty list.

        Raises:
            WrongInput: as :meth:`of`; or a text has no ``=``, or a single value is given twice.
        """
        lists = {n for n, f in cls.model_fields.items() if get_origin(f.annotation) is list}
        given: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals:
                raise WrongInput(f"A {cls.entry} has no value", "Give each as NAME=VALUE.")
            if name in lists:
                given.setdefault(name, []).extend(value.split(",") if value else [])
            elif name in given:
                raise WrongInput(f"The {cls.entry} '{name}' is given twice", "Give it once.")
            else:
                given[name] = value
        return cls.of(given)


class WriteOptions(Form):
    """What a run may write."""

    entry = "option"

    mode: Mode = Field(
        default="apply",
        description="apply writes; plan is a preview: it counts what would be written.",
    )
    approve: str = Field(
        default="",
        description="Digest of a kept plan: the run applies exactly this plan and reads nothing.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            self.order()
        except WrongInput as problem:
            raise PydanticCustomError("contradiction", "{why}", {"why": problem.what}) from None
        return self

    def order(self) -> Order:
        """Returns the order for a run with these options."""
        return Order(**self.model_dump() | {"approve": self.approve or None})


class RunOptions(WriteOptions):
    """What a run reads and what it may write. By default it reads what has changed since the last
    run, and writes the differences."""

    since: datetime | None = Field(
        default=None,
        description="Read what has changed since this moment (UTC unless it has an offset), even "
        "if earlier runs have read it.",
    )
    full: bool = Field(
        default=False, description="Read everything again. Unchanged rows are not written."
    )
    sweep: bool = Field(
        default=False,
        description="Read everything and compare it with everything on the other side. Finds rows "
        "that were changed there and records that were deleted here.",
    )
    hinted: bool = Field(
        default=False,
        description="Read only the records that webhooks have named since the last run.",
    )
