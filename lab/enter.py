"""Run a command inside the namespaces of a user's own model: ``enter.py PID POD COMMAND…``.

Only a process with a single thread may enter a user namespace, so a client that is not root
starts this one. The command ends with it.
"""

import ctypes
import os
import signal
import sys

NETWORK = 0x40000000
SPACES = 0x10000000 | 0x00020000 | 0x40000000 | 0x20000000
PR_SET_PDEATHSIG = 1


def main(pid: int, pod_pid: int, argv: list[str]) -> int:
    """Enter user, mount, network and pid namespaces of ``pid``; return the command's exit code.

    The network is that of ``pod_pid``, a process in there, unless it is 0.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.getcwd()
    if libc.setns(os.pidfd_open(pid), SPACES) != 0:
        number = ctypes.get_errno()
        print(f"cannot enter the model: {os.strerror(number)}", file=sys.stderr)
        return 125
    if pod_pid:
        network = os.open(f"/proc/{pod_pid}/ns/net", os.O_RDONLY)
        if libc.setns(network, NETWORK) != 0:
            print(f"cannot enter the pod: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
            return 125
        os.close(network)
    # The directory of before belongs to the mounts of before.
    os.chdir(here)
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            os.execvp(argv[0], argv)
        except OSError as e:
            print(f"{argv[0]}: {e.strerror}", file=sys.stderr)
            os._exit(127)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
