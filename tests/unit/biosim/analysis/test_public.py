"""What the package offers says what it takes and gives."""

import inspect
from collections.abc import Callable

import pytest

from biosim import analysis


def missing(function: Callable[..., object]) -> list[str]:
    text = inspect.getdoc(function) or ""
    arguments = [name for name in inspect.signature(function).parameters if f"{name}:" not in text]
    return [part for part in ("Args:", "Raises:", "Return") if part not in text] + arguments


@pytest.mark.parametrize("name", analysis.__all__)
def test_every_function_documents_its_arguments_results_and_errors(name: str) -> None:
    assert missing(getattr(analysis, name)) == []


def test_a_function_without_documentation_is_noticed() -> None:
    def silent(spikes: object) -> None: ...

    assert missing(silent) == ["Args:", "Raises:", "Return", "spikes"]
