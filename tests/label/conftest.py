"""A labelling server in a state folder of the test's own, and a client of it."""

import pytest
from labelling_ground import HOME, parts_of, write_ground
from starlette.testclient import TestClient

from apical.label.app import make_app


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    return folder, write_ground(folder)


@pytest.fixture
def make(ground, tmp_path):
    """Parts and a client of a server in a state folder of the test's own."""
    folder, truth = ground
    opened = []

    def build(token=None, state="state", **changes):
        parts = parts_of(folder, tmp_path / state, truth, token, **changes)
        opened.append(parts)
        return parts, TestClient(make_app(parts), base_url=HOME, raise_server_exceptions=False)

    yield build
    for parts in opened:
        parts.pictures.stop()
        parts.records.close()


@pytest.fixture
def site(make):
    return make(second_readings=0, repeats=0)
