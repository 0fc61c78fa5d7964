"""The client against a real Orthanc, and against servers that say what Orthanc never would."""

import shutil
import socket
import subprocess
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_pacs import JSON, as_json, fake_pacs, record, small_sr, stow
from orthanc import PASSWORD, USER, running_orthanc
from small_instances import ENCODINGS, write_ct, write_instance

from apical.deploy.service.dicomweb import DicomWeb, Hopeless, Instance, Unreachable, authorization
from apical.errors import CannotDo, WrongCall

pytest.importorskip("dicomweb_client", reason="apical[dicom-net] is not installed")
SECRET = authorization({"APICAL_PACS_CREDENTIALS": f"{USER}:{PASSWORD}"})
ONE = Instance("1.2.1", "1.2.2", "1.2.3", "1.2.840.10008.5.1.4.1.1.3.1")
HTML = (200, {"Content-Type": "text/html"}, b"<html>please log in</html>")


@pytest.fixture
def orthanc(tmp_path):
    yield from running_orthanc(tmp_path / "orthanc")


def client(url, **more):
    return DicomWeb(url, authorization=SECRET, seconds=(5.0, 30.0), **more)


def retrieved(of, instance):
    found = []
    of.retrieve(instance, found.append)
    return b"".join(found)


def test_orthanc_gives_every_instance_byte_by_byte_in_every_encoding(orthanc, tmp_path):
    files = {}
    for encoding in ENCODINGS:
        path = tmp_path / f"{encoding}.dcm"
        files[write_instance(path, encoding=encoding, study="1.2.7")] = path
    orthanc.upload(*files.values())
    ours = client(orthanc.url)
    found = list(ours.instances("1.2.7"))
    assert {one.instance for one in found} == files.keys()
    for one in found:
        assert retrieved(ours, one) == files[one.instance].read_bytes()


def test_orthanc_tells_studies_by_day_and_instances_one_by_one(orthanc, tmp_path):
    for number in range(7):
        write_instance(tmp_path / f"{number}.dcm", study=f"1.2.{number}", date=f"2026010{number + 1}")
    write_ct(tmp_path / "ct.dcm", study="1.2.6")
    write_ct(tmp_path / "only-ct.dcm", study="1.2.8")
    orthanc.upload(*sorted(tmp_path.glob("*.dcm")))
    ours = client(orthanc.url)
    assert {one.study: one.instances for one in ours.studies(None)} == {
        **{f"1.2.{number}": 1 for number in range(6)},
        "1.2.6": 2,
    }
    assert {one.study for one in ours.studies(date(2026, 1, 6))} == {"1.2.5", "1.2.6"}
    (one,) = ours.instances("1.2.6")
    assert [*ours.instances(one.study, one.series, one.instance)] == [one]
    assert [*ours.instances(one.study, one.series, "1.2.99")] == []


def test_a_document_is_stored_in_orthanc_and_again_is_as_good(orthanc):
    ours = client(orthanc.url)
    for _ in range(2):
        ours.store(small_sr())
    assert list(orthanc.instances()) == ["1.2.3"]


def test_what_is_not_there_is_hopeless_and_a_wrong_password_is_not(orthanc):
    with pytest.raises(Hopeless):
        retrieved(client(orthanc.url), ONE)
    stranger = DicomWeb(orthanc.url, authorization="Bearer wrong")
    for call in (lambda: list(stranger.studies(None)), lambda: stranger.store(small_sr())):
        with pytest.raises(Unreachable, match="does not let us in"):
            call()


def test_nobody_there_is_unreachable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ours = client(f"http://127.0.0.1:{unused.getsockname()[1]}/dicom-web")
        for call in (
            lambda: list(ours.studies(None)),
            lambda: list(ours.instances("1.2")),
            lambda: retrieved(ours, ONE),
            lambda: ours.store(small_sr()),
        ):
            with pytest.raises(Unreachable, match="cannot be reached"):
                call()


PARTS = {"Content-Type": "multipart/related; type=application/dicom; boundary=B"}


