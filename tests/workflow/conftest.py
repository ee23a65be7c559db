"""Fixtures for runs of all stages."""

import pytest

from d2sfm.workflow.stages import Stages


@pytest.fixture
def with_report():
    """For the tests that look at the report."""


@pytest.fixture(autouse=True)
def without_report(request, monkeypatch):
    """The others do without: it takes longer than all stages on these few small pictures."""
    if "with_report" not in request.fixturenames:
        monkeypatch.setattr(Stages, "report", lambda _: (None, {}))
