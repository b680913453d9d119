"""What all tests need."""

import signal

# A shell that starts pytest in the background has it ignore Ctrl-C, and whatever it starts would
# inherit that. The tests press Ctrl-C, so it works again from here on.
signal.signal(signal.SIGINT, signal.default_int_handler)
