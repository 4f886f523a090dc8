"""This package against the compiled runtimes: `measure` alternates, `worker` is the measured process."""
