# Read by Python before the emulator starts. After a thousand requests its HTTP server closes a connection over HTTP/2 and
# forgets the answers it still owes on it, for which a client then waits until it has waited for long enough.
try:
    from hypercorn.config import Config
except ImportError:
    pass  # The Python of a function.
else:
    Config.keep_alive_max_requests = 1_000_000_000
