import threading

from apical.deploy.service.wanted import WantedList


def test_what_is_wanted_stays_until_it_is_done(tmp_path):
    wanted = WantedList(tmp_path / "pacs.sqlite")
    wanted.add("1.2", "3", "4")
    wanted.close()
    again = WantedList(tmp_path / "pacs.sqlite")
    one = again.due(1.0)
    assert (one.study, one.series, one.instance, one.failures) == ("1.2", "3", "4", 0)
    again.done(one)
    assert again.due(1e12) is None
    assert len(again) == 0
    assert (tmp_path / "pacs.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_is_asked_for_again_while_it_is_looked_at_is_looked_at_again(tmp_path):
    wanted = WantedList(tmp_path / "pacs.sqlite")
    wanted.add("1.2")
    first = wanted.due(1.0)
    wanted.add("1.2")
    wanted.done(first)
    second = wanted.due(1.0)
    assert second.asked == 2
    wanted.put_off(first, 100.0)
    assert wanted.due(1.0) == second
    wanted.done(second)
    assert wanted.due(1e12) is None


def test_what_failed_comes_after_the_others_and_at_its_time(tmp_path):
    wanted = WantedList(tmp_path / "pacs.sqlite")
    wanted.add("1.1")
    wanted.put_off(wanted.due(0.0), 50.0)
    wanted.add("1.2")
    assert wanted.due(60.0).study == "1.2"
    wanted.done(wanted.due(60.0))
    assert wanted.next_due() == 50.0
    assert wanted.due(49.0) is None
    assert wanted.due(51.0).failures == wanted.failing == 1
    wanted.add("1.1")
    assert wanted.failing == 0
    assert wanted.due(0.0).failures == 0


def test_threads_add_without_losing(tmp_path):
    wanted = WantedList(tmp_path / "pacs.sqlite")
    threads = [
        threading.Thread(target=lambda n=n: [wanted.add(f"1.{n}.{k}") for k in range(20)]) for n in range(5)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(wanted) == 100
