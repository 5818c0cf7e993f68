"""Every connector has a stand, and says what it can."""

from __future__ import annotations

import pytest

from connectors.hr import connectors
from connectors.hr.absent import NotHeld
from connectors.hr.schema import columns_of, metadata
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.frame import of
from reconciliation.plan import reconcile

from .stands import STANDS, Stand


@pytest.mark.parametrize("name", sorted(connectors()))
def test_every_connector_has_a_stand(name: str) -> None:
    assert STANDS.get(name), (
        f"the connector {name} has no stand in tests/conformance/stands.py: nothing proves what "
        "it supports"
    )


def test_capabilities_name_what_hr_has(stand: Stand) -> None:
    can = stand.open().capabilities
    assert can.system
    for entity, holds in can.entities.items():
        kinds = columns_of(entity)
        assert next(iter(kinds)) == holds.key
        assert {name: kinds[name] for name in holds.kinds()} == holds.kinds()
        assert not set(holds.columns) & set(holds.read_only)


def test_what_it_can_with_these_settings_is_known_before_it_is_asked(stand: Stand) -> None:
    before = connectors()[stand.connector].can(stand.settings)
    now = stand.open().capabilities
    assert set(now.entities) == set(before.entities)
    for entity, holds in now.entities.items():
        assert set(holds.columns) <= set(before.entities[entity].columns), (
            "a server may hold less, never more"
        )


def test_every_process_can_be_narrowed_to_it(stand: Stand) -> None:
    can = stand.open().capabilities
    for process in PROCESSES.values():
        spec = narrowed(process.scoped(), can)
        assert spec.system == can.system
        if spec.direction == "to_hr" and spec.entity in can.entities:
            assert set(spec.columns()) - {spec.holder} <= set(can.entities[spec.entity].columns)
        assert spec.fingerprint() != process.scoped().fingerprint()


def test_what_has_no_place_is_unsupported_and_never_written(stand: Stand) -> None:
    system = stand.open()
    absent = sorted(set(metadata.tables) - set(system.capabilities.entities))
    if not absent:
        pytest.skip("holds every entity")
    target = NotHeld(system)
    plan = reconcile(of({"id": "text"}, [["1"], ["2"]]), of({"id": "text"}, []), "id", {}, [])
    receipts = target.rejections(absent[0], plan.changes)
    assert receipts["outcome"].tolist() == ["unsupported"] * 2
    assert receipts["reason"].tolist() == [f"{system.capabilities.system} holds no {absent[0]}"] * 2
