"""Why a caption cannot be written into a file."""


class CannotInscribe(ValueError):
    """The message says what was expected, what came and what to do."""
