import importlib.metadata

import pytest

from beamscope.transforms.registry import Registry


@pytest.fixture
def registry():
    return Registry("fruit", "beamscope.tests.fruit")


def test_things_keep_the_order_in_which_they_were_registered(registry):
    registry.register("pear", 1)
    registry.register("apple", 2)
    assert registry.names() == ("pear", "apple")
    assert list(registry) == [1, 2]
    assert "pear" in registry
    assert "plum" not in registry


def test_a_place_is_imported_when_it_is_asked_for(registry):
    registry.register("join", "os.path:join")
    registry.register("lost", "no_such_module:thing")
    assert registry.names() == ("join", "lost")
    assert registry.get("join")("a", "b") == "a/b"
    with pytest.raises(ModuleNotFoundError):
        registry.get("lost")


def test_a_name_is_taken_once(registry):
    registry.register("pear", 1)
    with pytest.raises(ValueError, match="there is already a fruit 'pear'"):
        registry.register("pear", 2)
    registry.unregister("pear")
    registry.register("pear", 2)
    assert registry.get("pear") == 2


def test_an_unknown_name_is_told_with_those_that_there_are(registry):
    registry.register("pear", 1)
    with pytest.raises(KeyError, match="no fruit 'plum'; there are pear"):
        registry.get("plum")


def test_entry_points_of_other_packages_come_last_and_replace_nothing(registry, monkeypatch):
    entries = [
        importlib.metadata.EntryPoint("plum", "os:sep", "beamscope.tests.fruit"),
        importlib.metadata.EntryPoint("pear", "os:sep", "beamscope.tests.fruit"),
    ]
    monkeypatch.setattr(
        importlib.metadata, "entry_points",
        lambda group: entries if group == "beamscope.tests.fruit" else [],
    )  # fmt: skip
    registry.register("pear", 1)
    assert registry.names() == ("pear", "plum")
    assert registry.get("pear") == 1
    assert registry.get("plum") == "/"


def test_a_summary_is_told_without_an_import(registry):
    registry.register("lost", "no_such_module:thing", "a fruit that nobody has")
    registry.register("pear", 1)
    assert registry.summary("lost") == "a fruit that nobody has"
    assert registry.summary("pear") == ""
