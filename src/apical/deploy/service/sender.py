"""Sending a document by C-STORE (PS3.4 B), for a PACS that knows no DICOMweb."""

from __future__ import annotations

import io
import logging

import pydicom

from apical.deploy.service.dicomweb import DUPLICATE, Hopeless, Unreachable
from apical.errors import CannotDo


def send_by_store(
    document: bytes, *, host: str, port: int, called: str, calling: str = "APICAL", seconds: float = 60.0
) -> None:
    """Send a DICOM file; that it is there already is as good.

    Args:
        document: the bytes of the file.
        host, port, called: address and AE title of the PACS.
        calling: our AE title.
        seconds: most time to connect, and to wait for an answer.

    Raises:
        Unreachable: it did not arrive, but may later.
        Hopeless: the PACS will not have it.
        CannotDo: pynetdicom is not installed.
    """
    try:
        from pynetdicom import AE, _config
    except ImportError:
        raise CannotDo(
            "sending by C-STORE needs pynetdicom, which is not installed",
            "install it with: pip install 'apical[dicom-net]'",
        ) from None
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    dataset = pydicom.dcmread(io.BytesIO(document))
    entity = AE(ae_title=calling)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = seconds
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    try:
        association = entity.associate(host, port, ae_title=called)
        if not association.is_established:
            raise Unreachable("the PACS takes no association, or not this kind of document")
        try:
            status = int(association.send_c_store(dataset).get("Status", -1))
        finally:
            association.release()
    except (OSError, RuntimeError, ValueError):  # of a connection that is gone; no context is accepted
        raise Unreachable("the PACS cannot be reached, or takes no such document") from None
    if status in (0x0000, DUPLICATE) or status >> 8 == 0xB0:  # B0xx: stored, with a warning
        return
    if status >> 8 == 0xA9 or status >> 12 == 0xC or status in (0x0117, 0x0122):
        raise Hopeless(f"the PACS refuses it (status 0x{status:04X})")
    raise Unreachable("the PACS did not store it" + (f" (status 0x{status:04X})" if status >= 0 else ""))
