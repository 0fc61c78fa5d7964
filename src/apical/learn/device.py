"""Where training runs: lightning-fabric, with one clear line where a device is not there."""

from __future__ import annotations

import atexit
import logging
import os
from typing import Literal

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from apical.errors import CannotDo, WrongCall

PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


def fabric_on(accelerator: str, precision: str = "32", *, shared: bool = False) -> Fabric:
    """One device of the wanted kind, or this process's one of those that torchrun shares out.

    Args:
        accelerator: auto, cpu or cuda.
        precision: 32, bf16 or 16 bits; weights stay in 32.
        shared: several processes may share the work; otherwise it is an error that there are several.

    Raises:
        CannotDo: this machine has no such device, or it cannot do this precision.
        WrongCall: torchrun started several processes, and the work is not `shared`.
    """
    local, processes = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if processes > 1 and not shared:
        raise WrongCall("this verb is for one process", "call it without torchrun")
    if precision == "16" and (accelerator == "cpu" or not torch.accelerator.is_available()):
        raise CannotDo("a CPU cannot train in 16-bit floats", "use --precision bf16 or 32")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells what was asked for
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=local,
            num_nodes=processes // local,
            strategy="ddp" if processes > 1 else "auto",
            precision=PRECISION[precision],
        )
    except (RuntimeError, MisconfigurationException):  # Fabric's words for accelerators that are not there
        raise CannotDo(
            f"there is no '{accelerator}' device on this machine, or fewer than processes",
            "use --accelerator auto, or fewer processes",
        ) from None
    torch.backends.cudnn.deterministic = True  # else the same seed gives other weights on a GPU
    fabric.launch()
    if processes > 1:
        atexit.register(_leave)  # else its threads may abort the process while it ends
    return fabric


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
