"""What all tests need."""

import signal

# Whoever starts pytest in the background has it ignore Ctrl-C (a shell's &) or the end of the
# terminal (nohup), and whatever it starts would inherit that. The tests send both signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
