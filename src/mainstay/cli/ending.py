"""What an error of a command becomes: one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from mainstay.cli.showing import show_error
from mainstay.errors import INTERRUPTED, MACHINE, MainstayError, MissingExtra

TRAIN_EXTRA = {"jinja2", "lightgbm", "onnx", "optuna", "pandas", "pyarrow", "skl2onnx", "sklearn", "skops", "xgboost"}
"""Modules that the default install leaves out."""


def ended(command: Callable[[], int], *, as_json: bool) -> int:
    """Runs a command in this process; gives its exit code, once its error is told where it ended with one."""
    try:
        code = command()
        sys.stdout.flush()
    except MainstayError as error:
        show_error(str(error), error.exit_code, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in TRAIN_EXTRA:
            raise
        needed = MissingExtra("This command", "train", missing)
        show_error(str(needed), needed.exit_code, as_json=as_json)
        return needed.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        show_error(_refused(error), MACHINE, as_json=as_json)
        return MACHINE
    if code == INTERRUPTED:
        show_error("Interrupted.", INTERRUPTED, as_json=as_json)
    return code


def _refused(error: OSError) -> str:
    """What the system refused, with the way out where there is one to tell."""
    ways = {
        errno.ENOSPC: "make room on that disk, then run it again",
        errno.EDQUOT: "make room within your quota, then run it again",
        errno.EACCES: "ask for the right to it, then run it again",
        errno.EPERM: "ask for the right to it, then run it again",
        errno.EROFS: "work in a folder that can be written",
        errno.EMFILE: "raise the limit of open files (ulimit -n), then run it again",
        errno.ENOMEM: "end other programs, then run it again",
    }
    assert error.errno is not None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{os.strerror(error.errno)}: {ways.get(error.errno, 'mend that, then run it again')}."
