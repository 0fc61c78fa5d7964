import threading

from orthanc import wait_for

from apical.deploy.service.rounds import LONGEST, Rounds, backoff


def test_waiting_doubles_up_to_a_limit_and_is_spread():
    for failures in range(1, 40):
        full = min(LONGEST, 2.0**failures / 2)
        drawn = {backoff(failures) for _ in range(50)}
        assert all(full / 2 <= one <= full for one in drawn)
        assert len(drawn) > 10
    assert backoff(10_000) <= LONGEST


def test_a_round_that_fails_is_logged_by_kind_only_and_others_follow(caplog):
    done = threading.Event()

    def one_round():
        if not caplog.records:
            raise ValueError("DOE^JOHANNA")
        done.set()
        return 1000.0

    rounds = Rounds("tests", one_round)
    rounds.start()
    wait_for(lambda: caplog.records)
    rounds.wake()
    assert done.wait(60)
    rounds.stop(60)
    assert "ValueError" in caplog.text
    assert "DOE" not in caplog.text
