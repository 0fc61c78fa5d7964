"""Runtimes: what computes a bundle's network here, and which of them is taken.

On a GPU it is torch. On a CPU it is the first that is installed of onnxruntime, OpenVINO and torch, on the
network as it was exported; the first two need no torch, whose import alone takes longer than an answer. A
runtime is believed only after it has answered the probe as torch did (`parity`); else the next one is taken.

Answers are in 32 bits unless bf16 is asked for. docs/benchmarks.md has the speed, and what bf16 and int8
cost, by `benchmarks/export.py`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from apical.deploy.parity import INPUT, KEY, NAMES, TOLERANCE, Outputs, Record, gap, probe_frames
from apical.errors import CannotDo, WrongCall

if TYPE_CHECKING:
    from apical.learn.classifier import Classifier

DEVICES = ("auto", "cpu", "cuda")
RUNTIMES = ("auto", "onnxruntime", "openvino", "torch")
EXPORTED = {"f32": ("onnxruntime", "openvino"), "bf16": ("openvino",)}  # by precision, the fastest first
WINDOWS_AT_ONCE = 32  # more are no faster on a CPU, and take more memory


class NetworkOutputs(NamedTuple):
    """What a network says of w windows.

    Attributes:
        features: (w, d) float32.
        logits: (w, k) float32; -1e4 for views that were not taught.
        agent: (w,) float32, the logit of contrast agent; NaN where that was not taught.
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    agent: NDArray[np.float32]


class Runtime(Protocol):
    """Frames of windows (w, t, s, s) uint8, w ≥ 1 → `NetworkOutputs`. Not for several threads at a time."""

    @property
    def precision(self) -> str:
        """Such as ``f32``."""
        ...

    @property
    def name(self) -> str:
        """Such as ``onnxruntime (cpu, f32)``."""
        ...

    def __call__(self, frames: NDArray[np.uint8], /) -> NetworkOutputs:
        """The answers for these frames."""
        ...


