"""What work costs is what it took, not what the process took before."""

import sys
import time

import numpy as np
import pytest

from apical.judge.cost import measured


def test_seconds_of_the_clock_and_of_the_processor():
    began = time.monotonic()
    with measured() as cost:
        time.sleep(0.2)
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
    assert 0.2 <= cost["seconds"] <= time.monotonic() - began + 0.001
    assert cost["cpu_seconds"] >= 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an earlier peak cannot be forgotten")
def test_an_earlier_peak_is_forgotten():
    with measured() as large:
        block = np.ones(200 << 17)  # 200 MB
    del block
    with measured() as small:
        pass
    assert large["peak_memory_mb"] - small["peak_memory_mb"] > 150
