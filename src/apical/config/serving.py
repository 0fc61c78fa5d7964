"""Settings of the service: where it listens, who may ask, and how much it takes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from apical.config.base import Settings

SHORTEST_TOKEN = 16  # characters


class ReceiverSettings(Settings):
    """Where DICOM objects may be sent to by C-STORE."""

    host: str = Field("127.0.0.1", min_length=1, description="where it listens")
    port: int = Field(11112, ge=0, le=65535, description="0 = any that is free")
    title: str = Field("APICAL", description="our AE title")
    calling: tuple[str, ...] = Field((), description="AE titles that may send; none = all")
    hosts: tuple[str, ...] = Field((), description="addresses (IP) that may connect; none = all")
    associations: int = Field(16, ge=1, description="at a time")


class PacsSettings(Settings):
    """A PACS with DICOMweb, whose new ultrasound is looked for. Credentials come from the environment."""

    url: str = Field(description="of its DICOMweb services, such as https://pacs/dicom-web")
    every: float | None = Field(30, gt=0, description="seconds between two looks; none = only upon notice")
    days: int | None = Field(2, ge=0, description="studies so many days old are looked at; none = all")
    certificates: Path | None = Field(None, description="to be trusted instead of the usual ones")


class ReplySettings(Settings):
    """A DICOM node that reports are sent to by C-STORE, instead of by DICOMweb."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    title: str = Field(min_length=1, max_length=16, description="its AE title")


class ListenSettings(Settings):
    """Where a server listens, who may call, and how often."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="where it listens; beyond loopback needs a token"
    )
    port: int = Field(8080, ge=0, le=65535, description="0 = any that is free")
    token: SecretStr | None = Field(
        None, description="who calls must know it; beyond loopback one is made if none is given"
    )
    idle_seconds: float = Field(30, gt=0, description="a client that is silent for longer is hung up on")
    requests_per_second: float = Field(100, gt=0, description="of a client's address, over time")
    burst: int = Field(400, ge=1, description="requests of a client's address at once")
    connections: int = Field(512, ge=1, description="at a time; fewer where fewer files may be open")
    connections_per_client: int = Field(
        256, ge=1, description="of one address at a time; behind a proxy all have the proxy's"
    )

    @field_validator("token")
    @classmethod
    def _token_is_long(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value() if token else None
        if text is not None and (len(text) < SHORTEST_TOKEN or not text.isascii() or not text.isprintable()):
            raise ValueError(f"must have {SHORTEST_TOKEN} or more characters of ASCII")
        if text is not None and " " in text:
            raise ValueError("must have no spaces")
        return token


class ServeSettings(ListenSettings):
    """How answers are served. See docs/deployment.md."""

    workers: int = Field(1, ge=1, le=256, description="processes that answer, each with its own network")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the network runs")
    precision: Literal["f32", "bf16"] = Field("f32", description="of torch and OpenVINO; bf16 is quicker")
    seconds_per_item: float = Field(120, gt=0, description="an answer that takes longer counts as a crash")
    memory_mb: int = Field(4096, ge=512, description="most memory a process may ask for, on top of its start")

    file_mb: int = Field(2048, ge=1, description="most megabytes a file, as sent or as unpacked")
    files_per_request: int = Field(500, ge=1, description="most files a request, those in archives too")
    request_mb: int = Field(4096, ge=1, description="most megabytes a request, as sent and as unpacked")
    uploads: int = Field(64, ge=1, description="requests that may send files at a time")
    upload_seconds: float = Field(1800, gt=0, description="a request that sends for longer is ended")
    unpack_seconds: float = Field(300, gt=0, description="archives of a request that take longer are refused")
    waiting_items: int = Field(10_000, ge=1, description="files that may wait for their answer at a time")
    waiting_mb: int = Field(20_480, ge=1, description="megabytes that may wait at a time")

    receiver: ReceiverSettings | None = None
    pacs: PacsSettings | None = None
    reply: ReplySettings | None = None

    keep_days: float = Field(7, gt=0, description="answers and previews are forgotten after so long")
    kept_items: int = Field(100_000, ge=1, description="answers kept; the oldest jobs are forgotten first")
    previews_mb: int = Field(2048, ge=1, description="megabytes of previews kept; the oldest go first")
    shutdown_seconds: float = Field(
        20, ge=0, description="what runs may go on for so long when it is stopped"
    )

    @model_validator(mode="after")
    def _one_request_fits(self) -> ServeSettings:
        if self.files_per_request > self.waiting_items:
            raise ValueError("files_per_request must not be above waiting_items")
        if self.files_per_request > self.kept_items:
            raise ValueError("files_per_request must not be above kept_items")
        return self
