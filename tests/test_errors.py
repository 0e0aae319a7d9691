"""Foreign code: what it raises, and how it tries to end the program, becomes one error that says whose code it was."""

import sys

import pytest

from robustbench_cv.errors import ForeignError, RobustBenchError, UserError, describe, foreign


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("boom"), "mine.py, function build: ValueError: boom"),
        (RuntimeError(), "mine.py, function build: RuntimeError"),
        (SystemExit(0), r"ended the program: sys.exit\(0\)"),
        (SystemExit(), r"ended the program: sys.exit\(\)"),
        (MemoryError("too\nmuch"), "MemoryError: too much"),
    ],
)
def test_what_foreign_code_raises_keeps_its_cause(error: BaseException, message: str) -> None:
    with pytest.raises(ForeignError, match=message) as caught, foreign("mine.py, function build"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("ours"), KeyboardInterrupt()])
def test_our_own_errors_and_interrupts_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, foreign("mine.py"):
        raise error
    assert caught.value is error


def test_a_foreign_error_is_nothing_the_product_takes_for_the_users_mistake() -> None:
    assert issubclass(ForeignError, RobustBenchError)
    assert not issubclass(ForeignError, UserError)
    assert "torch" not in vars(sys.modules["robustbench_cv.errors"])
    assert describe(SystemExit("text")) == "ended the program: sys.exit(text)"
