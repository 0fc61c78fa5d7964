"""Who may call, how often, and from where."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.config import ServeSettings, read_settings
from apical.deploy.service.access import (
    MOST_CLIENTS,
    Rates,
    Token,
    is_forwarded,
    is_loopback,
    is_own,
    token_of,
)
from apical.errors import CannotDo, WrongCall


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST."])
def test_loopback_is_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", ""])
def test_other_hosts_are_not_loopback(host):
    assert not is_loopback(host)


def test_the_right_token_fits_and_no_other():
    token = Token("a-token-of-some-length")
    assert token.is_needed
    assert token.fits("Bearer a-token-of-some-length")
    assert token.fits("bearer  a-token-of-some-length ")
    for wrong in (None, "", "Bearer", "Bearer ", "a-token-of-some-length", "Basic a-token-of-some-length"):
        assert not token.fits(wrong)


@given(st.text())
def test_no_text_that_is_another_fits(text):
    assert not Token("a-token-of-some-length").fits(f"Bearer {text}")


def test_without_a_token_none_is_needed():
    assert not Token(None).is_needed
    assert Token(None).fits(None)


def test_a_token_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    token, made = token_of(tmp_path)
    assert made
    assert len(token) >= 32
    assert token_of(tmp_path) == (token, False)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_token_that_others_can_read_is_not_used(tmp_path):
    token_of(tmp_path)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(CannotDo, match="can be read by others"):
        token_of(tmp_path)


def test_an_empty_token_is_not_used(tmp_path):
    (tmp_path / "token").touch(0o600)
    with pytest.raises(CannotDo, match="holds no token"):
        token_of(tmp_path)


@pytest.mark.parametrize("token", ["short", "a token with some spaces", "ein-langes-tökchen"])
def test_a_weak_token_is_refused(token):
    with pytest.raises(WrongCall, match="token") as error:
        read_settings(ServeSettings, token=token)
    assert token not in str(error.value)


def test_settings_do_not_show_the_token():
    assert "secret" not in repr(read_settings(ServeSettings, token="a-secret-of-some-length"))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8080"},
        {"host": "localhost"},
        {"host": "[::1]:8080"},
        {"host": "localhost:80", "origin": "http://localhost:80"},
    ],
)
def test_requests_of_this_machine_are_ours(headers):
    assert is_own(headers, "127.0.0.1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "evil.example:8080"},
        {"host": "localhost.evil.example"},
        {"host": "localhost:80", "origin": "http://evil.example"},
        {"host": "localhost:80", "origin": "http://localhost:81"},
        {"host": "localhost:80", "origin": "null"},
    ],
)
def test_requests_by_other_sites_pages_are_not(headers):
    assert not is_own(headers, "127.0.0.1")


@pytest.mark.parametrize(
    "name", ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"]
)
def test_a_request_with_signs_of_a_proxy_is_forwarded(name):
    assert is_forwarded({"host": "127.0.0.1", name: ""}, "1.1")


def test_nginx_tells_itself_by_its_old_http():
    assert is_forwarded({"host": "127.0.0.1:8080", "connection": "close"}, "1.0")


def test_a_browsers_request_is_not_forwarded():
    browsers = {
        "host": "127.0.0.1",
        "connection": "keep-alive",
        "origin": "http://127.0.0.1",
        "accept": "*/*",
    }
    assert not is_forwarded(browsers, "1.1")


def test_a_request_must_fit_into_what_is_kept():
    with pytest.raises(WrongCall, match="files_per_request must not be above kept_items"):
        read_settings(ServeSettings, kept_items=10)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_client_may_call_in_a_burst_and_then_at_its_rate():
    clock = Clock()
    rates = Rates(2.0, 3, clock)
    assert [rates.wait("a") for _ in range(3)] == [0, 0, 0]
    assert rates.wait("a") == pytest.approx(0.5)
    assert rates.wait("b") == 0
    clock.now = 0.5
    assert rates.wait("a") == 0
    assert rates.wait("a") > 0


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_client_gets_more_than_burst_and_rate_allow(pauses):
    clock = Clock()
    rates = Rates(2.0, 5, clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += rates.wait("a") == 0
    assert taken <= 5 + 2.0 * clock.now + 1e-6


def test_not_all_clients_are_remembered():
    rates = Rates(1.0, 1, Clock())
    for number in range(MOST_CLIENTS + 10):
        rates.wait(str(number))
    assert len(rates._clients) == MOST_CLIENTS
