"""Training switches of builders: their names, what their values mean, and which value inference takes."""

from __future__ import annotations

import ast
import re
from typing import Any

SWITCH = re.compile(
    r"((is|in|for|bn|use|do|net|model)_?){0,2}train(ing)?(_?(phase|mode|flag|bn|time|stage|switch))?|"
    r"(bn_|is_)?phase(_?train(ing)?)?|run_?mode|mode|learning_?phase|istrain(ing)?",
    re.IGNORECASE,
)
OPPOSITE = re.compile(
    r"(is_?|in_?|for_?)?(infer(ence|ring)?|test(ing)?|eval(uation)?|predict(ion|ing)?)(_?(mode|phase|flag))?|"
    r"deterministic|frozen",
    re.IGNORECASE,
)
INFERENCE_WORDS = ("infer", "inference", "predict", "eval", "test")


def literal(value: ast.expr | None) -> Any:
    """A constant's value, `train` for `ModeKeys.TRAIN`; None for anything else."""
    if isinstance(value, ast.Constant):
        return value.value
    if isinstance(value, ast.Attribute) and value.attr.isupper():
        return value.attr.lower()
    return None


def is_training(value: Any) -> bool | None:
    """What a switch's value means, None where it means neither."""
    if isinstance(value, str):
        return "train" in value.lower() or value.lower() == "fit"
    return bool(value) if isinstance(value, bool | int) else None


def is_switch(name: str) -> bool:
    """Whether a parameter of this name switches between training and inference."""
    return any(pattern.fullmatch(name) for pattern in (SWITCH, OPPOSITE))


def inference_value(name: str, default: Any, source: str = "") -> Any:
    """What a switch called `name` is set to for inference.

    Parameters
    ----------
    name : str
        The parameter.
    default : Any
        Its default value or the value it is given in training: says of which type it is.
    source : str
        Source of the function: a switch with words is set to one that the function compares with.
    """
    if OPPOSITE.fullmatch(name):
        return True
    if isinstance(default, str) or (name.lower() == "mode" and not isinstance(default, bool | int)):
        words = {
            w
            for n in ast.walk(ast.parse(source or "0"))
            if isinstance(w := literal(n if isinstance(n, ast.expr) else None), str)
        }
        if isinstance(default, str) or any(is_training(w) for w in words) or words & set(INFERENCE_WORDS):
            return next((w for w in INFERENCE_WORDS if w in words), "infer")
    return 0 if isinstance(default, int) and not isinstance(default, bool) else False


def switch_of(parameters: dict[str, ast.expr | None]) -> str:
    """The training switch among parameters, or ""."""
    return next((p for pattern in (SWITCH, OPPOSITE) for p in parameters if pattern.fullmatch(p)), "")
