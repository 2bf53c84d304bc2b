import pytest

from stif_core.model.config import NANO, VARIANTS, StifConfig
from stif_core.weights import find_model


@pytest.mark.parametrize("name", VARIANTS)
def test_configuration_survives_json(name):
    assert StifConfig.from_dict(VARIANTS[name].to_dict()) == VARIANTS[name]


def test_unknown_key_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'interaction'"):
        StifConfig.from_dict({**NANO.to_dict(), "interacton": True})


@pytest.mark.parametrize(("key", "value"), [("tde", "cosin"), ("trunk", "mobilenet_v4"), ("score", "geometric")])
def test_value_that_is_no_choice_is_refused(key, value):
    with pytest.raises(ValueError, match=f"'{key}' of the model is '{value}', expected"):
        StifConfig.from_dict({**NANO.to_dict(), key: value})


def test_missing_key_is_named():
    values = NANO.to_dict()
    del values["channels"]
    with pytest.raises(ValueError, match="channels"):
        StifConfig.from_dict(values)


def test_unknown_model_names_those_there_are():
    with pytest.raises(ValueError, match="unknown model 'nona': use one of nano"):
        find_model("nona")