@pytest.mark.parametrize(
    "said",
    [
        HTML,
        (200, JSON, b"{"),
        (200, JSON, b"[[1, 2]]"),
        (200, JSON, b'["text"]'),
        (200, JSON, b"7"),
        (200, JSON, b'[{"0020000D": {"Value": ["../../admin"]}}]'),
        (200, JSON, b'[{"0020000D": {"Value": [null]}}]'),
        (200, {**JSON, "Content-Length": "1000"}, b"[{}"),
        (500, JSON, b""),
    ],
)
def test_answers_that_cannot_be_read_are_an_error_without_their_text(said):
    with fake_pacs(lambda *request: said) as (url, _):
        with pytest.raises(Unreachable) as error:
            list(client(url).studies(None))
        assert "127.0.0.1" not in str(error.value)
        assert "admin" not in str(error.value)


def test_records_that_cannot_be_read_do_not_hide_the_others():
    good, bad = record(x0020000D="1.2.3", x00201208="4"), record(x0020000D="not a uid")
    with fake_pacs(lambda *request: as_json([bad, good])) as (url, _):
        (study,) = client(url).studies(None)
        assert (study.study, study.instances) == ("1.2.3", 4)


def test_a_server_that_gives_pages_is_asked_for_all_of_them():
    studies = [f"1.2.{number}" for number in range(10)]

    def answer(method, path, headers, body):
        at = int(parse_qs(urlsplit(path).query)["offset"][0])
        return as_json([record(x0020000D=study) for study in studies[at : at + 4]])

    with fake_pacs(answer) as (url, asked):
        assert [one.study for one in client(url).studies(None)] == studies
        assert len(asked) == 4


def test_a_server_that_knows_no_pages_is_not_asked_for_ever():
    with fake_pacs(lambda *request: as_json([record(x0020000D="1.2.3")])) as (url, asked):
        assert len(list(client(url).studies(None))) == 1
        assert len(asked) == 2


def test_other_modalities_are_left_out_where_the_server_does_not_filter():
    found = [
        record(x00080018="1.2.1", x0020000E="1.2", x00080016="1.2.9", x00080060="CT"),
        record(x00080018="1.2.2", x0020000E="1.2", x00080016="1.2.9", x00080060="US"),
    ]
    with fake_pacs(lambda *request: as_json(found)) as (url, _):
        assert [one.instance for one in client(url).instances("1.2")] == ["1.2.2"]


@pytest.mark.parametrize(
    "said",
    [
        HTML,
        (200, PARTS, b"--B\r\n\r\nhalf of it"),
        (200, {**PARTS, "Content-Length": "99999"}, b"--B\r\n\r\nhalf of it"),
        (200, {"Content-Type": "multipart/related"}, b"--B\r\n\r\nbody\r\n--B--"),
        (200, {}, b"body"),
        (503, {}, b""),
    ],
)
def test_an_instance_that_does_not_come_whole_is_unreachable(said):
    with fake_pacs(lambda *request: said) as (url, _), pytest.raises(Unreachable):
        retrieved(client(url), ONE)


def test_an_instance_without_parts_is_taken_too():
    said = (200, {"Content-Type": "application/dicom"}, b"body")
    with fake_pacs(lambda *request: said) as (url, _):
        assert retrieved(client(url), ONE) == b"body"


@pytest.mark.parametrize(
    "answer",
    [
        stow(200, stored=["1.2.3"]),
        stow(202, stored=["1.2.3"]),
        stow(200, there=True),
        stow(409, failed=[0x0111], there=True),
        stow(409, failed=[45070], there=True),  # what one vendor says of a duplicate
        stow(409, there=True),
    ],
)
def test_a_document_is_stored_if_the_server_names_it_or_has_it(answer):
    with fake_pacs(answer) as (url, _):
        client(url).store(small_sr())


@pytest.mark.parametrize(
    "answer",
    [
        stow(409, failed=[0xA900]),
        stow(409, failed=[0xC122]),
        stow(202, failed=[0xA901]),
        stow(409, failed=[0x0122]),
        stow(409),
        stow(400),
        stow(415),
    ],
)
def test_a_document_that_is_refused_for_what_it_is_is_hopeless(answer):
    with fake_pacs(answer) as (url, _), pytest.raises(Hopeless, match="refuses"):
        client(url).store(small_sr())


