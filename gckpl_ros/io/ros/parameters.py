"""The configuration as ROS parameters `section.key`: declared from it, and every change is checked by it."""

from collections.abc import Callable
from typing import Any, Final

from pydantic.fields import FieldInfo
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from gckpl_ros.config import FIXED, Config
from gckpl_ros.errors import InputError

_DEFAULTS: Final = Config()
_FIELDS: Final[dict[str, FieldInfo]] = {
    f"{section}.{key}": field for section, values in _DEFAULTS for key, field in type(values).model_fields.items()
}
_NOT_NOW: Final = "cannot change while the node is configured; before that: ros2 lifecycle set {} cleanup"


class Parameters:
    """Declares the parameters of a node and keeps them valid.

    A node that is started with a value which is not valid gets the default and remembers why, so that it can be told
    when somebody wants to configure it, and mended by setting the parameter.
    """

    def __init__(self, node: Node, changed: Callable[[Config], None]) -> None:
        """Of a node that has declared what it was started with; ``changed`` is called with each new configuration."""
        self.locked = False
        self._node = node
        self._changed = changed
        self._refused = dict.fromkeys(_unknown(node), "there is no such parameter")
        given = {name: node.get_parameter(name).value for name in _FIELDS if node.has_parameter(name)}
        for name in given:
            node.undeclare_parameter(name)
        for name, field in _FIELDS.items():
            node.declare_parameter(name, _ros_value(field.default), _descriptor(field), ignore_override=True)
        node.add_on_set_parameters_callback(self._check)
        for name, value in given.items():
            result = node.set_parameters([Parameter(name, value=value)])[0]
            if not result.successful:
                self._refused[name] = result.reason

    def config(self) -> Config:
        """The configuration; raises InputError that names every value which was given and refused."""
        if self._refused:
            raise InputError("\n".join(f"parameter {name}: {reason}" for name, reason in self._refused.items()))
        return self._with({})

    def _with(self, changes: dict[str, Any]) -> Config:
        values: dict[str, dict[str, Any]] = {}
        for name in _FIELDS:
            section, key = name.split(".")
            value = changes[name] if name in changes else self._node.get_parameter(name).value
            values.setdefault(section, {})[key] = value
        return Config.parse(values, "this configuration")

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in _FIELDS}
        try:
            config = self._with(changes)
            self._check_lock(changes)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for name in changes:
            self._refused.pop(name, None)
        if changes:
            self._changed(config)
        return SetParametersResult(successful=True)

    def _check_lock(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            fixed = _FIELDS[name].json_schema_extra == FIXED
            if self.locked and fixed and value != self._node.get_parameter(name).value:
                raise InputError(f"{name} {_NOT_NOW.format(self._node.get_fully_qualified_name())}")


def _unknown(node: Node) -> list[str]:
    """What was given in one of our sections and does not exist; other names may be meant for other nodes."""
    given = node.get_parameters_by_prefix("")
    return [name for name in given if name.split(".")[0] in Config.model_fields and name not in _FIELDS]


def _ros_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(field: FieldInfo) -> ParameterDescriptor:
    """Description and range. The type stays open: 1 may be given for 1.0, and the configuration refuses the rest."""
    descriptor = ParameterDescriptor(description=field.description or "", dynamic_typing=True)
    if field.json_schema_extra == FIXED:
        descriptor.additional_constraints = "not while the node is configured"
    low, high = _bound(field, "ge", "gt"), _bound(field, "le", "lt")
    if low is None or high is None:
        return descriptor
    if isinstance(field.default, int):
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    else:
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    return descriptor


def _bound(field: FieldInfo, *signs: str) -> Any:
    """ROS knows no open ranges: whether the bound itself is allowed, the configuration says."""
    return next((getattr(m, sign) for m in field.metadata for sign in signs if hasattr(m, sign)), None)
