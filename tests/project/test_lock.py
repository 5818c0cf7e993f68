"""The locks, by which the same is installed everywhere: they hold all that pyproject.toml asks for,
and a hash of each file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DECLARED: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*DECLARED["project"]["dependencies"], *DECLARED["build-system"]["requires"]]
EXTRAS = [
    text
    for extra in DECLARED["project"]["optional-dependencies"].values()
    for text in extra
    if not text.startswith("hrsync[")
]
LOCKS = RUNS, DEVELOPS = "requirements.lock", "tests/requirements.lock"


def entries(lock: str) -> dict[str, Requirement]:
    """What a lock pins, by name."""
    text = re.sub(r"\\\n\s+--hash=\S+", "", (ROOT / lock).read_text())
    found = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in found}


def version(pinned: Requirement) -> str:
    (only,) = pinned.specifier
    assert only.operator == "==", pinned
    return only.version


@pytest.mark.parametrize(
    ("lock", "text"),
    [("requirements.lock", text) for text in RUNTIME]
    + [("tests/requirements.lock", text) for text in (*RUNTIME, *EXTRAS)],
)
def test_a_lock_has_a_version_within_the_bounds_of_each_requirement(lock: str, text: str) -> None:
    wanted = Requirement(text)
    pinned = entries(lock).get(canonicalize_name(wanted.name))
    assert pinned, f"{wanted.name} is not in {lock}: make lock"
    assert version(pinned) in wanted.specifier, f"{pinned} is in {lock}: make lock"


def test_what_runs_has_the_same_versions_for_developers() -> None:
    runtime, developers = (
        {name: version(pinned) for name, pinned in entries(lock).items()} for lock in LOCKS
    )
    assert runtime.items() <= developers.items()
    assert {"pytest", "ruff", "polars"} & runtime.keys() == set(), "make run installs no tools"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_of_everything_and_names_no_place_to_fetch_it_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?:|file:|@|--(extra-)?index-url|--find-links", text)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert entry.startswith("#") or re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_make_installs_only_what_has_its_hash() -> None:
    """Nor does a build: it takes the setuptools that is there."""
    recipes = (ROOT / "Makefile").read_text()
    assert "INSTALL := $(PIP) install --quiet --no-deps --no-build-isolation\n" in recipes
    asked = [line for line in recipes.splitlines() if line.startswith("\t$(INSTALL)")]
    assert [line.split(" ", 1)[1] for line in asked] == [
        "--require-hashes --requirement $(VENV)/setuptools.lock",
        "--require-hashes --requirement requirements.lock",
        "--editable .",
        "--require-hashes --requirement tests/requirements.lock",
    ]