@pytest.mark.parametrize(
    "answer",
    [
        stow(200),
        stow(200, stored=["1.2.4"]),
        stow(409, failed=[0xA700]),
        stow(409, failed=[0x0110]),
        stow(500),
        stow(503),
        stow(404),
        stow(429),
        stow(401),
        lambda *request: HTML,
    ],
)
def test_what_may_pass_is_no_refusal(answer):
    with fake_pacs(answer) as (url, _), pytest.raises(Unreachable):
        client(url).store(small_sr())


@pytest.mark.parametrize(("said", "seconds"), [("120", 120), ("999999", 3600), ("soon", 0), ("-5", 0)])
def test_a_server_may_ask_to_wait_for_a_while(said, seconds):
    with fake_pacs(stow(503, headers={"Retry-After": said})) as (url, _):
        with pytest.raises(Unreachable) as error:
            client(url).store(small_sr())
        assert error.value.after == seconds


def test_credentials_come_from_the_environment_or_a_file(tmp_path):
    assert authorization({}) is None
    assert authorization({"APICAL_PACS_CREDENTIALS": "me:pass:word"}) == "Basic bWU6cGFzczp3b3Jk"
    assert authorization({"APICAL_PACS_CREDENTIALS": "a.token_1"}) == "Bearer a.token_1"
    (tmp_path / "secret").write_text("a.token_2\n")
    assert authorization({"APICAL_PACS_CREDENTIALS_FILE": str(tmp_path / "secret")}) == "Bearer a.token_2"
    with pytest.raises(CannotDo, match="credentials"):
        authorization({"APICAL_PACS_CREDENTIALS_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_goes_to_where_the_pacs_points(status):
    """Neither questions nor documents nor credentials, be it another host or the same."""
    with fake_pacs(lambda *request: as_json([])) as (other, asked_there):
        for moved in (other.replace("127.0.0.1", "localhost"), other, "/elsewhere"):
            with fake_pacs(lambda *_, to=moved: (status, {"Location": to}, b"")) as (url, asked):
                for call in (
                    lambda ours: list(ours.studies(None)),
                    lambda ours: list(ours.instances("1.2")),
                    lambda ours: retrieved(ours, ONE),
                    lambda ours: ours.store(small_sr()),
                ):
                    with pytest.raises(Unreachable, match=f"sends us elsewhere .HTTP {status}.") as error:
                        call(client(url))
                    assert moved not in str(error.value)
                assert not any("elsewhere" in path for _, path in asked)
    assert asked_there == []


@pytest.mark.parametrize(
    "url", ["pacs/dicom-web", "ftp://pacs", "https://me:word@pacs/dicom-web", "https://"]
)
def test_an_address_that_is_none_or_holds_a_password_is_refused(url):
    with pytest.raises(WrongCall) as error:
        DicomWeb(url)
    assert "word" not in str(error.value)


def test_neither_proxy_nor_netrc_of_the_environment_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    seen = []

    def answer(method, path, headers, body):
        seen.append(headers.get("Authorization"))
        return as_json([])

    with fake_pacs(answer) as (url, _):
        list(DicomWeb(url).studies(None))
    assert seen == [None]


@pytest.fixture
def certificate(tmp_path):
    """A certificate that nobody has signed, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes a certificate, is not installed")
    path = tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pacs -addext subjectAltName=IP:127.0.0.1"
    command = ["openssl", *words.split(), "-keyout", str(path), "-out", str(tmp_path / "public.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "public.pem").read_bytes())
    return path


def test_a_pacs_must_prove_who_it_is_unless_told_otherwise(certificate):
    with fake_pacs(lambda *request: as_json([]), certificate) as (url, _):
        with pytest.raises(Unreachable):
            list(client(url).studies(None))
        assert list(client(url, certificates=str(certificate)).studies(None)) == []
        assert list(client(url, certificates=False).studies(None)) == []
