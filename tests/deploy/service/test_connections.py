"""Connections are counted as they come and go, and leave files for all else."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.config import ServeSettings
from apical.deploy.service.connections import FEWEST, RESERVE, Connections, connections_for


def entering(connections, address):
    """How many more may enter from an address."""
    count = 0
    while connections.enter(address):
        count += 1
    return count


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_there_are_never_more_than_may_be_nor_fewer_without_need(steps):
    connections, inside = Connections(5, 3), Counter()
    for comes, address in steps:
        if comes:
            fits = inside.total() < 5 and inside[address] < 3
            assert connections.enter(address) == fits
            inside[address] += fits
        elif inside[address]:
            connections.leave(address)
            inside[address] -= 1
    assert set(connections._by_address) == {address for address in "abc" if inside[address]}, "none is kept"


def test_as_many_as_the_settings_say_where_there_are_files_enough():
    settings = ServeSettings(connections=7, connections_per_client=2)
    connections = connections_for(settings, 20_000)
    assert [entering(connections, address) for address in "abcde"] == [2, 2, 2, 1, 0]


@pytest.mark.parametrize(("files", "most"), [(1024, 1024 - RESERVE - 68), (300, FEWEST), (0, FEWEST)])
def test_few_files_leave_room_for_few(files, most):
    settings = ServeSettings(connections=5000, connections_per_client=5000)
    assert entering(connections_for(settings, files, 68), "a") == most


RAISING = """
import resource, sys
from apical.deploy.service.connections import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(100, 300), (300, 300)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft, hard):
    said = subprocess.run(
        [sys.executable, "-c", RAISING, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["300", "300", "300"]
