"""Where training runs: lightning-fabric, with one clear line where a device is not there."""

from __future__ import annotations

from typing import Literal

from lightning_fabric import Fabric

from apical.errors import CannotDo

PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}


def fabric_on(accelerator: str, precision: str = "32") -> Fabric:
    """One device of the wanted kind.

    Raises:
        CannotDo: this machine has no such device.
    """
    try:
        return Fabric(accelerator=accelerator, devices=1, precision=PRECISION[precision])
    except RuntimeError:  # Fabric's word for an accelerator that is not available
        raise CannotDo(
            f"there is no '{accelerator}' device on this machine", "use --accelerator auto"
        ) from None
