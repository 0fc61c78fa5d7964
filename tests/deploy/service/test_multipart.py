from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apical.deploy.service.multipart import first_part

BOUNDARY = b"3f1a-9"


def read(message, cuts):
    """The body of the first part of a message that comes in pieces."""
    at = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    found = []
    first_part((message[a:b] for a, b in pairwise(at)), BOUNDARY, found.append)
    return b"".join(found), max((len(one) for one in found), default=0)


@given(
    body=st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n", b"\r\n--", b"3f1a", b"x"])).map(
            b"".join
        ),
    ).filter(lambda body: b"\r\n--" + BOUNDARY not in b"\r\n" + body),
    cuts=st.lists(st.integers(0, 1000), max_size=12),
    before=st.sampled_from([b"", b"\r\n", b"a preamble\r\n\r\nof two lines\r\n"]),
    after=st.sampled_from([b"--\r\n", b"\r\nContent-Type: a/b\r\n\r\nanother\r\n--" + BOUNDARY + b"--"]),
)
def test_the_body_comes_out_as_it_went_in_wherever_the_message_is_cut(body, cuts, before, after):
    head = b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
    message = before + head + body + b"\r\n--" + BOUNDARY + after
    assert read(message, cuts)[0] == body


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"<html>please log in</html>",
        b"--3f1a-9\r\nContent-Type: application/dicom\r\n",
        b"--3f1a-9\r\nContent-Type: application/dicom\r\n\r\nhalf of a bo",
        b"--other\r\n\r\nbody\r\n--other--",
    ],
)
def test_half_a_message_is_an_error(message):
    with pytest.raises(ValueError, match="no whole part"):
        read(message, [])


def test_an_endless_head_is_not_held():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b"x" * (1 << 18)

    with pytest.raises(ValueError, match="no whole part"):
        first_part(endless(), BOUNDARY, print)
    assert len(taken) < 10
