"""The errors that a person can fix: the commands print their message, without a stack trace."""


class UserError(Exception):
    """A command cannot do what it was asked to; the message says why and what to do."""


class OptionError(UserError):
    """An option of the command line is out of range, contradicts another or has no effect."""
