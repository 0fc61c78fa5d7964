"""A PACS as it is seen through DICOMweb (PS3.18): what is there, the bytes of an instance, a document stored.

QIDO-RS and STOW-RS go through dicomweb-client. WADO-RS does not: that client holds a whole instance in memory
and parses it, while here the bytes go on as they come, exactly as they are stored.

No redirection is followed: what holds a patient's name goes to the address that was given, or nowhere.

What fails is one of two things: `Unreachable` may work later, `Hopeless` never will. Neither quotes an
address or an answer, for both hold UIDs. A document counts as stored only when the server names it, or has it
when it is asked: servers say in many ways that they had it already.
"""

from __future__ import annotations

import base64
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom

from apical.deploy.service.instances import is_uid
from apical.deploy.service.multipart import first_part
from apical.errors import ApicalError, CannotDo, WrongCall

CREDENTIALS = (
    "APICAL_PACS_CREDENTIALS"  # environment: "user:password", or a token; with _FILE: where it stands
)
BLOCK = 1 << 18
MOST_SECONDS = 3600.0  # for an instance
RETRY_AFTER = 3600.0  # seconds, the most that a server may ask us to wait
DUPLICATE = 0x0111  # failure reasons: PS3.7 C, PS3.18 table I.2-2
_REFUSALS = frozenset({0x0117, 0x0118, 0x0122})  # beside 0xA9xx and 0xCxxx
_UNREADABLE = "the PACS gives answers that cannot be read"


class Unreachable(CannotDo):
    """It did not work now, and may later.

    Attributes:
        after: seconds that the server asks us to wait, or 0.
    """

    def __init__(self, what: str, do: str = "see that its address is right and that it runs") -> None:
        super().__init__(what, do)
        self.after = 0.0


