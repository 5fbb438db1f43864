"""Errors that a user can mend."""

import pickle

import pytest

from biosim import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("error", CLASSES)
def test_a_message_is_one_line_whatever_it_quotes(error: type[errors.BiosimError]) -> None:
    assert str(error("a  b:\n\n  c\r\nd\n")) == "a  b: c d"


@pytest.mark.parametrize("error", CLASSES)
def test_the_command_line_can_catch_all_of_them(error: type[errors.BiosimError]) -> None:
    with pytest.raises(errors.BiosimError, match=r"^mend it$"):
        raise error("mend it")


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_survives_the_way_to_another_process(error: type[errors.BiosimError]) -> None:
    came = pickle.loads(pickle.dumps(error("mend it")))
    assert type(came) is error
    assert str(came) == "mend it"
