"""The lifecycle node: transitions, services and parameters, handed on to the session."""

from collections.abc import Callable
from functools import partial, wraps
from traceback import format_exc
from typing import Any, Final

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.lifecycle import LifecycleState, Node, TransitionCallbackReturn
from std_srvs.srv import SetBool, Trigger

from gckpl_ros.config import Config
from gckpl_ros.errors import InputError
from gckpl_ros.io.live.interface import SERVICES
from gckpl_ros.io.live.network import buffer_warning
from gckpl_ros.io.live.worker import Answer
from gckpl_ros.io.ros.connections import BOND_PERIOD_S, Bond
from gckpl_ros.io.ros.parameters import Parameters
from gckpl_ros.io.ros.session import Session

NAME: Final = "gckpl"
_AUTOSTART: Final = "autostart"
_HEARTBEAT: Final = "bond_heartbeat_period"  # as nav2's nodes call it; 0: no bond
_SERVICE_TYPES: Final = {"std_srvs/srv/SetBool": SetBool, "std_srvs/srv/Trigger": Trigger}
_NOT_CONFIGURED: Final = Answer(False, "the node is not configured")
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

Transition = Callable[["SkeletonNode", LifecycleState], TransitionCallbackReturn]


def _logged(transition: Transition) -> Transition:
    """rclpy turns an exception into an error transition without a word about it."""

    @wraps(transition)
    def with_log(self: "SkeletonNode", state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception:
            self.get_logger().error(f"{transition.__name__} failed, please report this:\n{format_exc()}")
            raise

    return with_log


class SkeletonNode(Node):
    """Skeletons of people in point clouds, as a managed node.

    configure: parameters, network on its device; activate: subscriptions and work; deactivate: both end, the network
    stays; cleanup: the network goes. What fails leaves the node unconfigured, and it can be configured again.
    """

    def __init__(self) -> None:
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True)
        self._session: Session | None = None
        self._active = False
        self._enabled = True
        self._settings = Parameters(self, self._reconfigure)
        for key, service in SERVICES.items():
            answer = self._enable if key == "enable" else partial(self._answer, key)
            self.create_service(_SERVICE_TYPES[service.type], service.topic, answer)
        if not self.has_parameter(_AUTOSTART):
            self.declare_parameter(_AUTOSTART, False)
        self._autostart = bool(self.get_parameter(_AUTOSTART).value)
        if not self.has_parameter(_HEARTBEAT):
            self.declare_parameter(_HEARTBEAT, BOND_PERIOD_S)
        self._bond = Bond(self, float(self.get_parameter(_HEARTBEAT).value))
        if not self._autostart:
            name = self.get_fully_qualified_name()
            self.get_logger().info(
                f"waiting for `ros2 lifecycle set {name} configure` and activate; -p {_AUTOSTART}:=true does both"
            )

    def begin(self) -> None:
        """Configure and activate where the parameter `autostart` says so; what fails stands in the log.

        Not a launch file's request: started again, it would ask the one that died, which DDS believes in for 10 s.
        """
        if self._autostart and self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def describe_parameter(self, name: str) -> ParameterDescriptor:
        """As rclpy, but with the type of the value: it leaves the type of a refused one behind."""
        descriptor = super().describe_parameter(name)
        if self.has_parameter(name):
            descriptor.type = self.get_parameter(name).type_.value
        return descriptor

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network; fails with the reason in the log where parameters or weights cannot be used."""
        try:
            self._session = Session(self, self._settings.config())
        except InputError as error:
            self.get_logger().error(f"cannot be configured: {error}")
            return _FAILURE
        self._settings.locked = True
        self._tell()
        if warning := buffer_warning():
            self.get_logger().warning(warning)
        self.get_logger().info(f"configured: {self._session.sources}")
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin, unless disabled."""
        done = super().on_activate(state)
        self._active = True
        self._work()
        self._bond.start()
        return done

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End, with publishers still open for the last messages."""
        self._bond.stop()
        self._active = False
        self._work()
        return super().on_deactivate(state)

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        self.close()
        return super().on_cleanup(state)

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, from any state."""
        self.close()
        return super().on_shutdown(state)

    @_logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back; the node is unconfigured then."""
        self.close()
        return _SUCCESS

    def close(self) -> None:
        """End and give back the network and the device's memory; does nothing where there are none."""
        self._bond.stop()
        self._active = False
        self._settings.locked = False
        session, self._session = self._session, None
        if session:
            session.close()

    def _work(self) -> None:
        if self._session:
            (self._session.start if self._active and self._enabled else self._session.stop)()

    def _tell(self) -> None:
        if self._session:
            self._session.status.enable(self._enabled)

    def _reconfigure(self, config: Config) -> None:
        if self._session:
            self._session.configure(config)

    def _enable(self, request: Any, response: Any) -> Any:
        if request.data != self._enabled:
            self._enabled = request.data
            self._work()
            self._tell()
        response.success = True
        response.message = f"{'enabled' if self._enabled else 'disabled'}{'' if self._active else ', but not active'}"
        return response

    def _answer(self, service: str, request: Any, response: Any) -> Any:
        answer = self._session.served[service](request) if self._session else _NOT_CONFIGURED
        response.success, response.message = answer
        return response