class Hopeless(CannotDo):
    """It will not work however often it is tried."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "look into the log of the PACS")


@dataclass(frozen=True)
class Study:
    """A study, and how many instances it has where the server says so."""

    study: str
    instances: int | None


@dataclass(frozen=True)
class Instance:
    """An instance by its UIDs, and its storage class."""

    study: str
    series: str
    instance: str
    sop_class: str


def authorization(environment: Mapping[str, str]) -> str | None:
    """The header by which we may enter, from `CREDENTIALS` or the file it names; None where there is neither.

    With a colon it is a name and a password (basic), without one a token (bearer).

    Raises:
        CannotDo: the file cannot be read, or is empty.
    """
    secret = environment.get(CREDENTIALS, "")
    file = environment.get(f"{CREDENTIALS}_FILE")
    if file:
        try:
            secret = Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError):
            secret = ""
        if not secret.strip():
            raise CannotDo("the file with the credentials of the PACS cannot be read", "see what it holds")
    secret = secret.strip()
    if not secret:
        return None
    if ":" in secret:
        return "Basic " + base64.b64encode(secret.encode()).decode()
    return f"Bearer {secret}"


class DicomWeb:
    """A client; for one thread at a time.

    Args:
        url: where the DICOMweb services of the PACS are, such as ``https://pacs/dicom-web``.
        authorization: see `authorization`.
        certificates: a file of certificates to trust instead of the usual ones; False trusts anybody.
        seconds: most time to connect, and to wait for the next bytes.

    Raises:
        WrongCall: the address is none, or holds a password.
        CannotDo: dicomweb-client is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: str | None = None,
        certificates: str | bool = True,
        seconds: tuple[float, float] = (10.0, 60.0),
    ) -> None:
        try:
            import requests
            from dicomweb_client.api import DICOMwebClient
        except ImportError:
            raise CannotDo(
                "talking to a PACS needs dicomweb-client, which is not installed",
                "install it with: pip install 'apical[dicom-net]'",
            ) from None
        for name in ("dicomweb_client", "urllib3"):  # they log addresses
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise WrongCall(
                "the address of the PACS is none",
                f"give it as https://host/dicom-web, and credentials by {CREDENTIALS}",
            )
        self._url, self._seconds = url.rstrip("/"), seconds
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies, no .netrc: what goes to the PACS goes nowhere else
        self._session.verify = certificates
        self._session.hooks["response"].append(_stay)
        self._session.headers["Accept"] = "application/dicom+json"
        if authorization:
            self._session.headers["Authorization"] = authorization
        self._client = DICOMwebClient(self._url, self._session, timeout=seconds, permissive_uid=True)
        self._client.set_http_retry_params(False)

    def studies(self, since: date | None) -> Iterator[Study]:
        """The studies with ultrasound: of that day (by Study Date) and later, or all.

        A study without a date is found only among all.

        Raises:
            Unreachable: as every method does.
        """
        filters = {"ModalitiesInStudy": "US"} | ({"StudyDate": f"{since:%Y%m%d}-"} if since else {})
        for record in self._pages(self._client.search_for_studies, "0020000D", filters, fields=["00201208"]):
            count = _value(record, "00201208")
            yield Study(_value(record, "0020000D"), int(count) if str(count).isdigit() else None)

    def instances(self, study: str, series: str = "", instance: str = "") -> Iterator[Instance]:
        """The instances of modality US of a study, of one of its series, or one instance."""
        filters = {"Modality": "US"} | ({"SOPInstanceUID": instance} if instance else {})
        within = {"study_instance_uid": study} | ({"series_instance_uid": series} if series else {})
        for record in self._pages(
            self._client.search_for_instances, "00080018", filters, fields=["00080016"], **within
        ):
            uid, found_in = _value(record, "00080018"), str(_value(record, "0020000E") or series)
            of_series = is_uid(found_in) and (not instance or uid == instance)
            if of_series and _value(record, "00080060") in (None, "US"):  # where the server does not filter
                yield Instance(study, found_in, uid, str(_value(record, "00080016")))

    def _pages(
        self, search: Callable[..., list[Any]], uid: str, filters: dict[str, str], **words: Any
    ) -> Iterator[dict[str, Any]]:
        """All records that have that UID, page by page where the server gives pages.

        No limit is asked for: Orthanc 1.10 counts the records that `offset` skips among those of the limit.
        """
        seen: set[str] = set()
        at = 0
        while True:
            with self._talking():
                page = search(search_filters=filters, offset=at, **words)
                records = {_value(one, uid): one for one in page if is_uid(str(_value(one, uid)))}
            if page and not records:
                raise Unreachable(_UNREADABLE)
            new = {key: record for key, record in records.items() if key not in seen}
            if not new:  # the end; or a server that knows no pages and began anew
                return
            yield from new.values()
            seen |= new.keys()
            at += len(page)

    def retrieve(self, one: Instance, write: Callable[[bytes], object]) -> None:
        """Pass on the file of an instance, piece by piece, in the transfer syntax in which it is stored.

        Raises:
            Hopeless: it is not there, or not to be had.
            Unreachable: also if it broke off; what was written until then is not whole.
        """
        url = f"{self._url}/studies/{one.study}/series/{one.series}/instances/{one.instance}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        with self._talking(hopeless=(404, 406, 410)):
            response = self._session.get(url, headers={"Accept": accept}, stream=True, timeout=self._seconds)
            with response:
                response.raise_for_status()
                head = Message()
                head["Content-Type"] = response.headers["Content-Type"]
                blocks = _in_time(response.iter_content(BLOCK))
                if head.get_content_type() == "application/dicom":
                    for block in blocks:
                        write(block)
                elif head.get_content_type() == "multipart/related":
                    first_part(blocks, str(head.get_boundary()).encode(), write)
                else:
                    raise Unreachable(_UNREADABLE)

    def store(self, document: bytes) -> None:
        """Store a DICOM file; that it is there already is as good.

        Raises:
            Hopeless: the server will not have it.
        """
        dataset = pydicom.dcmread(io.BytesIO(document))
        study, instance = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
        trouble: Hopeless | Unreachable
        try:
            with self._talking(hopeless=(400, 409, 413, 415, 422)):
                stored = self._client.store_instances([dataset])
            named = [str(item.ReferencedSOPInstanceUID) for item in stored.get("ReferencedSOPSequence") or ()]
            if instance in named:
                return
            trouble = _refused(_reasons(stored)) or Unreachable("the PACS does not say that it stored it")
        except (Hopeless, Unreachable) as error:
            trouble = error
        asked_to_wait = isinstance(trouble, Unreachable) and trouble.after
        if not asked_to_wait and self._has(study, instance):
            return
        raise trouble from None

    def _has(self, study: str, instance: str) -> bool:
        """Whether an instance is there, of any modality."""
        with self._talking(hopeless=()):
            found = self._client.search_for_instances(study, search_filters={"SOPInstanceUID": instance})
            return any(_value(record, "00080018") == instance for record in found)

    @contextmanager
    def _talking(self, hopeless: tuple[int, ...] = ()) -> Iterator[None]:
        """Turn whatever goes wrong into our two errors.

        Args:
            hopeless: the HTTP codes after which trying again cannot help.
        """
        import requests

        try:
            yield
        except ApicalError:
            raise
        except requests.HTTPError as error:
            raise _of_status(error.response, hopeless) from None
        except (requests.RequestException, OSError):
            raise Unreachable("the PACS cannot be reached, or broke off") from None
        except Exception:  # of parsing what nobody has checked; its text would quote that
            raise Unreachable(_UNREADABLE) from None


