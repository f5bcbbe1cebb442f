"""The errors that bluetoothd answers with, by name and text as BlueZ 5.66 words them (src/error.c, gatt-client.c).

bleak reads both: the text tells a GATT error from another, so it is part of the behaviour.
"""


class BluezError(Exception):
    """An error reply: `name` is the D-Bus error name, `text` its one argument."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class AttError(Exception):
    """A wearable refuses a GATT request with an ATT error code (Bluetooth Core 5.4, volume 3, part F, 3.4.1.1)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ATT error 0x{code:02x}")
        self.code = code


READ_NOT_PERMITTED, WRITE_NOT_PERMITTED, NOT_PAIRED, NOT_SUPPORTED = 0x02, 0x03, 0x05, 0x06
INVALID_OFFSET, NOT_AUTHORIZED, INVALID_LENGTH = 0x07, 0x08, 0x0D

_PREFIX = "org.bluez.Error."
_FREEDESKTOP = "org.freedesktop.DBus.Error."


def bluez(name: str, text: str) -> BluezError:
    """Any error of the org.bluez.Error family."""
    return BluezError(_PREFIX + name, text)


def failed(text: str) -> BluezError:
    """The catch-all; connection failures come as its text."""
    return bluez("Failed", text)


def in_progress() -> BluezError:
    """The same thing is already under way."""
    return bluez("InProgress", "Operation already in progress")


def not_ready() -> BluezError:
    """The adapter is off."""
    return bluez("NotReady", "Resource Not Ready")


def not_supported() -> BluezError:
    """The characteristic cannot do that."""
    return bluez("NotSupported", "Operation is not supported")


def not_authorized() -> BluezError:
    """BlueZ keeps this characteristic to itself."""
    return bluez("NotAuthorized", "Operation Not Authorized")


def invalid_arguments(text: str = "Invalid arguments in method call") -> BluezError:
    """An argument has the wrong type or value."""
    return bluez("InvalidArguments", text)


def does_not_exist() -> BluezError:
    """Nothing of that name is registered."""
    return bluez("DoesNotExist", "Does Not Exist")


def unknown_object(path: str) -> BluezError:
    """No object at the path: what a device that has vanished answers."""
    return BluezError(_FREEDESKTOP + "UnknownObject", f"Unknown object '{path}'")


def unknown_method(member: str, signature: str, interface: str) -> BluezError:
    """No such method with these arguments; the wording is gdbus's."""
    text = f'Method "{member}" with signature "{signature}" on interface "{interface}" doesn\'t exist'
    return BluezError(_FREEDESKTOP + "UnknownMethod", text)


def from_att(code: int) -> BluezError:
    """What BlueZ makes of an ATT error (gatt-client.c, create_gatt_dbus_error)."""
    if code in {NOT_PAIRED, 0x0C, 0x0F}:
        return bluez("NotPermitted", "Not paired")
    known = {
        READ_NOT_PERMITTED: ("NotPermitted", "Read not permitted"),
        WRITE_NOT_PERMITTED: ("NotPermitted", "Write not permitted"),
        NOT_SUPPORTED: ("NotSupported", "Operation is not supported"),
        INVALID_OFFSET: ("InvalidArguments", "Invalid offset"),
        NOT_AUTHORIZED: ("NotAuthorized", "Operation Not Authorized"),
        INVALID_LENGTH: ("InvalidArguments", "Invalid Length"),
    }
    name, text = known.get(code, ("Failed", f"Operation failed with ATT error: 0x{code:02x}"))
    return bluez(name, text)
