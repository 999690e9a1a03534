"""Registries of the scope `perception`."""

from mmengine.registry import DefaultScope

from perception.registry import MODELS


@MODELS.register_module()
class RegistryToy:
    """Holds a part that it builds itself, as networks do."""

    def __init__(self, part: dict | None = None) -> None:
        self.part = MODELS.build(part) if part else None


def test_ours_are_built_whatever_the_default_scope_of_the_process():
    with DefaultScope.overwrite_default_scope("mmdet"):
        toy = MODELS.build({"type": "RegistryToy", "part": {"type": "RegistryToy"}})
        assert DefaultScope.get_current_instance().scope_name == "mmdet"
    assert isinstance(toy.part, RegistryToy)


def test_another_scope_can_be_asked_for():
    import mmdet.models  # noqa: F401

    assert type(MODELS.build({"type": "mmdet.L1Loss"})).__module__.startswith("mmdet.")
