"""The section `captioner` of model-config.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from handler.decode import DEFAULT_LIMITS, Limits
from handler.engines import ENGINES, PRECISIONS
from handler.options import CHOICES, Options


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment may change about the captioner."""

    options: Options = field(default_factory=Options)  # for what a request leaves out
    limits: Limits = DEFAULT_LIMITS
    warm_up: tuple[int, ...] = (1, 2, 8)  # batch sizes tried before the worker is READY
    engine: str = "auto"  # what runs the captioner: one of ENGINES
    precision: str = "auto"  # on a CPU: one of PRECISIONS
    threads: int = 0  # for computing on the CPU; 0 keeps PyTorch's choice, the number of cores
    decode_threads: int = 2  # pictures of one batch that are decoded at the same time

    def __post_init__(self) -> None:
        if not all(type(size) is int and size >= 1 for size in self.warm_up):
            raise ValueError(f"warm_up is {list(self.warm_up)}; batch sizes from 1 are accepted")
        if self.engine not in ENGINES:
            raise ValueError(f"engine is {self.engine!r}; {', '.join(ENGINES)} are accepted")
        if self.precision not in PRECISIONS:
            accepted = ", ".join(PRECISIONS)
            raise ValueError(f"precision is {self.precision!r}; {accepted} are accepted")
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; 0 or more is accepted")
        if self.decode_threads < 1:
            raise ValueError(f"decode_threads is {self.decode_threads}; 1 or more is accepted")

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "Settings":
        """Read the settings from the whole of model-config.yaml, as TorchServe passes it on.

        Raises:
            ValueError: a key is unknown, or a value is of another type or out of range.
            InvalidOption: a default option is out of range.
        """
        section = dict((config or {}).get("captioner") or {})
        warm_up = section.pop("warm_up", list(cls().warm_up))
        if not isinstance(warm_up, list):
            raise ValueError(f"captioner.warm_up is {warm_up!r}; a list of batch sizes is accepted")
        engine = section.pop("engine", cls().engine)
        precision = section.pop("precision", cls().precision)
        for name, value in section.items():
            if type(value) is not int and name not in CHOICES:
                raise ValueError(f"captioner.{name} is {value!r}; a whole number is accepted")
        settings = cls(
            options=Options(**_take(Options, section)),
            limits=Limits(**_take(Limits, section)),
            warm_up=tuple(warm_up),
            engine=engine,
            precision=precision,
            **_take(cls, section),
        )
        if section:
            raise ValueError(f"model-config.yaml: captioner.{min(section)} is not a setting")
        return settings


def _take(kind: type, section: dict[str, Any]) -> dict[str, Any]:
    """Remove the fields of the dataclass from the section, and return them."""
    names = [one.name for one in fields(kind) if one.name in section]
    return {name: section.pop(name) for name in names}
