import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thirtytwo.errors import UserError
from thirtytwo.spec import Spec, parse_chain

names = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=4,
)


@given(names, st.lists(literals, max_size=3), st.dictionaries(names, literals, max_size=3))
def test_text_and_spec_are_the_same_thing(name, args, kwargs):
    kwargs = {f"k_{key}": value for key, value in kwargs.items()}
    spec = Spec(name, tuple(args), kwargs)
    again = Spec.parse(str(spec))
    assert (again.name, again.args, dict(again.kwargs)) == (name, tuple(args), kwargs)


@given(st.lists(st.tuples(names, literals), min_size=1, max_size=4))
def test_a_chain_is_cut_only_between_its_parts(parts):
    parts = [(name, value) for name, value in parts if name != "none"] or [("flip", 0.5)]
    chain = parse_chain("|".join(str(Spec(name, (value,))) for name, value in parts))
    assert [(spec.name, spec.args[0]) for spec in chain] == parts


@pytest.mark.parametrize("text", ["", "none", "  none "])
def test_the_empty_chain(text):
    assert parse_chain(text) == ()


@pytest.mark.parametrize("word, value", [("true", True), ("False", False), ("none", None)])
def test_lower_case_words_are_literals(word, value):
    assert Spec.parse(f"torchvision/resnet18(pretrained={word})").kwargs["pretrained"] is value


@pytest.mark.parametrize(
    "text",
    [
        "translate(4", "flip)", "flip(4)(5)", "flip(*[1])", "flip(**{})", "flip(__import__('os').system('true'))", "()",
        "flip(x for x in y)", "flip(lambda: 0)", "flip 4", "flip(4);flip", "flip(1+a)", "a" + "(" * 500,
    ],
)  # fmt: skip
def test_anything_but_a_name_with_literals_is_refused_and_never_run(text):
    with pytest.raises(UserError, match=r"cannot read|not a component"):
        Spec.parse(text)


def test_literals_are_what_python_says_they_are():
    assert Spec.parse("f((1, 2), [0.5], {'a': 1})").args == ast.literal_eval("((1, 2), [0.5], {'a': 1})")


@pytest.mark.parametrize(
    ("text", "prefix", "member", "run", "foreign"),
    [
        ("cnn2(width=8)", "", "cnn2", None, False),
        ("torchvision/resnet18(weights='a/b:c.pth')", "torchvision/", "resnet18", None, True),
        ("timm/vit_tiny_patch16_224.augreg_in21k", "timm/", "vit_tiny_patch16_224.augreg_in21k", None, True),
        ("package/group/net", "package/", "group/net", None, True),
        ("run:runs/digits-cnn-1", "run:", "runs/digits-cnn-1", "runs/digits-cnn-1", False),
        ("run:net-1", "run:", "net-1", "net-1", False),
        ("run:/my run (2)/für:Jörg", "run:", "/my run (2)/für:Jörg", "/my run (2)/für:Jörg", False),
        ("run:", "run:", "", "", False),
        ("none", "", "none", None, False),
    ],
)
def test_a_prefix_says_whose_name_it_is(text, prefix, member, run, foreign):
    spec = Spec.parse(text)
    assert (spec.prefix, spec.member, spec.run, spec.foreign) == (prefix, member, run, foreign)
    assert str(spec) == text
