"""Settings of encoders: one class a kind, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from apical.config.base import Settings


class ResNetSettings(Settings):
    """A residual network for one grey frame."""

    kind: Literal["resnet"] = "resnet"
    depth: Literal[10, 18, 34, 50] = 10
    width: int = Field(32, ge=4, description="channels of the first stage; 64 is the published one")
    stem_stride: Literal[2, 4] = Field(4, description="2 for inputs of 64 pixels, 4 for larger")
    norm: Literal["batch", "group"] = Field("batch", description="group: a crop's output is its own alone")


class ViTSettings(Settings):
    """A vision transformer for one grey frame; as it stands, ViT-tiny."""

    kind: Literal["vit"] = "vit"
    patch: int = Field(8, ge=2, description="side of a patch in pixels; it must divide the input size")
    width: int = Field(192, ge=8, description="of a token; a multiple of heads")
    layers: int = Field(12, ge=1)
    heads: int = Field(3, ge=1)


class TimmSettings(Settings):
    """A network of the timm library (apical[timm]), its first layer made for one grey channel."""

    kind: Literal["timm"] = "timm"
    name: str = Field(description="as timm knows it, such as resnet18 or convnext_tiny")


FrameEncoderSettings = Annotated[
    Annotated[ResNetSettings, Tag("resnet")]
    | Annotated[ViTSettings, Tag("vit")]
    | Annotated[TimmSettings, Tag("timm")],
    Discriminator(lambda value: _kind(value)),
]


class ClipEncoderSettings(Settings):
    """Frames of a clip together: a frame encoder, and attention over its features in time."""

    kind: Literal["clip"] = "clip"
    of_frame: FrameEncoderSettings = ResNetSettings()
    frames: int = Field(4, ge=2, description="frames it looks at together")
    layers: int = Field(1, ge=1)
    heads: int = Field(4, ge=1)


EncoderSettings = Annotated[
    Annotated[ResNetSettings, Tag("resnet")]
    | Annotated[ViTSettings, Tag("vit")]
    | Annotated[TimmSettings, Tag("timm")]
    | Annotated[ClipEncoderSettings, Tag("clip")],
    Discriminator(lambda value: _kind(value)),
]


def _kind(value: Any) -> str | None:
    """What kind of network settings are of; a residual one where they do not say."""
    kind = value.get("kind", "resnet") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


def check_patches(encoder: EncoderSettings, size: int) -> None:
    """Raise a ValueError where the patches of a vision transformer do not divide the input."""
    of_frame = encoder.of_frame if isinstance(encoder, ClipEncoderSettings) else encoder
    if isinstance(of_frame, ViTSettings) and size % of_frame.patch:
        raise ValueError(f"input_size {size} is no multiple of the patch of {of_frame.patch}")


def encoder_settings(values: dict[str, Any]) -> EncoderSettings:
    """Settings of a network from what `model_dump` made of them; raises pydantic's ValidationError."""
    settings: EncoderSettings = TypeAdapter(EncoderSettings).validate_python(values)
    return settings
