"""What a request can choose: the search, the captions that are told of it, and their words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from handler.errors import InvalidOption

MAX_BEAM_SIZE = 8
MAX_LENGTH = 50
_HIGHEST = {"beam_size": MAX_BEAM_SIZE, "num_captions": MAX_BEAM_SIZE, "max_length": MAX_LENGTH}
CHOICES = {"people": ("named", "neutral"), "alternatives": ("likely", "different")}
_SHOWN = 40  # characters of a wrong value that its error repeats


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a search.

    Raises:
        InvalidOption: a value is out of range or none of the choices, or more captions than beams
            are requested.
    """

    beam_size: int = 3  # hypotheses kept at every step, 1 to 8
    num_captions: int = 3  # answered, best first, 1 to beam_size
    max_length: int = 20  # words of a caption, 1 to 50
    people: str = "named"  # as the model does, or neutral: person and child for a guessed gender
    alternatives: str = "likely"  # the likeliest, or different ones, in content words

    def __post_init__(self) -> None:
        for name in _HIGHEST:
            _check_range(name, getattr(self, name))
        for name, accepted in CHOICES.items():
            if (value := getattr(self, name)) not in accepted:
                shown = str(value)[:_SHOWN]
                raise InvalidOption(f"{name} is {shown!r}; {' or '.join(accepted)} is accepted.")
        if self.num_captions > self.beam_size:
            raise InvalidOption(
                f"num_captions is {self.num_captions} and beam_size is {self.beam_size}; "
                "num_captions can be at most beam_size. Raise beam_size or ask for fewer captions."
            )

    @property
    def width(self) -> int:
        """Hypotheses that the search needs: all it can have, where captions are to be different."""
        return self.beam_size if self.likely else MAX_BEAM_SIZE

    @property
    def likely(self) -> bool:
        """Whether the captions are simply the likeliest."""
        return self.alternatives == "likely" or self.num_captions == 1

    @property
    def wanted(self) -> int:
        """Captions that are wanted of the search, to choose from."""
        return self.num_captions if self.likely else self.width


def read_options(
    fields: Mapping[str, object], headers: Mapping[str, str], defaults: Options
) -> Options:
    """Read the options of one request: form fields, else headers, else the defaults.

    A default gives way to what is requested: `num_captions` alone widens the beam if it must, and
    `beam_size` alone reduces the number of captions.

    Args:
        fields: the form's fields by name, `beam_size` and so on; text or bytes.
        headers: the request's headers by lower-case name, `x-beam-size` and so on.
        defaults: for the options that the request leaves out.

    Raises:
        InvalidOption: an option is not a whole number, is out of range, contradicts another one or
            is none of its choices.
    """
    asked: dict[str, int] = {}
    for name in _HIGHEST:
        value = fields.get(name, headers.get(f"x-{name.replace('_', '-')}"))
        if value is not None:
            asked[name] = _whole_number(name, value)
    beam_size = asked.get("beam_size", max(defaults.beam_size, asked.get("num_captions", 1)))
    num_captions = asked.get("num_captions", min(defaults.num_captions, beam_size))
    max_length = asked.get("max_length", defaults.max_length)
    chosen = {
        name: _text(fields.get(name, headers.get(f"x-{name}", getattr(defaults, name))))
        for name in CHOICES
    }
    return Options(beam_size, num_captions, max_length, **chosen)


def _check_range(name: str, value: int) -> int:
    if not 1 <= value <= _HIGHEST[name]:
        raise InvalidOption(f"{name} is {value}; {_accepted(name)}")
    return value


def _whole_number(name: str, value: object) -> int:
    """Read ASCII digits and nothing else: `int()` would also take ' 3 ', '+3', '1_0' and '٣'."""
    text = _text(value)
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidOption(f"{name} is {text[:_SHOWN]!r}; {_accepted(name)}")
    return _check_range(name, int(text))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


def _accepted(name: str) -> str:
    return f"a whole number from 1 to {_HIGHEST[name]} is accepted."
