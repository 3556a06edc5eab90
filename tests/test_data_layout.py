"""What the names of folders and files mean."""

import pytest

from thirtytwo.data.layout import split_named

TRAIN = (
    "train training trainset training_set train_x x_train seg_train Train_png TRAIN TrainImages train2017 xtrain "
    "train-00000-of-00001"
)
VAL = "val valid validation Validate eval evaluation dev ValSet val_images my-val validation_matched"
TEST = "test test1 testing test_set TestSet tests PublicTest holdout hold-out held_out HoldOut t.test test(2) 1test"
NONE = "cat trainer attest contest latest value invalid developer protest rain 2019 train_test_split train_val_test tr"


@pytest.mark.parametrize(("names", "split"), [(TRAIN, "train"), (VAL, "val"), (TEST, "test"), (NONE, None)])
def test_every_spelling_of_a_split_is_known_and_no_other_word(names: str, split: str | None) -> None:
    assert {name: split_named(name) for name in names.split()} == dict.fromkeys(names.split(), split)
    assert {split_named(f"{name} 3") for name in names.split()} == {split}
