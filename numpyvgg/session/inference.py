"""A session: a graph, its steps for any choice of tensors, and one run of them."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NoReturn

import numpy as np

from ..errors import ArgumentError, NotPickled, UnsupportedModelError, reported_as_ours, whole_number
from ..files.caffe import read_model
from ..files.onnx import ModelMetadata, OnnxModel, SerializableModel, ValueInfo
from ..files.tensor import to_bfloat16
from ..kernels import operations
from ..kernels.threads import available_cores, one_blas_thread
from ..operators import Operator
from .exceptions import InvalidArgument, as_onnxruntime
from .options import PROVIDER, RunOptions, SessionOptions, check_options, check_providers
from .plan import Planner, Step
from .profile import Profile
from .values import IOBinding, OrtValue, type_name


class NodeArg:
    """An input or output.

    Attributes
    ----------
    name : str
    shape : list
        An int for a fixed dimension, a str for a named one, None for one that is not given.
    type : str
        ``tensor(float)``, ``tensor(int64)``, ...
    """

    def __init__(self, value: ValueInfo):
        self.name = value.name
        self.shape = list(value.shape or ())
        self.type = type_name(value.dtype)

    def __repr__(self) -> str:
        return f"NodeArg(name={self.name!r}, type={self.type!r}, shape={self.shape})"


class InferenceSession(NotPickled):
    """A network that is ready to run.

    Parameters
    ----------
    path_or_bytes : path, bytes, onnx.ModelProto or OnnxModel
    sess_options : SessionOptions, optional
    providers : list of str or of (str, dict), optional
        The CPU computes, whatever is among them; others are passed over with a warning, as ONNX Runtime does.
    provider_options : list of dict, optional
        Ignored.
    max_bytes : int, optional
        The largest tensor that a node may make; a file of a hundred bytes can ask for terabytes. When left out, half of
        the memory that the machine has, its container grants, or ``ulimit -v`` allows.
    **kwargs
        What ONNX Runtime takes besides (`disabled_optimizers`, `enable_fallback`, ...): ignored.

    Raises
    ------
    All of them are ONNX Runtime's exceptions too, see `exceptions`.

    ModelFormatError
        The file is missing or damaged, or its graph is none: attributes, types or shapes are not what the operators
        allow.
    UnsupportedModelError
        The network has operators that are not available; all of them are named, with their nodes. Or a tensor would
        be larger than `max_bytes`.
    ArgumentError
        An option asks for what cannot be had here.

    Examples
    --------
    >>> session = InferenceSession("model.onnx")  # doctest: +SKIP
    >>> (probabilities,) = session.run(None, {session.get_inputs()[0].name: images})  # doctest: +SKIP
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes | SerializableModel | OnnxModel,
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, dict[str, Any]]] | None = None,
        provider_options: Sequence[dict[str, Any]] | None = None,
        *,
        max_bytes: int | None = None,
        **kwargs: Any,
    ):
        self._options = options = SessionOptions() if sess_options is None else sess_options
        with as_onnxruntime("a session"):
            check_providers(providers)
            check_options(options)
            if max_bytes is not None:
                max_bytes = whole_number("max_bytes", max_bytes, 1)
            self._model = path_or_bytes if isinstance(path_or_bytes, OnnxModel) else read_model(path_or_bytes)
        with as_onnxruntime(self._model.path):
            for value in self._model.inputs:
                if value.dtype is None:
                    self._fail(f"input {value.name!r} has a type that NumPy does not have", UnsupportedModelError)
            self._planner = Planner(self._model, partial(operations, options.conv, options.threads), max_bytes)
        self._one_thread = (options.threads or available_cores()) == 1
        self._profile = Profile() if options.enable_profiling else None
        self._steps: dict[tuple[frozenset[str], frozenset[str]], list[Step]] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ what it is

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that `run` has to be given."""
        return [NodeArg(value) for value in self._model.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs that `run` returns when it is asked for none by name."""
        return [NodeArg(value) for value in self._planner.outputs]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """The initializers that are listed as inputs: `run` may be given other values for them."""
        return [NodeArg(self._initializer(name)) for name in self._model.overridable]

    def get_providers(self) -> list[str]:
        """The CPU is all there is."""
        return [PROVIDER]

    def set_providers(
        self, providers: Sequence[str | tuple[str, dict[str, Any]]] | None = None, provider_options: Any = None
    ) -> None:
        """Accepted: the CPU computes as before; others are passed over with a warning."""
        check_providers(providers)

    def disable_fallback(self) -> None:
        """Accepted and ignored: there is nothing to fall back to."""

    def enable_fallback(self) -> None:
        """Accepted and ignored: there is nothing to fall back to."""

    def get_modelmeta(self) -> ModelMetadata:
        """What the model says of itself; exporters put labels and sizes into its `custom_metadata_map`."""
        return self._model.metadata

    def textbook_convolutions(self) -> list[str]:
        """Names of the convolutions that run by the definition, slowly; ONNX Runtime has no such method.

        All others run by the kernels. A node without a name is named by its output. The kernels prepare a weight once,
        so it has to be fixed: one that the graph computes from its inputs is not, nor one that is overridden.
        """
        return self._planner.textbook_convolutions(self._steps_for([v.name for v in self._model.outputs], frozenset()))

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """The CPU has none."""
        return {PROVIDER: {}}

    def get_session_options(self) -> SessionOptions:
        """The options that the session was made with."""
        return self._options

    def _initializer(self, name: str) -> ValueInfo:
        stored = self._model.initializers.stored(name)
        return ValueInfo(name, stored.dtype.name, stored.dims)

    def _fail(self, reason: str, kind: type[Exception] = ArgumentError) -> NoReturn:
        raise kind(f"{self._model.path}: {reason}")

    # ------------------------------------------------------------------ one run

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[np.ndarray]:
        """Compute tensors of the graph.

        Parameters
        ----------
        output_names : sequence of str or None
            Any tensors of the graph by name, whether it lists them as outputs or not; None or none at all: its
            outputs. Only what they depend on is computed.
        input_feed : mapping of str to array_like
            An array for each input, of its dtype and shape; values for overridable initializers may be among them.
        run_options : RunOptions, optional
            Ignored.

        Returns
        -------
        list of ndarray
            In the order of `output_names`; each an array of its own.

        Raises
        ------
        ArgumentError
            A name does not exist, an input is missing or has another type or shape than the graph says, or the
            shapes do not go together at some node.
        """
        with as_onnxruntime(self._model.path):
            begin = time.perf_counter_ns()
            values = self._check_feed(input_feed)
            wanted = self._check_names(output_names) or [value.name for value in self._model.outputs]
            if not wanted:
                self._fail("no output is asked for, and the graph lists none")
            steps = self._steps_for(wanted, frozenset(values).difference(value.name for value in self._model.inputs))
            given = set(values)
            # Infinities and NaN are values, as they are in ONNX Runtime.
            with np.errstate(all="ignore"), self._blas_threads(steps):
                for step in steps:
                    self._run_step(step, values)
            if self._profile:
                self._profile.add("model_run", begin, "Session")
            return self._owned(wanted, values, given)

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue], run_options: Any = None
    ) -> list[OrtValue]:
        """As `run`, from values to values."""
        return [OrtValue(result) for result in self.run(output_names, input_dict_ort_values)]

    def io_binding(self) -> IOBinding:
        """Inputs and outputs that are bound once, for `run_with_iobinding`."""
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        """Run on the bound inputs; results go where the outputs are bound to, or to ``iobinding.get_outputs()``."""
        if not isinstance(iobinding, IOBinding) or not iobinding.outputs:
            raise InvalidArgument(f"{self._model.path}: run_with_iobinding needs an IOBinding with an output bound")
        results = self.run(list(iobinding.outputs), iobinding.inputs)
        with as_onnxruntime(self._model.path):
            iobinding.keep(results)

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[np.ndarray], Any, str], None],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """As `run`, in a thread of its own; the results go to ``callback(results, user_data, error)``.

        `error` is the empty string where there is none.
        """

        if not callable(callback):
            raise InvalidArgument(f"run_async: callback is a {type(callback).__name__}, and has to be a function")

        def work() -> None:
            try:
                results, error = self.run(output_names, input_feed), ""
            except Exception as caught:  # who called is not there to catch it
                results, error = [], str(caught)
            callback(results, user_data, error)

        threading.Thread(target=work, name="numpyvgg-run").start()

    def get_profiling_start_time_ns(self) -> int:
        """When the profile began, on the clock of its own."""
        return self._profile.start if self._profile else 0

    def end_profiling(self) -> str:
        """Write the profile of all runs so far as a Chrome trace and return the file's name; "" without a profile."""
        if not self._profile:
            return ""
        profile, self._profile = self._profile, None
        return profile.write(self._options.profile_file_prefix)

    def _check_names(self, names: Any) -> list[str]:
        """The tensors that are asked for, if their names are names; whether they exist is for `_steps_for`."""
        if names is None or names is False:
            return []
        if isinstance(names, str | bytes) or not isinstance(names, Iterable):
            self._fail(f"output_names is {names!r}, and has to be a list of names")
        wanted = list(names)
        for name in wanted:
            if not isinstance(name, str):
                self._fail(f"invalid output name: {name!r}; the outputs are {[v.name for v in self._model.outputs]}")
        return wanted

    def _check_feed(self, feed: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The fed arrays, if they are what the graph asks for."""
        if not isinstance(feed, Mapping):
            names = ", ".join(f"{value.name!r}: array" for value in self._model.inputs)
            self._fail(f"input_feed is a {type(feed).__name__}, and has to be a dictionary: {{{names}}}")
        missing = [value.name for value in self._model.inputs if value.name not in feed]
        if missing:
            self._fail(f"required inputs ({missing}) are missing from input feed ({list(feed)})")
        expected = {value.name: value for value in self._model.inputs}
        values = {}
        for name, fed in feed.items():
            if name not in expected and name not in self._model.overridable:
                self._fail(f"invalid input name: {name!r}; the inputs are {list(expected)}")
            values[name] = self._check_value(fed, expected.get(name) or self._initializer(name))
        return values

    def _check_value(self, fed: Any, expected: ValueInfo) -> np.ndarray:
        name, shape = expected.name, expected.shape
        if fed is None:
            self._fail(f"input {name!r} is None, and has to be an array")
        if isinstance(fed, OrtValue):
            fed = fed.numpy()
        # Lists become what the input asks for, arrays have to be that already: both as ONNX Runtime has it.
        try:
            if expected.dtype == "bfloat16":  # an array of float32, or of ml_dtypes.bfloat16
                expected = ValueInfo(name, "float32", shape)
                fed = _rounded(fed)
            array = fed if isinstance(fed, np.ndarray | np.generic) else np.array(fed, expected.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            self._fail(f"input {name!r} cannot be made of a {type(fed).__name__}: {error}")
        array = np.asarray(array)
        if array.dtype != expected.dtype and (dtype := _dtype_name(array)) != expected.dtype:
            self._fail(
                f"unexpected input data type for {name!r}: actual {type_name(dtype)}, expected "
                f"{type_name(expected.dtype)}; convert it with .astype(np.{expected.dtype})"
            )
        if shape is not None and array.ndim != len(shape):
            self._fail(f"invalid rank for input {name!r}: got {list(array.shape)}, expected {list(shape)}")
        for index, size in enumerate(shape or ()):
            if isinstance(size, int) and size != array.shape[index]:
                self._fail(
                    f"invalid dimensions for input {name!r}: index {index}: got {array.shape[index]}, expected {size}"
                )
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def _steps_for(self, wanted: list[str], overridden: frozenset[str]) -> list[Step]:
        for name in wanted:
            if not self._planner.graph.knows(name):
                self._fail(f"invalid output name: {name!r}; the outputs are {[v.name for v in self._model.outputs]}")
        key = frozenset(wanted), overridden
        with self._lock:
            if key not in self._steps:
                self._steps[key] = self._planner.steps(*key)
            return self._steps[key]

    def _blas_threads(self, steps: list[Step]) -> AbstractContextManager[None]:
        """How many threads NumPy's BLAS has during a run: one, unless an operator that calls it may have more.

        The kernels keep it to one each time they work, and once for the whole run is quicker.
        """
        one = self._one_thread or self._planner.only_kernels_multiply(steps)
        return one_blas_thread if one else nullcontext()

    def _run_step(self, step: Step, values: dict[str, np.ndarray]) -> None:
        """Run one step and free the tensors that no later step reads."""
        inputs = [self._value(name, values) if name else None for name in step.inputs]
        begin = time.perf_counter_ns() if self._profile else 0
        try:
            outputs = step.run(*inputs)
        except UnsupportedModelError as error:
            self._fail(f"{step.nodes[0]}: {error}", UnsupportedModelError)
        except Exception as error:
            shapes = ", ".join("none" if array is None else f"{array.dtype}{list(array.shape)}" for array in inputs)
            place = f"{step.nodes[0]} cannot be run on {shapes}"
            if isinstance(error, ArgumentError):
                self._fail(f"{place}: {error}")
            with reported_as_ours(f"{self._model.path}: {place}"):
                raise
        if self._profile:
            name = "+".join(node.name or node.outputs[0] for node in step.nodes)
            op_name = "+".join(node.op_type for node in step.nodes)
            by = "operator" if isinstance(step.run, Operator) else "kernels"
            self._profile.add(f"{name}_kernel_time", begin, op_name=op_name, provider=PROVIDER, computed_by=by)
        rounded = self._planner.graph.bfloat16
        for name, output in zip(step.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
            values[name] = to_bfloat16(output) if name in rounded else _without_ballast(np.asanyarray(output))
        for name in step.last_uses:
            values.pop(name, None)

    def _value(self, name: str, values: dict[str, np.ndarray]) -> np.ndarray:
        value = values.get(name)
        return self._planner.graph.constant(name) if value is None else value  # type: ignore[return-value]

    def _owned(self, wanted: list[str], values: dict[str, np.ndarray], given: set[str]) -> list[np.ndarray]:
        """The values as arrays that the caller may change: nobody else's memory, and no two the same."""
        holders = Counter(map(id, values.values()))
        returned: set[str] = set()
        results = []
        for name in wanted:
            value = self._value(name, values)
            owned = value.base is None and value.flags.writeable and holders[id(value)] == 1
            results.append(value if owned and name not in given and name not in returned else np.array(value))
            returned.add(name)
        return results


def _dtype_name(array: np.ndarray) -> str:
    return "object" if array.dtype.kind in "US" else array.dtype.name


def _rounded(fed: Any) -> Any:
    """What is fed as bfloat16, as float32; other types are left for the check to refuse."""
    array = np.asarray(fed)
    known = not isinstance(fed, np.ndarray | np.generic) or array.dtype.name in ("float32", "bfloat16")
    return to_bfloat16(array.astype(np.float32)) if known else fed


def _without_ballast(value: np.ndarray) -> np.ndarray:
    """A copy in place of a small view that would keep a much larger array alive; everything else as it is."""
    base = value.base
    if isinstance(base, np.ndarray) and base.nbytes > 1 << 20 and base.nbytes > 4 * value.nbytes:
        return value.copy()
    return value
