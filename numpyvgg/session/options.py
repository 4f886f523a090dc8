"""How a session is to run, under ONNX Runtime's names: options, providers, and which of them can be honoured here."""

from __future__ import annotations

import enum
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from ..errors import ArgumentError, whole_number
from ..kernels import MOST_THREADS
from ..version import __version__

PROVIDER = "CPUExecutionProvider"


class GraphOptimizationLevel(enum.IntEnum):
    """How much ONNX Runtime may rewrite a graph; here the steps are the same on every level."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Whether ONNX Runtime runs independent nodes at the same time; here one node follows the other."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class RunOptions:
    """Options of one run: accepted, and without effect here, for they are about logging and memory."""

    def __init__(self) -> None:
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = True
        self.terminate = False
        self.training_mode = False
        self._entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Remembered and ignored."""
        self._entries[key] = value

    def get_run_config_entry(self, key: str) -> str:
        """What `add_run_config_entry` was given."""
        if key not in self._entries:
            raise ArgumentError(f"run options have no entry {key!r}")
        return self._entries[key]


class SessionOptions:
    """Options of a session, under ONNX Runtime's names.

    `intra_op_num_threads` has its effect. The others are about speed, memory and logging, and can be ignored safely;
    those that promise something else are refused when the session is made.

    The entry ``numpyvgg.conv`` says how convolutions are computed, as the argument `conv` of `VGG.from_onnx` does:
    ``options.add_session_config_entry("numpyvgg.conv", "winograd")``.
    """

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.execution_order = 0
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.enable_profiling = False
        self.profile_file_prefix = "onnxruntime_profile_"
        self.optimized_model_filepath = ""
        self._entries: dict[str, str] = {}
        self._complete = True

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse what is no option: a name that is misspelt would change nothing."""
        if getattr(self, "_complete", False) and name not in vars(self):
            raise AttributeError(f"SessionOptions has no option {name!r}")
        super().__setattr__(name, value)

    @property
    def threads(self) -> int | None:
        """`intra_op_num_threads`, where it says how many: 0 and -1 leave the choice."""
        number = whole_number("intra_op_num_threads", self.intra_op_num_threads, -sys.maxsize, MOST_THREADS)
        return number if number > 0 else None

    def add_provider(self, name: str, options: dict[str, str]) -> None:
        """Accepted and ignored: NumPy computes on the CPU."""

    def has_providers(self) -> bool:
        return False

    @property
    def conv(self) -> str | None:
        """How convolutions are computed: ``im2col``, ``winograd`` or ``textbook``; None: by the rule."""
        return self._entries.get("numpyvgg.conv")

    @property
    def entries(self) -> dict[str, str]:
        """All that `add_session_config_entry` was given."""
        return dict(self._entries)

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Accepted and remembered; only ``numpyvgg.conv`` has an effect."""
        self._entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """What `add_session_config_entry` was given."""
        if key not in self._entries:
            raise ArgumentError(f"session options have no entry {key!r}")
        return self._entries[key]

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Accepted and ignored: a dimension takes whatever size comes in."""

    def add_free_dimension_override_by_denotation(self, denotation: str, size: int) -> None:
        """Accepted and ignored: a dimension takes whatever size comes in."""

    def register_custom_ops_library(self, path: str) -> NoReturn:
        """Refused: such libraries are compiled against ONNX Runtime."""
        raise ArgumentError(f"{path}: custom operators are compiled for ONNX Runtime and cannot be run here")

    def add_initializer(self, name: str, value: Any) -> NoReturn:
        """Refused: weights come from the model."""
        raise ArgumentError(f"an initializer ({name!r}) cannot be added here; store it in the model")

    def add_external_initializers(self, names: Any, values: Any) -> NoReturn:
        """Refused: weights come from the model."""
        raise ArgumentError("initializers cannot be added here; store them in the model")


def get_available_providers() -> list[str]:
    """The CPU is all there is."""
    return [PROVIDER]


def get_all_providers() -> list[str]:
    """As `get_available_providers`."""
    return [PROVIDER]


def get_device() -> str:
    """What ONNX Runtime's build for CPUs answers."""
    return "CPU"


def set_default_logger_severity(severity: int) -> None:
    """Accepted and ignored: nothing is logged here."""


def set_default_logger_verbosity(verbosity: int) -> None:
    """Accepted and ignored: nothing is logged here."""


def set_seed(seed: int) -> None:
    """Accepted and ignored: nothing here is drawn at random."""


def disable_telemetry_events() -> None:
    """Accepted: there are none."""


def enable_telemetry_events() -> None:
    """Accepted and ignored: nothing is sent anywhere."""


def get_version_string() -> str:
    """The version of this package."""
    return __version__


def get_build_info() -> str:
    """What computes here."""
    return f"numpyvgg {__version__}, NumPy {np.__version__}"


def preload_dlls(*arguments: Any, **options: Any) -> None:
    """Accepted and ignored: there are none."""


def check_providers(providers: str | Sequence[str | tuple[str, dict[str, Any]]] | None) -> None:
    """Warn of providers that are not there; the CPU computes whether it is among them or not, as in ONNX Runtime."""
    providers = [providers] if isinstance(providers, str) else providers or [PROVIDER]
    if not isinstance(providers, Iterable):
        raise ArgumentError(f"providers={providers!r}: give a list of names, as [{PROVIDER!r}]")
    for provider in providers:
        name = provider[0] if isinstance(provider, tuple | list) and provider else provider
        if not isinstance(name, str):
            raise ArgumentError(f"provider {provider!r}: give its name, as {PROVIDER!r}, or (name, options)")
        if name != PROVIDER:
            warnings.warn(f"provider {name!r} is not available here; {PROVIDER!r} is used", stacklevel=3)


def check_options(options: SessionOptions) -> None:
    if not isinstance(options, SessionOptions):
        made = f"{type(options).__module__}.{type(options).__name__}"
        raise ArgumentError(f"sess_options is a {made}, and has to be a {SessionOptions.__module__}.SessionOptions")
    unknown = [key for key in options.entries if str(key).startswith("numpyvgg.") and key != "numpyvgg.conv"]
    if unknown:
        raise ArgumentError(f"the entry {unknown[0]!r} has no meaning here; there is 'numpyvgg.conv'")
    if options.optimized_model_filepath:
        raise ArgumentError("optimized_model_filepath is set, but no optimised model is written here")