@dataclass(frozen=True)
class Exported:
    """An exported network in some runtime.

    Attributes:
        library: which runtime.
        precision: ``f32``, ``bf16`` or ``int8``.
        record: what the model says of itself.
        run: (w, t, s, s) uint8 → features, logits, agent.
    """

    library: str
    precision: str
    record: Record
    run: Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]

    @property
    def name(self) -> str:
        """Runtime, device and precision."""
        return f"{self.library} (cpu, {self.precision})"

    def __call__(self, frames: NDArray[np.uint8], /) -> NetworkOutputs:
        """The answers, some windows at a time."""
        parts = [
            self.run(np.ascontiguousarray(frames[start : start + WINDOWS_AT_ONCE]))
            for start in range(0, len(frames), WINDOWS_AT_ONCE)
        ]
        return NetworkOutputs(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def onnx_runtime(model: bytes, threads: int | None = None) -> Exported:
    """An exported network in onnxruntime, on the CPU.

    Args:
        model: what `export_onnx` or `quantise` gave.
        threads: for one call; None: as many as there are cores.

    Raises:
        CannotDo: onnxruntime is not installed or cannot load the model, or it is no export of apical.
    """
    onnxruntime = needed("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        record = Record.of(session.get_modelmeta().custom_metadata_map)
    except CannotDo:
        raise
    except Exception as error:  # a dozen classes without a common one
        raise _cannot_load("onnxruntime", error) from None
    return Exported(
        "onnxruntime", record.precision, record, lambda frames: session.run(NAMES, {INPUT: frames})
    )


def openvino_runtime(model: bytes, precision: str = "f32", threads: int | None = None) -> Exported:
    """An exported network in OpenVINO, on the CPU.

    Args:
        model: what `export_onnx` or `quantise` gave.
        precision: f32 or bf16, where the model is not in int8. OpenVINO by itself takes bf16 wherever the CPU
            has it.
        threads: for one call; None: as many as there are cores.

    Raises:
        CannotDo: OpenVINO is not installed or cannot load the model, or it is no export of apical.
    """
    openvino = import_openvino()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        core = openvino.Core()
        read = core.read_model(model, b"")
        record = Record.of(_openvino_metadata(read))
        compiled = core.compile_model(read, "CPU", settings)
        places = [compiled.output(name) for name in NAMES]
    except RuntimeError as error:
        raise _cannot_load("OpenVINO", error) from None

    def run(frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        found = compiled(frames)
        return [found[place] for place in places]

    return Exported("openvino", precision if record.precision == "f32" else record.precision, record, run)


def _openvino_metadata(model: Any) -> Mapping[str, str]:
    path = ["framework", KEY]  # where OpenVINO puts what it finds in ONNX
    return {KEY: str(model.get_rt_info(path).value)} if model.has_rt_info(path) else {}


def import_openvino() -> Any:
    """OpenVINO without its telemetry.

    As of 2026.4 the import alone sends an event to its maker and writes an id into the home folder, unless
    its package for that is missing. So it is made to seem missing to this process.

    Raises:
        CannotDo: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return needed("openvino")


def needed(name: str) -> Any:
    """A package that only some need.

    Raises:
        CannotDo: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise CannotDo(f"{name} is not installed", "install it: pip install 'apical[openvino]'") from None


def _cannot_load(name: str, error: Exception) -> CannotDo:
    return CannotDo(
        f"{name} cannot load the exported network ({type(error).__name__})", "export it anew from its bundle"
    )


def choose_runtime(
    *,
    onnx: bytes | None,
    classifier: Callable[[], Classifier],
    input_size: int,
    frame_size: int,
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "f32",
    threads: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Runtime:
    """The fastest runtime that answers rightly here.

    Args:
        onnx: the exported network; None if there is none.
        classifier: gives the classifier; called only where torch is taken, which may move it to a GPU.
        input_size: side of the network's input in pixels.
        frame_size: side of the frames that will be given.
        device: auto, cpu or cuda. Auto is a GPU where torch has one.
        runtime: auto, or the only one to take: onnxruntime, openvino or torch.
        precision: f32, or bf16 where torch or OpenVINO can be taken.
        threads: for one call, of torch for this whole process; None: as each would by itself.
        tell: is given a line for each runtime that is installed here and was passed over.

    Raises:
        WrongCall: there is no such device, runtime or precision, or they do not go together.
        CannotDo: what was asked for is not there, or does not answer as it should.
    """
    _check_call(device, runtime, precision)
    ways: list[tuple[str, Callable[[], Runtime]]] = []
    torch_too = runtime in ("auto", "torch")
    if torch_too and (device == "cuda" or (device == "auto" and has_gpu_driver())):
        ways.append(("torch on the GPU", partial(_on_gpu, classifier, input_size, frame_size, precision)))
    if device != "cuda":
        ways += [
            (name, partial(_exported, name, onnx, input_size, frame_size, precision, threads))
            for name in EXPORTED[precision]
            if runtime == name or (runtime == "auto" and onnx is not None and is_installed(name))
        ]
        if torch_too:
            ways.append(("torch", partial(_torch, classifier, input_size, "cpu", precision, threads)))
    for name, start in ways[:-1]:
        try:
            return start()
        except CannotDo as problem:
            tell(f"{name} is passed over: {problem.what}")
    return ways[-1][1]()


def _check_call(device: str, runtime: str, precision: str) -> None:
    for given, known in ((device, DEVICES), (runtime, RUNTIMES), (precision, tuple(EXPORTED))):
        if given not in known:
            raise WrongCall(f"there is no '{given}' among {', '.join(known)}", "choose one of these")
    if runtime in ("onnxruntime", "openvino"):
        if device == "cuda":
            raise WrongCall(f"{runtime} is used on the CPU only", "choose torch for a GPU")
        if runtime not in EXPORTED[precision]:
            raise WrongCall(f"{runtime} has no {precision}", "choose openvino or torch, or f32")


def _exported(
    name: str, onnx: bytes | None, input_size: int, frame_size: int, precision: str, threads: int | None
) -> Exported:
    """The exported network in this runtime, if it answers as torch did.

    Raises:
        CannotDo: it does not, or cannot be loaded.
    """
    if onnx is None:
        raise CannotDo(f"there is no exported network for {name}", "make it with 'apical export'")
    made = (
        onnx_runtime(onnx, threads) if name == "onnxruntime" else openvino_runtime(onnx, precision, threads)
    )
    if (made.record.input_size, made.record.frame_size) != (input_size, frame_size):
        raise CannotDo("the exported network is for frames of another size", "export it anew from its bundle")
    probe = probe_frames(made.record.frames, frame_size)
    _check(made, probe, made.record.outputs, TOLERANCE[made.precision])
    return made


def _on_gpu(
    classifier: Callable[[], Classifier], input_size: int, frame_size: int, precision: str
) -> Runtime:
    """Torch on the GPU, if it answers as torch does on the CPU.

    Raises:
        CannotDo: it does not, or there is no GPU.
    """
    network = classifier()
    probe = probe_frames(network.encoder.frames, frame_size)
    expected = _torch(lambda: network, input_size, "cpu", "f32")(probe)
    made = _torch(lambda: network, input_size, "cuda", precision)
    _check(made, probe, expected, TOLERANCE[precision])
    return made


def _torch(
    classifier: Callable[[], Classifier],
    input_size: int,
    device: str,
    precision: str,
    threads: int | None = None,
) -> Runtime:
    from apical.deploy.torch_runtime import torch_runtime  # here, since its import takes seconds

    return torch_runtime(classifier(), input_size, device, precision, threads)


def _check(runtime: Runtime, probe: NDArray[np.uint8], expected: Outputs, tolerance: float) -> None:
    """Refuse a runtime that answers the probe otherwise.

    Raises:
        CannotDo: it does, or cannot answer.
    """
    try:
        off = gap(runtime(probe), expected)
    except Exception as error:  # whatever a runtime raises
        raise CannotDo(f"it cannot answer ({type(error).__name__})", "choose another --runtime") from None
    if not off <= tolerance:
        raise CannotDo(
            f"its answers are {off:.2g} off those that torch gave, more than {tolerance:.2g}",
            "choose another --runtime, or export the network anew from its bundle",
        )


def is_installed(name: str) -> bool:
    """Whether a package is there; it is not imported."""
    return find_spec(name) is not None


def has_gpu_driver() -> bool:
    """Whether this machine has NVIDIA's driver; asked without torch, whose import takes seconds."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
