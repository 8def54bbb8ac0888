"""`python deploy_app`: see `commands.py`."""

import signal
import sys

# Before anything slow: the first process of a container never sees a signal that it has neither handled nor blocked.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})

from commands import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
