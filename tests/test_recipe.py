import subprocess
import sys
import tomllib

import pytest

import thirtytwo
from thirtytwo import recipes
from thirtytwo.errors import UserError
from thirtytwo.recipe import Recipe, from_toml, keys, parse_assignments, resolve_key
from thirtytwo.recipes import recipes as registry


@pytest.mark.parametrize("name", registry.names())
def test_every_recipe_survives_toml_and_says_what_it_is(name, tmp_path):
    recipe = recipes.find(name)
    assert recipe.name == name
    for comments in (False, True):
        file = tmp_path / f"{comments}.toml"
        file.write_text(recipe.to_toml(comments=comments), encoding="utf-8")
        assert from_toml(file) == recipe
    assert len(registry.summary(name)) > 20


def test_every_key_is_explained():
    assert all(meaning.strip() for meaning in keys().values())
    assert {"optim.lr", "augment", "data.source", "seed"} <= set(keys())


def test_overrides_read_as_toml_and_else_as_text():
    words = ["optim.lr=0.2", "augment=flip|translate(4)", "train.epochs=3", "nesterov=false", "train.patience=none",
             "optim.betas=[0.8, 0.9]", "data.source=~/my pictures", "evaluate.views=flip+shift"]  # fmt: skip
    recipe = Recipe().override(parse_assignments(words))
    assert recipe.optim.lr == 0.2 and recipe.optim.nesterov is False and recipe.optim.betas == (0.8, 0.9)
    assert recipe.augment == "flip|translate(4)" and recipe.train.epochs == 3 and recipe.train.patience is None
    assert recipe.data.source == "~/my pictures" and recipe.evaluate.views == "flip+shift"
    assert Recipe().optim.lr != 0.2, "a recipe never changes"


@pytest.mark.parametrize(
    "word, message",
    [
        ("optim.lrr=1", "unknown key 'optim.lrr': did you mean 'optim.lr'?"),
        ("lrr=1", "unknown key 'lrr': did you mean"),
        ("optim.lr=fast", "key 'optim.lr': .*not 'fast'"),
        ("optim.lr=-1", "key 'optim.lr': .*greater than 0, not -1"),
        ("data.val=1.5", "key 'data.val'"),
        ("data.val=0", "key 'data.val'"),
        ("train.batch_size=1.5", "key 'train.batch_size'"),
        ("data.size=2", "key 'data.size'"),
        ("data.channels=2", "key 'data.channels'"),
        (
            "optim.betas=[0.9, 0.99, 1]",
            r"'optim.betas': expected a list of 2, such as \[0.9, 0.999\], not \[0.9, 0.99, 1\]",
        ),
        ("optim.betas=[0.9]", r"'optim.betas': expected a list of 2, such as \[0.9, 0.999\], not \[0.9\]"),
        ("optim.betas=[]", r"'optim.betas': expected a list of 2, such as \[0.9, 0.999\], not \[\]"),
        ("optim.betas=0.9", r"'optim.betas': expected a list of 2, such as \[0.9, 0.999\], not 0.9"),
        ("data.source=", "'data.source': expected text, not ''"),
        (f"train.freeze={'a' * 1001}", "'train.freeze': expected at most 1000 characters"),
        ("data=3", "'data' is a section"),
        ("optim", "not an override: expected key=value"),
        ("name=../../etc", "key 'name'"),
        ("augment=flip|translate(4", r"cannot read 'translate\(4'"),
        ("model=os.system('x')|y", "cannot read"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(word, message):
    with pytest.raises(UserError, match=message) as error:
        Recipe().override(parse_assignments([word]))
    assert "\n" not in str(error.value)


def test_a_bare_key_is_enough_where_it_is_unique():
    assert resolve_key("lr") == "optim.lr"
    assert resolve_key("epochs") == "train.epochs"
    assert resolve_key("name") == "name", "a whole key wins over the end of a longer one"


def test_found_by_name_file_and_run_folder(tmp_path):
    recipe = recipes.find("digits-cnn").override({"optim.lr": 0.07})
    (tmp_path / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    assert recipes.find(str(tmp_path)) == recipes.find(str(tmp_path / "recipe.toml")) == recipe
    with pytest.raises(UserError, match=r"unknown recipe 'digit-cnn': did you mean 'digits-cnn'"):
        recipes.find("digit-cnn")


@pytest.mark.parametrize("text", ["optim = 3", "[optim]\nlrr = 1", "not toml", "seed = 'one'", "\xff"])
def test_a_broken_file_is_one_line_that_names_it(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=r"mine\.toml") as error:
        from_toml(file)
    assert "\n" not in str(error.value)


def test_recipes_need_no_torch():
    code = (
        "import sys; from thirtytwo import recipes; recipes.find('digits-cnn').to_toml(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_comments_change_nothing():
    recipe = Recipe()
    assert tomllib.loads(recipe.to_toml(comments=True)) == tomllib.loads(recipe.to_toml())
    assert "# Peak learning rate." in recipe.to_toml(comments=True)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Recipe(seed=-1), "key 'seed': input should be greater than or equal to 0, not -1"),
        (lambda: Recipe(data={"val": 2.5}), "key 'data.val': input should be less than 1, not 2.5"),
        (lambda: thirtytwo.Data(val=2.5), "key 'val': input should be less than 1, not 2.5"),
        (lambda: thirtytwo.Study(name="s", base="digits-cnn", arms={"a": {}}), "key 'arms'"),
    ],
)
def test_a_mistake_in_a_constructor_is_one_line_too(make, said):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value).startswith(said) and "\n" not in str(error.value)
