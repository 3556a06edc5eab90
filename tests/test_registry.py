from typing import Annotated

import pytest
from pydantic import Field

from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.registry import Registry


@pytest.fixture
def shapes():
    registry = Registry("shape", package="thirtytwo.recipes", context=("canvas",))

    @registry.register
    def square(canvas: str, side: Annotated[int, Field(ge=1)] = 3, colour: str = "red"):
        """A square.

        More about it.
        """
        return canvas, side, colour

    @registry.register_as("dot")
    def point():
        return "dot"

    return registry


def test_built_with_checked_arguments_and_what_the_program_supplies(shapes):
    assert shapes.build("square(5, colour='blue')", canvas="wall") == ("wall", 5, "blue")
    assert shapes.build("square", canvas="wall") == ("wall", 3, "red")
    assert shapes.build("dot", canvas="wall") == "dot"


@pytest.mark.parametrize(
    "text, message",
    [
        ("sqare", "unknown shape 'sqare': did you mean 'square'"),
        ("triangle", "unknown shape 'triangle'. Known: dot, square"),
        ("square(0)", "argument 'side': Input should be greater than or equal to 1"),
        ("square('big')", "argument 'side'"),
        ("square(1, 'red', 2)", "takes 2 arguments, not 3"),
        ("square(1, side=2)", "'side' is given twice"),
        ("square(colr='red')", "has no argument 'colr': did you mean 'colour'"),
        ("square(canvas='mine')", "has no argument 'canvas'"),
        ("dot(x=1)", "has no argument 'x': it takes no arguments"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(shapes, text, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as error:
        shapes.build(text, canvas="wall")
    assert "\n" not in str(error.value)


def test_listing_and_summaries(shapes):
    assert shapes.names() == ["dot", "square"]
    assert shapes.names("s*") == ["square"]
    assert shapes.summary("square") == "A square."


def test_a_name_is_taken_once(shapes):
    with pytest.raises(UserError, match="exists already"):
        shapes.register_as("dot")(lambda: "another")


def test_a_family_is_found_by_its_prefix(shapes):
    @shapes.register_family("solids/")
    class Solids:
        """Two of them."""

        def names(self):
            return ["cone", "cube"]

        def get(self, name):
            if name not in self.names():
                raise KeyError(name)
            return lambda canvas: (canvas, name)

    assert shapes.build("solids/cube", canvas="wall") == ("wall", "cube")
    assert shapes.names("solids/c*") == ["solids/cone", "solids/cube"] and "solids/cube" not in shapes.names()
    for name, hint in [
        ("solids/cubes", "did you mean 'solids/cube'"),
        ("solid/cube", "did you mean 'solids/'"),
        ("cone", "did you mean 'solids/cone'"),
    ]:
        with pytest.raises(UserError, match=hint):
            shapes.get(name)


@pytest.mark.parametrize("prefix", ["", "solids", "a/b/", "a:b/", "solids(/"])
def test_a_prefix_is_a_word_and_a_slash(shapes, prefix):
    with pytest.raises(UserError, match="cannot be a family's prefix"):
        shapes.register_family(prefix)(object)


def test_what_is_registered_for_a_while_is_forgotten_and_what_it_hid_is_back():
    before = models.names()
    with models.temporary():
        models.register_as("for-a-while")(lambda: None)
        assert models.names() == sorted([*before, "for-a-while"])
        with pytest.raises(ZeroDivisionError), models.temporary():
            models.register_as("for-a-moment")(lambda: None)
            raise ZeroDivisionError
        assert "for-a-while" in models and "for-a-moment" not in models
    assert models.names() == before
