"""The process that holds one model: its sandbox, its state, its agents, and the socket for users.

A request is one line of JSON, ``{"op": NAME, ...}``; the answer is one line, either
``{"result": …}`` or ``{"error": TEXT}``. Every connection carries one request.
"""

from lab.controller.server import main

__all__ = ["main"]