def _stay(response: Any, **_: Any) -> None:
    """Called by requests before it would follow a redirection."""
    if 300 <= response.status_code < 400:
        raise Unreachable(
            f"the PACS sends us elsewhere (HTTP {response.status_code}), where we do not go",
            "give the very address of its DICOMweb services",
        )


def _of_status(response: Any, hopeless: tuple[int, ...]) -> CannotDo:
    """What an HTTP code of failure means for us."""
    code = int(response.status_code)
    if code in (401, 403):
        return Unreachable(f"the PACS does not let us in (HTTP {code})", f"check {CREDENTIALS}")
    if code in hopeless:
        try:
            reasons = _reasons(pydicom.Dataset.from_json(response.json()))
        except Exception:  # an answer without reasons
            reasons = []
        if not reasons:
            return Hopeless(f"the PACS refuses it (HTTP {code})")
        return _refused(reasons) or Unreachable(f"the PACS could not store it ({_hex(reasons)})")
    problem = Unreachable(f"the PACS could not do it (HTTP {code})")
    after = response.headers.get("Retry-After", "")
    problem.after = min(RETRY_AFTER, float(after)) if after.isdecimal() else 0.0
    return problem


def _reasons(stored: Any) -> list[int]:
    """The failure reasons in the answer to a STOW (PS3.18 10.5.3)."""
    return [
        int(item.FailureReason) for item in stored.get("FailedSOPSequence") or () if "FailureReason" in item
    ]


def _refused(reasons: list[int]) -> Hopeless | None:
    """The error where a server says that it will never have a document; None if that may pass."""
    if any(code >> 8 == 0xA9 or code >> 12 == 0xC or code in _REFUSALS for code in reasons):
        return Hopeless(f"the PACS refuses it ({_hex(reasons)})")
    return None


def _hex(reasons: list[int]) -> str:
    return "reason " + ", ".join(f"0x{code:04X}" for code in reasons)


def _value(record: Any, tag: str) -> Any:
    """The first value of an element of DICOM JSON (PS3.18 F.2), or None."""
    values = record.get(tag, {}).get("Value") or [None]
    return values[0]


def _in_time(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks of an answer, which may be slow but not endless."""
    ends = time.monotonic() + MOST_SECONDS
    for block in blocks:
        if time.monotonic() > ends:
            raise Unreachable("the PACS is too slow")
        yield block
